// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package health

// State is how far a dataset has come.
type State uint8

// The states in the order in which a dataset goes through them; Error can be entered from each of those before it and left
// for one of them, Standby from all but Stopping, which is the last.
const (
	Pending       State = iota // created
	Standby                    // another collector collects; nothing is wrong
	Started                    // its schedule runs
	Initialized                // its configuration is complete
	Authenticated              // the endpoint accepted the credentials
	Collecting                 // data comes in and is delivered
	Error                      // it fails and tries again, or has stopped for good
	Stopping                   // the receiver shuts down
)

var stateNames = [...]string{"Pending", "Standby", "Started", "Initialized", "Authenticated", "Collecting", "Error", "Stopping"}

// String returns the name of the state as it is reported.
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return "Unknown"
	}
	return stateNames[s]
}

// ErrorType tells who has to do something about an error. The three are those of the reference product, Sumo Logic's
// sources.
type ErrorType string

const (
	// ThirdPartyConfig is an error that lasts until the configuration or the account is changed.
	ThirdPartyConfig ErrorType = "ThirdPartyConfig"
	// ThirdPartyGeneric is an error of Qualys or of the way there, which passes.
	ThirdPartyGeneric ErrorType = "ThirdPartyGeneric"
	// FirstPartyGeneric is an error on this side: the pipeline does not take the records.
	FirstPartyGeneric ErrorType = "FirstPartyGeneric"
)

// Name returns what is reported as the name of errors of this type.
func (t ErrorType) Name() string {
	return string(t) + "Error"
}

// rank orders the types by how much they need a person: a configuration always, one's own pipeline often, Qualys seldom.
func (t ErrorType) rank() int {
	switch t {
	case ThirdPartyConfig:
		return 2
	case FirstPartyGeneric:
		return 1
	default:
		return 0
	}
}

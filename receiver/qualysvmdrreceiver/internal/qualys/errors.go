// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Class says what can be done about an error.
type Class uint8

// The classes of errors.
const (
	// Generic errors can pass: network, maintenance, limits, responses that are cut or cannot be read.
	Generic Class = iota
	// Config errors stay until somebody changes something: nothing is to be sent again before.
	Config
	// Ambiguous errors can be either: a proxy, maintenance, a wrong address, a retired version.
	Ambiguous
)

// String returns the name of the class for messages.
func (c Class) String() string {
	switch c {
	case Config:
		return "config"
	case Ambiguous:
		return "ambiguous"
	default:
		return "generic"
	}
}

// Error is what went wrong with a request.
type Error struct {
	API    API
	Status int    // of HTTP; 0 if there was no response
	Code   int    // of Qualys; 0 if the response names none
	Text   string // what the response says: one line of at most 300 bytes, without credentials
	Class  Class
	// Login is true if the account is meant, not the request: of class Config it stops every API of the endpoint.
	Login bool
	// Parameter is the parameter of the request that a response of 1901-1908 or 1922 names, if it names one that was sent.
	Parameter string
	// RetryAt is when the next request may be sent, if credentials are the reason: until then every call to the endpoint returns
	// this error without sending anything, unless an authenticator supplies others by then. Zero with Login and class Config: not
	// before the configuration changes.
	RetryAt time.Time
	// Unsent is true if nothing was sent: there was no connection, or an authenticator had nothing to show.
	Unsent bool
	// Err is the cause, if there is one besides the response: of the network, or in reading.
	Err error

	said  string // all that the response says, to look for names in
	limit limit
	wait  time.Duration // how long the response asks to wait; 0 if it names no time
}

// limit is a limit that a response says was exceeded.
type limit uint8

const (
	noLimit   limit = iota
	rateLimit       // 1965, HTTP 409 or 429 without a code
	callLimit       // 1960
)

// Error tells the API, the HTTP status, Qualys's code and text, and the cause. It never holds credentials.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.API))
	if e.Status != 0 {
		fmt.Fprintf(&b, ": HTTP %d", e.Status)
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, ": code %d", e.Code)
	}
	if e.Text != "" {
		b.WriteString(": ")
		b.WriteString(e.Text)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Names reports whether the response names a parameter, as a whole word, in its text or its list of items.
func (e *Error) Names(param string) bool {
	return wordIndex(e.said, param) >= 0
}

// Unsupported returns the first of the names that the response names as a parameter that it does not take (1901-1908, 1922),
// "": none of them. The request may work without it.
func (e *Error) Unsupported(names ...string) string {
	if !badParameter(e.Code) {
		return ""
	}
	for _, name := range names {
		if e.Names(name) {
			return name
		}
	}
	return ""
}

// PageTooLarge reports whether it was the time that a response took, ours or a gateway's between here and Qualys: a smaller
// page may be in time.
func (e *Error) PageTooLarge() bool {
	var timeout *TimeoutError
	if errors.As(e.Err, &timeout) {
		return true
	}
	if e.Code != 0 || e.limit != noLimit {
		return false
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout, 524: // 524: of a content delivery network
		return true
	}
	return false
}

// wordIndex returns where word stands in text, not as a part of a longer name, or -1.
func wordIndex(text, word string) int {
	if word == "" {
		return -1
	}
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return -1
		}
		i += from
		end := i + len(word)
		if (i == 0 || !inName(text[i-1])) && (end == len(text) || !inName(text[end])) {
			return i
		}
		from = i + 1
	}
}

func inName(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// asError makes an error an *Error of an API, unless it is one.
func asError(api API, status int, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{API: api, Status: status, Err: err}
}

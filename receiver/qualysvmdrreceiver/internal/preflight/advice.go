// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"errors"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/dataset"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/qualys"
)

// rights are what an account needs for a dataset besides API access (docs/setup.md).
var rights = map[string]string{
	dataset.Vulnerabilities: "The account needs the VMDR (or VM) module and API access.",
	dataset.KnowledgeBase:   `Grant the permission "Download vulnerability data from the KnowledgeBase", or leave the section out.`,
	dataset.Hosts:           "The account needs the VMDR (or VM) module and API access.",
	dataset.AssetInventory:  `The account needs the GAV or CSAM module, API access and "Allow user view access to all objects".`,
	dataset.ActivityLog:     "The account needs API access and sight of the activity log.",
}

// accounts is what to do about an account that cannot be used, by Qualys's code.
var accounts = map[int]string{
	2001: "Have the subscription or the account renewed.",
	2002: "Have the account activated.",
	2003: "Log in once in the browser, to complete the registration.",
	2011: "Take an account without a second factor.",
	2012: "Change the password in the browser, then here.",
}

// advise says what is missing, and what to do about it.
func advise(dataset string, err error) (missing, advice string) {
	var answer *qualys.Error
	var limit *limitError
	switch {
	case err == nil:
		return "", ""
	case errors.Is(err, errAuthenticator):
		return "not checked", "Start the collector: its first requests are the check."
	case errors.As(err, &limit):
		return "limit", "Other calls of the subscription have used it up. Try again later."
	case !errors.As(err, &answer):
		return "no response", connection
	case answer.Login:
		if advice, known := accounts[answer.Code]; known {
			return "account", advice
		}
		return "login", "Check user name and password, or client_id, client_secret and client_type, and platform. The collector reads $$ in them as $, and ${…} as another variable: write each $ as $$. It was sent once; repeated bad logins lock the account."
	case answer.Class == qualys.Config && answer.Code >= 1901 && answer.Code <= 1922:
		return "version", "The platform does not know a parameter: check api_version."
	case answer.Class == qualys.Config:
		return "permission", rights[dataset]
	case answer.Class == qualys.Ambiguous:
		return "permission, module or address", rights[dataset] + " Otherwise a proxy answers, the endpoint is wrong, or api_version is retired."
	case answer.Status == 0:
		return "connection", connection
	default:
		return "no response that can be used", "Look at Qualys's status page, and whether something between here and Qualys answers in its place. Then try again."
	}
}

const connection = "Check firewall, DNS, proxy_url, tls and the platform."

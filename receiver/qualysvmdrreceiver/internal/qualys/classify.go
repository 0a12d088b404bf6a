// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"errors"
	"net/http"
	"net/url"
)

// classified returns the error that a response stands for which is not what was asked for. cause is what the reader stumbled on, if
// the status did not tell before.
func (a *response) classified(cause error) error {
	unread := a.readHead()
	if cause == nil {
		cause = unread
	}
	said := readReply(a.head)
	if said.empty && unread != nil {
		said.text = "" // there may be something that cannot be read
	}
	if to, err := url.Parse(a.header.Get("Location")); err == nil && a.status/100 == 3 && to.Host != "" {
		said.text = "redirect to " + to.Host + ", not followed"
	}
	if a.holdsToken(said) {
		said.text, said.all = "", ""
	}
	for _, value := range said.strange {
		a.client.limiters[a.request.api].misread(value)
	}
	e := &Error{API: a.request.api, Status: a.status, Code: said.code}
	e.said = a.message(said.all)
	e.Text = shorten(a.message(said.text), said.limit)
	a.classify(e, said)
	if e.Code == 0 && e.Class == Generic {
		e.Err = cause
	}
	if errors.Is(cause, errNoToken) && e.Code == 0 && e.limit == noLimit {
		e.Class = Ambiguous // a proxy, or another address: each try would send the credentials again
	}
	return e
}

// classify judges a response by Qualys's code, else by its HTTP status. The codes and what they mean are those of Qualys's API
// documentation; they decide under any status, because an expired account, for one, comes with 200.
func (a *response) classify(e *Error, said reply) {
	switch code := e.Code; {
	case code == 2000 && (a.status != http.StatusUnauthorized || a.request.login != loginBearer):
		e.Class, e.Login = Config, true // bad login
	case code == 2001, code == 2002, code == 2003, code == 2011, code == 2012:
		e.Class, e.Login = Config, true // expired, inactive, not registered, second factor, password change
	case badParameter(code):
		e.Class = Config // unknown, missing, invalid or clashing parameter
		e.Parameter = a.request.named(e.said)
	case code == 1960:
		e.limit = callLimit
	case code == 1965:
		e.limit = rateLimit
		e.wait = a.limits.waitNamed(said.wait)
	case outage(code):
		// maintenance, internal error
	default:
		a.classifyStatus(e, said)
	}
}

func (a *response) classifyStatus(e *Error, said reply) {
	gateway := a.request.api.Endpoint() == Gateway
	switch status := a.status; {
	case status == 401 && a.request.login == loginBearer:
		e.Class = Ambiguous // the login was good: the token has just been issued
	case status == 401:
		e.Class, e.Login = Config, true
		if a.endpoint.authenticator {
			e.Class = Ambiguous // it can be a token that the authenticator is about to renew
		}
	case status == 400 && a.request.api == Auth && !said.html && e.Code == 0:
		e.Class, e.Login = Config, true // how OAuth rejects a client
	case e.Code != 0:
		if status == 400 || status == 403 {
			e.Class = Config
		}
	case status == 400 && gateway && !said.html:
		e.Class = Config // of the gateway, which has no codes: an unknown field, an invalid value
	case status == 403, status == 404, status == 410, status/100 == 3:
		e.Class = Ambiguous
	case status == http.StatusConflict, status == http.StatusTooManyRequests:
		// Of a gateway in front of either host: limits without a code were reported by other integrations.
		e.limit = rateLimit
		e.wait = a.limits.longest(said.wait)
	}
}

// holdsToken reports whether a response that is not the bare token can hold one all the same, which no message may repeat.
func (a *response) holdsToken(said reply) bool {
	return a.request.api == Auth && a.status/100 == 2 && said.code == 0 && !said.html && !said.empty
}

// message makes a text of the response fit for a message: one line without credentials.
func (a *response) message(text string) string {
	return redact(text, append(a.endpoint.secrets(a.request), a.credential.parts()...))
}

// named returns the parameter of the request that a text names first.
func (r request) named(text string) string {
	name, at := "", len(text)
	for param := range r.form {
		if i := wordIndex(text, param); i >= 0 && i < at {
			name, at = param, i
		}
	}
	return name
}

// badParameter reports whether a code means an unknown, missing, invalid or clashing parameter.
func badParameter(code int) bool { return code >= 1901 && code <= 1908 || code == 1922 }

// outage reports whether a code means that the platform is not working: it can come before the login is looked at.
func outage(code int) bool { return code == 1999 || code == 999 }

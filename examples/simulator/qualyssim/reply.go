// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// reply is a short answer that is not the list that was asked for.
type reply struct {
	status int
	// code and text make a SIMPLE_RETURN, or its JSON counterpart on the gateway. Without code html is the body.
	code int
	text string
	html string
}

// Codes that are enforced, besides those of parameters.
const (
	codeBusy         = 1960
	codeRateLimit    = 1965
	codeBadLogin     = 2000
	codeNoPermission = 2010
)

const maintenancePage = `<!DOCTYPE html><html><head><title>Maintenance</title></head>
<body><h1>We'll be back soon</h1><p>The platform is under maintenance &nbsp;&mdash; please try again later.<br></body></html>
`

// replies are the faults that replace an answer. Those without code and page are built where they are sent.
var replies = map[Fault]reply{
	BadLogin:               {status: http.StatusUnauthorized, code: codeBadLogin, text: "Bad Login/Password"},
	LoginPage:              {status: http.StatusUnauthorized, html: "<html><body><h1>401 Unauthorized</h1><p>Sign in.</body></html>\n"},
	Forbidden:              {status: http.StatusForbidden, code: codeNoPermission, text: "The user lacks a permission for this API."},
	AccountExpired:         {status: http.StatusOK, code: 2001, text: "The account has expired."},
	AccountInactive:        {status: http.StatusConflict, code: 2002, text: "The account is inactive."},
	RegistrationIncomplete: {status: http.StatusConflict, code: 2003, text: "The registration has to be completed."},
	SecondFactor:           {status: http.StatusConflict, code: 2011, text: "A second factor is required."},
	PasswordChange:         {status: http.StatusConflict, code: 2012, text: "The password has to be changed."},
	InvalidParameter:       {status: http.StatusBadRequest, code: codeInvalid, text: "parameter status has invalid value: simulated"},
	Busy:                   {status: http.StatusConflict, code: codeBusy, text: "Too many calls of this API run at the same time."},
	RateLimited:            {status: http.StatusConflict, code: codeRateLimit, text: "The number of calls of this API is used up."},
	TooManyRequests:        {status: http.StatusTooManyRequests},
	ServerError:            {status: http.StatusInternalServerError, code: 999, text: "Internal error."},
	BadGateway:             {status: http.StatusBadGateway, html: "<html><body><center><h1>502 Bad Gateway</h1></center><hr></body></html>\n"},
	Maintenance:            {status: http.StatusServiceUnavailable, html: maintenancePage},
	MaintenanceReturn:      {status: http.StatusServiceUnavailable, code: 1999, text: "The platform is under maintenance."},
	TokenExpired:           {status: http.StatusUnauthorized},
	GatewayTimeout:         {status: http.StatusGatewayTimeout, html: "<html><body><h1>504 Gateway Time-out</h1></body></html>\n"},
	OriginTimeout:          {status: 524, html: "<html><body><h1>524 A timeout occurred</h1></body></html>\n"},
	RequestTimeout:         {status: http.StatusRequestTimeout, html: "<html><body><h1>408 Request Time-out</h1></body></html>\n"},
	LimitText:              {status: http.StatusConflict},
	LimitEmpty:             {status: http.StatusConflict},
	NoToken:                {status: http.StatusOK},
	Failed:                 {status: http.StatusOK},
	Redirect:               {status: http.StatusFound},
	Empty:                  {status: http.StatusOK},
	Garbage:                {status: http.StatusOK},
}

// fault answers with a fault that replaces the answer.
func (c *call) fault(m *mishap) {
	r := replies[m.reply]
	if m.status != 0 {
		r.status = m.status
	}
	switch m.reply {
	case TooManyRequests:
		c.tooManyRequests(r.status, m.wait)
	case LimitText, LimitEmpty:
		c.limitWithoutCode(r.status, m)
	case NoToken:
		c.json(r.status, map[string]any{"message": "Signed in", "status": "OK"})
	case TokenExpired:
		c.unauthorized("JWT expired")
	case Failed:
		c.failed(r.status, "The request could not be processed")
	case Redirect:
		c.w.Header().Set("Location", "https://"+ForeignHost+c.r.URL.Path)
		c.w.WriteHeader(r.status)
	case Empty:
		c.w.Header().Set("Content-Length", "0")
		c.w.WriteHeader(r.status)
	case Garbage:
		c.w.WriteHeader(r.status)
		b := make([]byte, 0, 4096)
		for len(b) < cap(b) {
			b = append(b, byte(m.dice.next()))
		}
		c.write(b)
	default:
		if r.status == http.StatusServiceUnavailable && m.wait > 0 {
			c.w.Header().Set("Retry-After", strconv.Itoa(m.wait))
		}
		c.send(r, m.wait)
	}
}

// limitWithoutCode answers as was reported of both hosts: a text or nothing.
func (c *call) limitWithoutCode(status int, m *mishap) {
	if c.gateway() && m.status == 0 {
		status = http.StatusTooManyRequests
	}
	name := m.waitHeader
	if name == "" {
		name = "X-RateLimit-ToWait-Sec"
	}
	if m.wait > 0 && name != "none" {
		c.w.Header().Set(name, strconv.Itoa(m.wait))
	}
	text := ""
	if m.reply == LimitText {
		text = "This API cannot be run again for another " + strconv.Itoa(m.wait) + " seconds."
	}
	c.w.Header().Set("Content-Type", "text/plain")
	c.w.WriteHeader(status)
	c.write([]byte(text))
}

// send answers with a reply that has a code or a page.
func (c *call) send(r reply, wait int) {
	switch {
	case r.code == 0:
		c.html(r.status, r.html)
	case !c.gateway():
		c.simpleReturn(r.status, r.code, r.text, wait)
	case r.code == codeBusy || r.code == codeRateLimit:
		c.tooManyRequests(http.StatusTooManyRequests, wait)
	case r.status == http.StatusUnauthorized:
		c.unauthorized(r.text)
	default:
		c.failed(r.status, r.text)
	}
}

// simpleReturn answers with Qualys' error document, every other time without an XML declaration. A wait of 0 is left
// out, unless the code is that of the rate limit.
func (c *call) simpleReturn(status, code int, text string, wait int) {
	x := c.xml()
	x.pretty = true
	if c.number%2 == 0 || x.leading != "" {
		x.declaration()
	}
	x.buf = append(x.buf, `<!DOCTYPE SIMPLE_RETURN SYSTEM "`+c.base()+`/api/2.0/simple_return.dtd">`+"\n"...)
	x.open("SIMPLE_RETURN")
	x.open("RESPONSE")
	x.plain("DATETIME", c.datetime())
	x.int("CODE", int64(code))
	x.text("TEXT", text)
	if wait > 0 || code == codeRateLimit {
		x.open("ITEM_LIST")
		x.open("ITEM")
		x.plain("KEY", "SECONDS_TO_WAIT")
		x.int("VALUE", int64(wait))
		x.close("ITEM")
		x.close("ITEM_LIST")
	}
	x.close("RESPONSE")
	x.close("SIMPLE_RETURN")
	if wait > 0 && code == codeRateLimit && c.s.options.RateHeaders != HeadersNone {
		c.w.Header().Set("X-RateLimit-ToWait-Sec", strconv.Itoa(wait))
	}
	c.w.Header().Set("Content-Type", "application/xml")
	c.w.WriteHeader(status)
	c.write(c.encoded(x.buf))
}

// genericReturn answers as old endpoints do.
func (c *call) genericReturn(status int, text string) {
	x := c.xml()
	x.pretty = true
	x.declaration()
	x.buf = append(x.buf, `<!DOCTYPE GENERIC_RETURN SYSTEM "`+c.base()+`/generic_return.dtd">`+"\n"...)
	x.open("GENERIC_RETURN")
	x.attribute("RETURN", "status", "FAILED", text)
	x.close("GENERIC_RETURN")
	c.w.Header().Set("Content-Type", "text/xml")
	c.w.WriteHeader(status)
	c.write(c.encoded(x.buf))
}

func (c *call) html(status int, page string) {
	c.w.Header().Set("Content-Type", "text/html;charset=UTF-8")
	c.w.WriteHeader(status)
	c.write([]byte(page))
}

func (c *call) json(status int, body any) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	c.note(json.NewEncoder(c.w).Encode(body))
}

// unauthorized answers as the gateway does to a wrong or an expired token.
func (c *call) unauthorized(message string) {
	c.json(http.StatusUnauthorized, map[string]any{
		"status": http.StatusUnauthorized, "error": "Unauthorized", "message": message,
	})
}

// failed answers as the asset inventory does to a request that it cannot serve.
func (c *call) failed(status int, message string) {
	c.json(status, map[string]any{"responseMessage": message, "count": 0, "responseCode": "FAILED"})
}

// tooManyRequests answers as the gateway does over its limit, without Retry-After if wait is 0.
func (c *call) tooManyRequests(status, wait int) {
	if wait > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	c.json(status, map[string]any{"message": "API rate limit exceeded"})
}

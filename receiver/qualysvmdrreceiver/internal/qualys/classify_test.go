// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A response that is taken for the wrong class either locks the account or stops a collection for nothing.
func TestResponsesAreClassified(t *testing.T) {
	htmlPage := `<!DOCTYPE html><html><head><title>Down &amp; out</title></head><body><br></body></html>`
	tests := []struct {
		name          string
		status        int
		body          string
		authenticator bool
		class         Class
		login         bool
		code          int
		message       string
	}{
		{name: "bad login", status: 401, body: simpleReturn(2000, "Bad Login/Password"), class: Config, login: true, code: 2000, message: "detections: HTTP 401: code 2000: Bad Login/Password"},
		{name: "bad login as HTML", status: 401, body: htmlPage, class: Config, login: true, message: "HTML page: Down & out"},
		{name: "bad login without a body", status: 401, class: Config, login: true, message: "empty response"},
		{name: "unknown code under 401", status: 401, body: simpleReturn(4711, "no"), class: Config, login: true, code: 4711},
		{name: "bad login under another status", status: 200, body: simpleReturn(2000, "Bad Login/Password"), class: Config, login: true, code: 2000},
		{name: "401 under an authenticator", status: 401, body: htmlPage, authenticator: true, class: Ambiguous, login: true},
		{name: "401 with a code under an authenticator", status: 401, body: simpleReturn(2000, "no"), authenticator: true, class: Config, login: true, code: 2000},
		{name: "expired account under an authenticator", status: 200, body: simpleReturn(2001, "expired"), authenticator: true, class: Config, login: true, code: 2001},
		{name: "no permission", status: 403, body: simpleReturn(2010, "no access"), class: Config, code: 2010},
		{name: "no permission, unknown code", status: 403, body: simpleReturn(4711, "no access"), class: Config, code: 4711},
		{name: "expired account", status: 200, body: simpleReturn(2001, "This account has expired."), class: Config, login: true, code: 2001},
		{name: "inactive account", status: 409, body: simpleReturn(2002, "inactive"), class: Config, login: true, code: 2002},
		{name: "registration incomplete", status: 409, body: simpleReturn(2003, "incomplete"), class: Config, login: true, code: 2003},
		{name: "second factor", status: 409, body: simpleReturn(2011, "second factor"), class: Config, login: true, code: 2011},
		{name: "password change", status: 409, body: simpleReturn(2012, "change it"), class: Config, login: true, code: 2012},
		{name: "first parameter code", status: 400, body: simpleReturn(1901, "Unrecognized"), class: Config, code: 1901},
		{name: "last parameter code", status: 400, body: simpleReturn(1908, "clash"), class: Config, code: 1908},
		{name: "parameter code 1922", status: 400, body: simpleReturn(1922, "clash"), class: Config, code: 1922},
		{name: "parameter code under another status", status: 500, body: simpleReturn(1905, "invalid"), class: Config, code: 1905},
		{name: "forbidden without a code", status: 403, body: htmlPage, class: Ambiguous},
		{name: "not found", status: 404, class: Ambiguous},
		{name: "gone", status: 410, body: htmlPage, class: Ambiguous},
		{name: "moved", status: 301, class: Ambiguous},
		{name: "moved for now", status: 307, body: htmlPage, class: Ambiguous},
		{name: "maintenance", status: 200, body: simpleReturn(1999, "maintenance"), class: Generic, code: 1999},
		{name: "maintenance under 503", status: 503, body: simpleReturn(1999, "maintenance"), class: Generic, code: 1999},
		{name: "maintenance under 403", status: 403, body: simpleReturn(1999, "maintenance"), class: Generic, code: 1999},
		{name: "maintenance as HTML", status: 200, body: htmlPage, class: Generic, message: "HTML page: Down & out: root element is \"html\""},
		{name: "maintenance as HTML under 503", status: 503, body: htmlPage, class: Generic},
		{name: "internal error", status: 409, body: simpleReturn(999, "internal"), class: Generic, code: 999},
		{name: "unknown code under 200", status: 200, body: simpleReturn(4711, "?"), class: Generic, code: 4711},
		{name: "unknown code under 400", status: 400, body: simpleReturn(4711, "?"), class: Config, code: 4711},
		{name: "unknown code under 404", status: 404, body: simpleReturn(4711, "?"), class: Generic, code: 4711},
		{name: "unknown code under 500", status: 500, body: simpleReturn(4711, "?"), class: Generic, code: 4711},
		{name: "bad request without a code", status: 400, body: htmlPage, class: Generic},
		{name: "server error", status: 500, class: Generic},
		{name: "bad gateway", status: 502, body: "upstream\x00 is \x1b[31mdown", class: Generic, message: "upstream is [31mdown"},
		{name: "time-out", status: 408, class: Generic},
		{name: "with an XML declaration", status: 200, body: `<?xml version="1.0" encoding="UTF-8" ?>` + "\n" + simpleReturn(2001, "expired"), class: Config, login: true, code: 2001},
		{name: "with white space before", status: 200, body: "\n\n " + simpleReturn(2001, "expired"), class: Config, login: true, code: 2001},
		{name: "with a comment before the XML declaration", status: 200, body: "<!-- evaluation //-->\n<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n" + simpleReturn(2001, "abgelaufen f\xfcr"), class: Config, login: true, code: 2001, message: "abgelaufen für"},
		{name: "cut after the code", status: 200, body: "<SIMPLE_RETURN><RESPONSE><CODE>2001</CODE><TEXT>exp", class: Config, login: true, code: 2001},
		{name: "of an old API", status: 200, body: `<GENERIC_RETURN><API name="x"/><RETURN status="FAILED" number="2011">second factor</RETURN></GENERIC_RETURN>`, class: Config, login: true, code: 2011, message: "second factor"},
		{name: "of an old API without a code", status: 404, body: `<GENERIC_RETURN><RETURN status="FAILED">no</RETURN></GENERIC_RETURN>`, class: Ambiguous},
		{name: "empty", status: 200, class: Generic, message: "empty response"},
		{name: "white space", status: 200, body: " \n ", class: Generic, message: "empty response"},
		{name: "garbage", status: 200, body: "\x00\xff\x17", class: Generic},
		{name: "JSON", status: 200, body: `{"message":"what?"}`, class: Generic, message: "what?"},
		{name: "another list", status: 200, body: `<KNOWLEDGE_BASE_VULN_LIST_OUTPUT><RESPONSE/></KNOWLEDGE_BASE_VULN_LIST_OUTPUT>`, class: Generic, message: "HOST_LIST_VM_DETECTION_OUTPUT"},
		{name: "list under an error", status: 500, body: hostList(hosts(1)), class: Generic},
		{name: "list without a response", status: 200, body: "<HOST_LIST_VM_DETECTION_OUTPUT/>", class: Generic, message: "no RESPONSE"},
		{name: "another encoding", status: 200, body: "", class: Generic, message: `content encoding "br" is not supported`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var headers []string
			if tt.name == "another encoding" {
				headers = []string{"Content-Encoding", "br"}
			}
			settings := func(*Settings) {}
			if tt.authenticator {
				settings = withAuthenticator
			}
			synctest.Test(t, func(t *testing.T) {
				f, c, _ := start(t, respond(tt.status, tt.body, headers...), settings)
				e := requireError(t, detections(t.Context(), c))
				assert.Equal(t, tt.class.String(), e.Class.String())
				assert.Equal(t, tt.login, e.Login)
				assert.Equal(t, tt.code, e.Code)
				assert.Equal(t, tt.status, e.Status)
				assert.Equal(t, Detections, e.API)
				assert.Contains(t, e.Error(), tt.message)
				assert.Len(t, f.received(), 1)
				assert.Equal(t, tt.login, c.Rejection(Server) != nil)
			})
		})
	}
}

func TestGatewayResponsesAreClassified(t *testing.T) {
	tests := []struct {
		name          string
		status        int
		body          string
		authenticator bool
		class         Class
		login         bool
		message       string
	}{
		{name: "unknown field", status: 400, body: `{"responseCode":"FAILED","responseMessage":"Unknown field asset.foo"}`, class: Config, message: "FAILED: Unknown field asset.foo"},
		{name: "unknown field behind a byte order mark", status: 400, body: "\uFEFF{\"responseCode\":\"FAILED\",\"responseMessage\":\"Unknown field\"}", class: Config, message: "FAILED: Unknown field"},
		{name: "unknown field in another shape", status: 400, body: `{"zone":"a","cause":"asset.foo"}`, class: Config, message: "asset.foo: a"},
		{name: "bad request without a text", status: 400, body: `{"n":1}`, class: Config, message: "JSON object without a message"},
		{name: "bad request of a proxy", status: 400, body: "<html><title>no</title></html>", class: Generic},
		{name: "failure under 200", status: 200, body: `{"responseCode":"FAILED","responseMessage":"try again"}`, class: Generic, message: "FAILED: try again"},
		{name: "failure after the list", status: 200, body: `{"assetListData":{"asset":[]},"responseMessage":"try again","responseCode":"FAILED"}`, class: Generic, message: "FAILED: try again"},
		{name: "no module", status: 403, body: `{"message":"no"}`, class: Ambiguous},
		{name: "no such thing", status: 404, class: Ambiguous},
		{name: "moved", status: 302, class: Ambiguous},
		{name: "server error", status: 500, body: `{"status":500,"error":"Internal Server Error"}`, class: Generic, message: "Internal Server Error"},
		{name: "401 under an authenticator", status: 401, body: `{"status":401}`, authenticator: true, class: Ambiguous, login: true},
		{name: "empty", status: 200, class: Generic, message: "empty response"},
		{name: "HTML", status: 200, body: "<html><title>Maintenance</title></html>", class: Generic, message: "HTML page: Maintenance"},
		{name: "no list", status: 200, body: "{}", class: Generic, message: "no list of assets"},
		{name: "an error in place of the list", status: 200, body: `{"status":503,"error":"Service Unavailable","message":"no upstream"}`, class: Generic, message: "HTTP 200: Service Unavailable: no upstream: response holds no list of assets"},
		{name: "an array", status: 200, body: "[]", class: Generic, message: "not a JSON object"},
		{name: "not even a code", status: 200, body: simpleReturn(999, "internal"), class: Generic, message: "code 999"},
		{name: "two responses", status: 200, body: `{"responseCode":"SUCCESS"}{}`, class: Generic, message: "follows"},
		{name: "list is no list", status: 200, body: `{"assetListData":{"asset":7}}`, class: Generic, message: "list of assets"},
		{name: "asset is no object", status: 200, body: `{"assetListData":{"asset":[7]}}`, class: Generic, message: "an asset"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			settings := func(*Settings) {}
			if tt.authenticator {
				settings = withAuthenticator
			}
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, gateway(respond(tt.status, tt.body)), settings)
				_, err := readAssets(t.Context(), c, AssetQuery{})
				e := requireError(t, err)
				assert.Equal(t, tt.class.String(), e.Class.String())
				assert.Equal(t, tt.login, e.Login)
				assert.Equal(t, tt.status, e.Status)
				assert.Contains(t, e.Error(), tt.message)
			})
		})
	}
}

func TestParametersNamedByResponses(t *testing.T) {
	tests := []struct {
		name, text string
		parameter  string
		names      []string
		not        []string
	}{
		{name: "invalid value", text: "parameter ids has invalid value: abc (not a number: abc)", parameter: "ids", names: []string{"ids"}, not: []string{"id", "abc_"}},
		{name: "unknown", text: "Unrecognized parameter(s): show_qds_factors, show_qds", parameter: "show_qds_factors", names: []string{"show_qds_factors", "show_qds"}, not: []string{"show", "qds"}},
		{name: "not sent", text: "Missing required parameter(s): tag_set_by", names: []string{"tag_set_by"}},
		{name: "none", text: "request is not valid", not: []string{"ids", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, respond(400, simpleReturn(1905, tt.text, "HINT", "see the_guide")))
				_, err := c.Detections(t.Context(), DetectionQuery{Version: "5.0", IDs: []IDRange{{1, 2}}, Parameters: map[string]string{"show_qds": "1", "show_qds_factors": "1"}})
				e := requireError(t, err)
				assert.Equal(t, tt.parameter, e.Parameter)
				for _, name := range append(tt.names, "the_guide") {
					assert.True(t, e.Names(name), name)
				}
				for _, name := range tt.not {
					assert.False(t, e.Names(name), name)
				}
			})
		})
	}
}

// A proxy can repeat what it was sent; a message must not.
func TestCredentialsAreNeverInErrors(t *testing.T) {
	token := "eyJ0b2tlbiI6.c2VjcmV0.c2ln"
	echo := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth" && r.Header.Get("X-Fail") == "" {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, token)
			return
		}
		_, pass, _ := r.BasicAuth()
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, r.Header.Get("Authorization")+" "+pass+" "+url.QueryEscape(pass)+strings.Repeat("x", 1000))
	}
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, echo)
		e := requireError(t, detections(t.Context(), c))
		assert.NotContains(t, e.Error(), password)
		assert.NotContains(t, e.Error(), url.QueryEscape(password))
		assert.NotContains(t, e.Error(), "cXVheXMzcnQ6") // the user name in Basic
		assert.Contains(t, e.Error(), "[redacted]")
		assert.Less(t, len(e.Error()), 700)

		_, err := readAssets(t.Context(), c, AssetQuery{})
		assert.NotContains(t, requireError(t, err).Error(), token)
	})
}

// What an authenticator adds is not in the configuration, and is repeated all the same.
func TestCredentialsOfAnAuthenticatorAreNeverInErrors(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		_, pass, _ := r.BasicAuth()
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "no: %s, or %s", r.Header.Get("Authorization"), pass)
	}
	for name, header := range map[string]string{"token": "Bearer s3cr3t.t0ken", "password": "Basic " + base64.StdEncoding.EncodeToString([]byte("user:s3cr3t"))} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, echo, withAuthenticator, func(s *Settings) {
					inner := s.Server.HTTP.Transport
					s.Server.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
						r = r.Clone(r.Context())
						r.Header.Set("Authorization", header)
						return inner.RoundTrip(r)
					})}
				})
				e := requireError(t, detections(t.Context(), c))
				assert.Contains(t, e.Error(), "[redacted]")
				assert.NotContains(t, e.Error(), "s3cr3t")
				assert.NotContains(t, e.Error(), header)
			})
		})
	}
}

// A message has single spaces and printable characters only: a password need not.
func TestPasswordsWithWhiteSpaceAreNeverInErrors(t *testing.T) {
	const secret = "  two  words\tand\u00a0more "
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		if r.URL.Path == "/auth" {
			fmt.Fprintf(w, `{"message":%q}`, secret)
			return
		}
		_, pass, _ := r.BasicAuth()
		fmt.Fprintf(w, "no: %s, or %s", pass, strings.ReplaceAll(pass, "words", "wo\x00rds"))
	}
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, echo, func(s *Settings) { s.Server.Password, s.Gateway.Password = secret, secret })
		_, err := readAssets(t.Context(), c, AssetQuery{})
		for _, e := range []*Error{requireError(t, detections(t.Context(), c)), requireError(t, err)} {
			assert.Contains(t, e.Error(), "[redacted]")
			assert.NotContains(t, e.Error(), "words")
		}
	})
}

// Whoever repeats a password may write it as an address, HTML or JSON does.
func TestPasswordsSpelledOtherwiseAreNeverInErrors(t *testing.T) {
	const secret = `pa&ss"w<ö% +rd`
	for name, spelled := range map[string]string{
		"address":                `?pw=pa%26ss%22w%3C%C3%B6%25+%2Brd&x=1`,
		"address in lower case":  `?pw=pa%26ss%22w%3c%c3%b6%25%20%2brd`,
		"only what must be":      `pa%26ss%22w<ö% +rd`,
		"HTML":                   `pa&amp;ss&quot;w&lt;ö% +rd`,
		"HTML by numbers":        `pa&#38;ss&#x22;w&#60;&ouml;% +rd`,
		"JSON":                   `pa\u0026ss\"w\u003c\u00f6% +rd`,
		"JSON in upper case":     `pa\u0026ss\"w\u003C\u00F6% +rd`,
		"an address in HTML":     `pa%26ss%22w%3C%C3%B6%25%20%2Brd`,
		"an address twice":       `pa%2526ss%2522w%253C%25C3%25B6%2525%2520%252Brd`,
		"HTML in JSON":           `pa\u0026amp;ss\u0026quot;w\u0026lt;ö% +rd`,
		"across a line":          "pa&amp;ss&quot;w&lt;ö%\n+rd",
		"among other characters": `x%zz\u12 & &nothing; pa%26ss"w<ö% +rd \`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := start(t, respond(502, "no: "+spelled), func(s *Settings) { s.Server.Password = secret })
				e := requireError(t, detections(t.Context(), c))
				assert.Contains(t, e.Error(), "[redacted]")
				assert.NotContains(t, e.Error(), "ss")
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := start(t, respond(502, `100% of a&amp;b, \u0041 and %41 are fine`), func(s *Settings) { s.Server.Password = secret })
		assert.Contains(t, requireError(t, detections(t.Context(), c)).Error(), `100% of a&amp;b, \u0041 and %41 are fine`)
	})
}

// A page of a proxy can be endless: only its beginning is of interest.
func TestErrorBodiesAreReadInPart(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		for {
			if _, err := io.WriteString(w, strings.Repeat("down ", 1000)); err != nil {
				return
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		_, c, o := start(t, endless)
		assert.Equal(t, http.StatusBadGateway, requireError(t, detections(t.Context(), c)).Status)
		assert.Less(t, o.bytes, int64(2*maxError))
	})
}

func TestErrorsAreUnwrapped(t *testing.T) {
	cause := errors.New("cause")
	e := &Error{API: Assets, Err: cause}
	require.ErrorIs(t, e, cause)
	assert.Equal(t, "assets: cause", e.Error())
	assert.Equal(t, []string{"generic", "config", "ambiguous"}, []string{Generic.String(), Config.String(), Ambiguous.String()})
}

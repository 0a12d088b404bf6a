// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"
)

var (
	// unsureWaits are the distances between the tries of which the last one counts as a rejection, where a 401 can mean something
	// else than the credentials.
	unsureWaits = []time.Duration{4 * time.Minute, 7 * time.Minute}
	// rejectionWaits are the distances between the tries with what an authenticator supplies once that was rejected; the last one
	// stays. It may have changed where nobody can see it.
	rejectionWaits = []time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour, 24 * time.Hour}
)

// Rejection says that an endpoint has rejected credentials.
type Rejection struct {
	Endpoint EndpointName
	// Err is what the calls return while the rejection holds. nil: the credentials work again.
	Err *Error
	// Until is when the next request may be sent. Zero: not with these credentials.
	Until time.Time
	// Tries is how often in a row they were rejected.
	Tries int
	// Credential is what an authenticator has sent. "": it cannot be told, or is known from before a restart.
	Credential Secret
	// Same reports whether a credential is the one that was rejected. nil: it cannot be told.
	Same func(Secret) bool
}

// Secret is a text that no message may show.
type Secret string

// String hides the text.
func (Secret) String() string { return redacted }

// GoString hides the text.
func (Secret) GoString() string { return redacted }

// parts are the texts in an Authorization header that no message may repeat: what stands behind the scheme, and the password in that.
func (s Secret) parts() []string {
	_, token, _ := strings.Cut(string(s), " ")
	parts := []string{token}
	if decoded, err := base64.StdEncoding.DecodeString(token); err == nil {
		_, password, _ := strings.Cut(string(decoded), ":")
		parts = append(parts, url.QueryEscape(password), password)
	}
	return parts
}

// same is the Same of a Rejection of s.
func (s Secret) same() func(Secret) bool {
	if s == "" {
		return nil
	}
	return func(other Secret) bool { return other == s }
}

// login is the gate that all requests to an endpoint pass. Repeated bad logins lock a Qualys account: requests are sent one at
// a time until a response has shown that the login is good, and none while it is known to be rejected.
type login struct {
	name          EndpointName
	authenticator bool
	credential    func(context.Context) Secret // what the authenticator sends now, "": it cannot be told; may be nil
	rejected      func(Rejection)
	verifying     chan struct{} // holds the one request that finds out

	// mu guards everything below.
	mu        sync.Mutex
	verified  bool
	rejection Rejection // Err is nil if there is none
	unsure    int       // 401 in a row that may mean something else
	number    uint64    // of the request that was let through last
	judged    uint64    // requests up to this one were let through before the last 401 was read
	underWay  map[uint64]context.CancelCauseFunc
}

func newLogin(name EndpointName, e Endpoint, rejected func(Rejection)) *login {
	return &login{
		name:          name,
		authenticator: e.Authenticator,
		credential:    e.Credential,
		rejected:      rejected,
		verifying:     make(chan struct{}, 1),
		underWay:      map[uint64]context.CancelCauseFunc{},
	}
}

// passage is the way of one request through the gate.
type passage struct {
	number uint64
	alone  bool // it finds out whether the login is good
}

// enter lets a request through, or returns the rejection. Whatever becomes of it is to be told to leave.
func (l *login) enter(ctx context.Context) (passage, error) {
	if known, p, err := l.outcome(); known {
		return p, err
	}
	select {
	case l.verifying <- struct{}{}:
	case <-ctx.Done():
		return passage{}, context.Cause(ctx)
	}
	known, p, err := l.outcome()
	if known {
		<-l.verifying
		return p, err
	}
	p.alone = true
	return p, nil
}

// held returns the rejection for which nothing may be sent now, else nil.
func (l *login) held(ctx context.Context) error {
	l.look(ctx)
	if err := l.rejectedWith(); err != nil {
		return err
	}
	return nil
}

// outcome reports whether it is known how the login turns out, and returns the rejection if it is one.
func (l *login) outcome() (known bool, p passage, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holds() {
		return true, passage{}, l.rejection.Err
	}
	l.number++
	return l.verified, passage{number: l.number}, nil
}

// holds reports whether nothing may be sent now.
func (l *login) holds() bool {
	r := l.rejection
	return r.Err != nil && (r.Until.IsZero() || time.Now().Before(r.Until))
}

// sending registers the cancel function of a request that is about to be sent: a rejection that is read meanwhile ends it, as it
// may not have been sent yet. The function that it returns is to be called when the response has begun.
func (l *login) sending(p passage, cancel context.CancelCauseFunc) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holds() {
		cancel(l.rejection.Err)
	}
	l.underWay[p.number] = cancel
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.underWay, p.number)
	}
}

// leave ends a request that enter let through and that ended with err. sent are the credentials of an authenticator that were
// sent. An error verifies the login if Qualys itself tells it and means something else.
func (l *login) leave(p passage, sent Secret, err error) {
	var e *Error
	isError := errors.As(err, &e)
	l.mu.Lock()
	var told *Rejection
	switch {
	case isError && e.Login && p.number > l.judged:
		l.judged = l.number
		told = l.judge(e, sent)
	case err == nil, isError && e.Code != 0 && !outage(e.Code) && !e.Login:
		told = l.accept()
	}
	l.mu.Unlock()
	if told != nil && l.rejected != nil {
		l.rejected(*told)
	}
	if p.alone {
		<-l.verifying
	}
}

// accept notes that the login is good, which a request that was sent before a rejection does not show. It returns what is to be
// told of credentials that were rejected before.
func (l *login) accept() *Rejection {
	if l.holds() {
		return nil
	}
	rejected := l.rejection.Tries > 0
	l.open()
	l.verified = true
	if !rejected {
		return nil
	}
	return &Rejection{Endpoint: l.name}
}

// judge takes note of a 401, or of an account that cannot be used, and returns the rejection that it is. One that may mean
// something else than the credentials is one only when it has come several times.
func (l *login) judge(e *Error, sent Secret) *Rejection {
	l.verified = false
	now := time.Now()
	if e.Class == Ambiguous {
		if l.unsure < len(unsureWaits) && l.rejection.Tries == 0 {
			e.RetryAt = now.Add(unsureWaits[l.unsure])
			l.unsure++
			l.hold(Rejection{Endpoint: l.name, Err: e, Until: e.RetryAt, Tries: l.rejection.Tries, Credential: sent, Same: sent.same()})
			return nil
		}
		e.Class = Config
	}
	r := Rejection{Endpoint: l.name, Err: e, Tries: l.rejection.Tries + 1, Credential: sent, Same: sent.same()}
	if l.authenticator {
		e.RetryAt = now.Add(rejectionWaits[min(r.Tries, len(rejectionWaits))-1])
		r.Until = e.RetryAt
	}
	l.hold(r)
	return &r
}

// hold closes the gate, and ends the requests that have no response yet.
func (l *login) hold(r Rejection) {
	l.rejection = r
	l.verified = false
	for _, cancel := range l.underWay {
		cancel(r.Err)
	}
	clear(l.underWay)
}

// open forgets a rejection.
func (l *login) open() {
	l.rejection, l.unsure = Rejection{}, 0
}

// recall closes the gate for a rejection that is known from elsewhere, or opens it if there is none.
func (l *login) recall(r Rejection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.verified = false
	l.judged = l.number
	if r.Err == nil {
		l.open()
		return
	}
	l.hold(r)
}

// rejectedWith returns the error for which nothing is sent, or nil.
func (l *login) rejectedWith() *Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.holds() {
		return nil
	}
	return l.rejection.Err
}

// look opens the gate if an authenticator supplies other credentials than those that were rejected.
func (l *login) look(ctx context.Context) {
	l.mu.Lock()
	r := l.rejection
	holds := l.holds()
	l.mu.Unlock()
	if !holds || l.credential == nil || r.Same == nil {
		return
	}
	now := l.credential(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if now != "" && !r.Same(now) && l.rejection.Err == r.Err {
		l.open()
	}
}

// StableCredential returns the credentials in an Authorization header if they are the same in every request as long as nobody
// changes them, else "": a signature is another one each time.
func StableCredential(authorization string) Secret {
	scheme, _, _ := strings.Cut(authorization, " ")
	if strings.EqualFold(scheme, "Basic") || strings.EqualFold(scheme, "Bearer") {
		return Secret(authorization)
	}
	return ""
}

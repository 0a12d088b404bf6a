// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"encoding/hex"
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
)

const redacted = "[redacted]"

// redact takes secrets out of a text of a response, and makes one line of it: a proxy's page can repeat what it was sent. Secrets
// are looked for before, as a password can hold white space, and after, as something else can stand in it that the line loses. A
// text that spells one of them in another way, as an address, HTML or JSON does, is withheld.
func redact(text string, secrets []string) string {
	for _, secret := range secrets {
		text = replaceSecret(text, secret)
	}
	text = oneLine(text)
	for _, secret := range secrets {
		text = replaceSecret(text, secret)
		text = replaceSecret(text, oneLine(secret))
	}
	for part := range strings.SplitSeq(text, redacted) {
		if spells(part, secrets) {
			return redacted
		}
	}
	return text
}

func replaceSecret(text, secret string) string {
	if secret == "" {
		return text
	}
	return strings.ReplaceAll(text, secret, redacted)
}

// unescapeRounds is how often a text is unescaped: a page can quote an address that quotes what it was sent.
const unescapeRounds = 3

// spells reports whether a text holds one of the secrets once it is unescaped, in whatever way.
func spells(text string, secrets []string) bool {
	for range unescapeRounds {
		before := text
		for _, unescape := range []func(string) string{unescapePercent, html.UnescapeString, unescapeJSON} {
			text = unescape(text)
			if holdsAny(text, secrets) || holdsAny(strings.ReplaceAll(text, "+", " "), secrets) {
				return true
			}
		}
		if text == before {
			return false
		}
	}
	return false
}

func holdsAny(text string, secrets []string) bool {
	line := oneLine(text)
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		if strings.Contains(text, secret) {
			return true
		}
		if short := oneLine(secret); short != "" && strings.Contains(line, short) {
			return true
		}
	}
	return false
}

// unescapePercent reads %26 as &. What is no such escape stays.
func unescapePercent(text string) string {
	return replaceEscapes(text, '%', func(rest string) (string, int) {
		if len(rest) < 3 {
			return "", 0
		}
		b, err := hex.DecodeString(rest[1:3])
		if err != nil {
			return "", 0
		}
		return string(b), 3
	})
}

// unescapeJSON reads the escapes of JSON strings.
func unescapeJSON(text string) string {
	return replaceEscapes(text, '\\', func(rest string) (string, int) {
		if len(rest) < 2 {
			return "", 0
		}
		switch rest[1] {
		case '"', '\\', '/', '\'':
			return rest[1:2], 2
		case 'b', 'f', 'n', 'r', 't':
			return " ", 2
		}
		first, ok := unicodeEscape(rest)
		if !ok {
			return "", 0
		}
		if second, ok := unicodeEscape(rest[6:]); ok && utf16.IsSurrogate(first) {
			return string(utf16.DecodeRune(first, second)), 12
		}
		return string(first), 6
	})
}

// unicodeEscape reads \u0026 at the beginning of a text.
func unicodeEscape(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 32)
	return rune(n), err == nil
}

// replaceEscapes replaces what escape reads wherever the mark stands: it returns what the beginning of a text stands for, and how
// long that is, 0: it is no escape.
func replaceEscapes(text string, mark byte, escape func(rest string) (string, int)) string {
	if strings.IndexByte(text, mark) < 0 {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		i := strings.IndexByte(text, mark)
		if i < 0 {
			break
		}
		b.WriteString(text[:i])
		text = text[i:]
		value, n := escape(text)
		if n == 0 {
			value, n = text[:1], 1
		}
		b.WriteString(value)
		text = text[n:]
	}
	b.WriteString(text)
	return b.String()
}

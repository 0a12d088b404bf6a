// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func requireQuotedAsByJSONText(t *testing.T, text string) {
	t.Helper()
	want, err := jsontext.AppendQuote(nil, text)
	require.NoError(t, err)
	require.Equal(t, string(want), string(appendQuoted(nil, []byte(text))))
}

func TestTextsAreQuotedAsJSONTextDoes(t *testing.T) {
	for c := rune(0); c < 0x3000; c++ {
		// At each place of a word, and behind the last one.
		for _, before := range []string{"", "a", "abcdefg", "abcdefgh", "abcdefghijk"} {
			requireQuotedAsByJSONText(t, before+string(c)+"z"+strings.Repeat("y", len(before)))
		}
	}
	assert.Equal(t, `x""`, string(appendQuoted([]byte("x"), nil)))
}

func FuzzQuoted(f *testing.F) {
	f.Add("a \"b\" \\ \t\x00\x1f\x7f € 𝄞\u2028<>&")
	f.Fuzz(func(t *testing.T, text string) { requireQuotedAsByJSONText(t, strings.ToValidUTF8(text, "\ufffd")) })
}

// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// message is the literal beginning of what the receiver logs.
type message struct {
	level, text, place string
}

// messages are what the receiver logs, of all levels.
func messages(t *testing.T) []message {
	t.Helper()
	var found []message
	folder := filepath.Join(root, "receiver", "qualysvmdrreceiver")
	require.NoError(t, filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{"harness", "e2e", "benchmark", "cmd"}, entry.Name()) {
			return fs.SkipDir
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Info", "Warn", "Error"}, method.Sel.Name) {
				return true
			}
			first := call.Args[0]
			if sum, ok := first.(*ast.BinaryExpr); ok {
				first = sum.X
			}
			if literal, ok := first.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				found = append(found, message{method.Sel.Name, strings.TrimRight(text, ": "), files.Position(call.Pos()).String()})
			}
			return true
		})
		return nil
	}))
	require.NotEmpty(t, found)
	return found
}

// Whoever finds a warning or an error in the log must find out what to do.
func TestEachWarningAndErrorIsInSetup(t *testing.T) {
	text, err := os.ReadFile("setup.md")
	require.NoError(t, err)
	for _, m := range messages(t) {
		found := strings.Contains(string(text), "`"+m.text) // not assert.Contains, which would print the document
		assert.True(t, m.level == "Info" || found, "%s: docs/setup.md has no row for %q", m.place, m.text)
	}
}

// A row for a message that there is not any more keeps people from finding the one that there is.
func TestEachLogMessageInSetupExists(t *testing.T) {
	text, err := os.ReadFile("setup.md")
	require.NoError(t, err)
	_, part, found := strings.Cut(string(text), "\n### Log messages\n")
	require.True(t, found)
	part, _, _ = strings.Cut(part, "\n### ")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(part, -1)
	require.NotEmpty(t, rows)
	all := messages(t)
	for _, row := range rows {
		assert.True(t, slices.ContainsFunc(all, func(m message) bool { return m.text == strings.TrimRight(row[1], ": …") }), "the receiver does not log %q", row[1])
	}
}

func TestLogMessagesHaveOneStyle(t *testing.T) {
	initialism := regexp.MustCompile(`^[A-Z]+s?\b`)
	for _, m := range messages(t) {
		assert.False(t, strings.HasSuffix(m.text, "."), "%s: %q ends with a full stop", m.place, m.text)
		start := m.text[:1]
		assert.True(t, start == strings.ToLower(start) || initialism.MatchString(m.text) && len(initialism.FindString(m.text)) > 1, "%s: %q begins with a capital", m.place, m.text)
	}
}

// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs_test checks the repository's documents.
package docs_test

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = ".."

var (
	codeBlock = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	code      = regexp.MustCompile("`[^`\n]*`")
	link      = regexp.MustCompile(`\]\(([^()\s]+)\)|(?m:^\[[^\]]+\]:\s+(\S+)$)`)
	heading   = regexp.MustCompile(`(?m)^#{1,6}\s+(.+?)\s*$`)
	noAnchor  = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

// documents are the Markdown files of the repository by their paths from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "bin", "build", "testdata"}, entry.Name()) {
			return fs.SkipDir
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		found[name] = string(text)
		return err
	}))
	return found
}

// anchors are the names by which the headings of a document can be linked to.
func anchors(text string) []string {
	var names []string
	for _, h := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		name := noAnchor.ReplaceAllString(strings.ToLower(h[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

func TestLinksInsideTheRepositoryExist(t *testing.T) {
	all := documents(t)
	checked := 0
	for name, text := range all {
		text = code.ReplaceAllString(codeBlock.ReplaceAllString(text, ""), "")
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			target, err := url.Parse(found[1] + found[2])
			require.NoError(t, err, name)
			if target.Scheme != "" || target.Host != "" {
				continue
			}
			checked++
			file := name
			if target.Path != "" {
				assert.False(t, path.IsAbs(target.Path), "%s links to the absolute path %s", name, target.Path)
				file = path.Join(path.Dir(name), target.Path)
				_, err := os.Stat(filepath.Join(root, file))
				assert.NoError(t, err, "%s links to %s", name, target)
			}
			if linked, ok := all[file]; ok && target.Fragment != "" {
				assert.Contains(t, anchors(linked), target.Fragment, "%s links to %s", name, target)
			}
		}
	}
	assert.NotZero(t, checked)
}

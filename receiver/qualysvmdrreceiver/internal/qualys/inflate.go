// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualys

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// inflate returns the content of a body that was encoded as its header says. An encoding that nobody asked for is an error of
// reading it: the status and the headers tell all the same whether credentials were rejected, or a limit exceeded.
func inflate(body io.Reader, encoding string) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body
	case "gzip", "x-gzip":
		return &gunzip{src: body}
	default:
		return &gunzip{err: fmt.Errorf("content encoding %.40q is not supported", encoding)}
	}
}

// gunzip inflates. It reads nothing before it is asked to, and takes a body without a byte for empty: responses without content
// name an encoding, too.
type gunzip struct {
	src io.Reader
	gz  *gzip.Reader
	err error
}

// Read returns inflated bytes. A body that is cut gives io.ErrUnexpectedEOF.
func (g *gunzip) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.gz == nil {
		g.gz, g.err = gzip.NewReader(bufio.NewReaderSize(g.src, 64<<10))
		if g.err != nil {
			return 0, g.err
		}
	}
	n, err := g.gz.Read(p)
	g.err = err
	return n, err
}

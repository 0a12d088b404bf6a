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

// inflate returns the content of a body that was encoded as its header says.
func inflate(body io.Reader, encoding string) (io.Reader, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		return &gunzip{src: body}, nil
	default:
		return nil, fmt.Errorf("content encoding %.40q is not supported", encoding)
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

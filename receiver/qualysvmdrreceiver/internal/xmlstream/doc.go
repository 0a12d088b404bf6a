// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package xmlstream reads XML as a stream of tokens, without allocating for
// each of them and without holding more of the document than one window.
//
// It is strict: tags must match, there is one root, nothing but the five
// entities of XML and character references is known, and an internal DTD
// subset is refused. Nothing is ever fetched because a document names it. In
// one thing it is lenient, because scanners report what they find on hosts:
// bytes that are not UTF-8 become U+FFFD, characters that XML forbids are kept,
// and [Reader.Repaired] counts both. A document that is declared to be written in
// ISO-8859-1, ISO-8859-15 or windows-1252 is decoded as it comes, and all else is
// about its text in UTF-8, offsets and Raw included; no other encodings are read.
//
// It is not validating and knows no namespaces: a name is handed out as it is
// written, prefix included. Attribute values keep their white space, but for
// the line ends, as in encoding/xml.
//
// What is deliberately stricter than encoding/xml in its strict mode: exactly
// one root (unless the reader is one of fragments), no text outside of it, no
// declarations but one DOCTYPE before it, an XML declaration only where the
// document begins (white space and comments before it are forgiven: Qualys has
// sent both), no attribute twice, white space between attributes. What is more
// lenient: the
// characters above, "--" in comments, any version, names by the fifth edition of
// XML 1.0.
//
// The window has a fixed size, and a tag must fit into it. So memory depends
// neither on the size of the document nor on that of a value, comment or run
// of white space: a long value comes in several pieces, the others are skipped
// as they come. Bytes that are in memory already are read in place, through a
// window that is as large.
//
// Next reads any token. Expect, Leaf and SkipSpace read what nearly all of a page
// consists of in fewer steps, and nothing else.
package xmlstream

// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package dataset says what each dataset asks Qualys for, and what of it can come again. There is one file a dataset, which
// is a source for the engine: it plans the passes of a collection, sends their requests with the client of package qualys,
// and makes records of their responses with the builders of package records.
package dataset

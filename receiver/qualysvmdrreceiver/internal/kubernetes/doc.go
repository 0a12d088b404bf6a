// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

// Package kubernetes tests the receiver with the extension that elects a leader by a lease of Kubernetes, and the manifests of
// the examples.
package kubernetes

// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

// version is that of the receiver: in the User-Agent of its requests and in the scope of its records.
const version = "0.1.0"

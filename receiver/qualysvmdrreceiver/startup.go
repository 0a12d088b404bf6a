// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"crypto/fips140"

	"go.uber.org/zap"
)

// logStarting logs which receiver starts, and whether the collector runs in FIPS 140-3 mode with which version of Go's
// cryptographic module: an auditor reads it there, as the mode is chosen when a collector is built or started.
func logStarting(logger *zap.Logger) {
	logger.Info("starting the receiver",
		zap.String("version", version),
		zap.Bool("fips140", fips140.Enabled()),
		zap.String("fips140.module", fips140.Version()))
}

// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// An operator of a government platform must see whether the mode is on. It is chosen when a process starts, hence the
// processes of their own.
func TestStartSaysWhetherFIPSModeIsOn(t *testing.T) {
	if os.Getenv("QUALYSVMDR_LOG_STARTING") != "" {
		encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "message"})
		logStarting(zap.New(zapcore.NewCore(encoder, os.Stdout, zap.InfoLevel)))
		return
	}
	for mode, expected := range map[string]string{"off": `"fips140":false`, "on": `"fips140":true`} {
		t.Run(mode, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStartSaysWhetherFIPSModeIsOn$")
			command.Env = append(os.Environ(), "GODEBUG=fips140="+mode, "QUALYSVMDR_LOG_STARTING=1")
			output, err := command.CombinedOutput()
			require.NoError(t, err, string(output))
			assert.Contains(t, string(output), `{"message":"starting the receiver"`)
			assert.Contains(t, string(output), expected)
		})
	}
}

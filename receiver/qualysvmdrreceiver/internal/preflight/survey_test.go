// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver"
)

// told are the facts of a check, by name.
func told(t *testing.T, cfg *qualysvmdrreceiver.Config) map[string]string {
	t.Helper()
	report, err := Run(t.Context(), cfg, time.Minute, Refusals{})
	require.NoError(t, err)
	facts := map[string]string{}
	for _, f := range report.Facts {
		assert.NotContains(t, facts, f.Name)
		facts[f.Name] = f.Value
	}
	return facts
}

// What one plans the collection with is the service level that Qualys has set, whatever the contract says.
func TestServiceLevelIsTold(t *testing.T) {
	for level, text := range map[qualyssim.ServiceLevel]string{
		qualyssim.Express:    "50 calls a day, 49 remaining, 1 at once (as service level Express)",
		qualyssim.Standard:   "300 calls an hour, 299 remaining, 2 at once (as service level Standard)",
		qualyssim.Enterprise: "750 calls an hour, 749 remaining, 5 at once (as service level Enterprise)",
		qualyssim.Premium:    "2000 calls an hour, 1999 remaining, 10 at once (as service level Premium)",
	} {
		for _, headers := range []qualyssim.RateHeaders{qualyssim.HeadersHyphenated, qualyssim.HeadersJoined} {
			options := qualyssim.Options{RateHeaders: headers}
			require.True(t, level.Apply(&options))
			_, cfg := simulated(t, options, "vulnerabilities:\nactivity_log:\n")
			facts := told(t, cfg)
			assert.Equal(t, text, facts["limits of detections"])
			assert.Equal(t, text, facts["limits of activity_log"])
		}
	}
	_, cfg := simulated(t, qualyssim.Options{RateLimit: 17, RateWindow: time.Minute, Concurrency: 3}, "vulnerabilities:\n")
	assert.Equal(t, "17 calls in 1m0s, 16 remaining, 3 at once", told(t, cfg)["limits of detections"], "support can set any limits")
	_, cfg = simulated(t, qualyssim.Options{RateHeaders: qualyssim.HeadersNone}, "vulnerabilities:\n")
	assert.NotContains(t, told(t, cfg), "limits of detections", "Qualys says nothing of them")
}

func TestHostsAndAssetsAreCounted(t *testing.T) {
	for _, datasets := range []string{"vulnerabilities:\n", "hosts:\n", "vulnerabilities:\nhosts:\n"} {
		for _, hosts := range []int{7, 100, 101, 2500} {
			sim, cfg := simulated(t, qualyssim.Options{Hosts: hosts, Assets: 321, Concurrency: 1, Linger: time.Hour}, datasets+"asset_inventory:\n")
			facts := told(t, cfg)
			assert.Equal(t, fmt.Sprint(hosts), facts["hosts"])
			assert.Equal(t, "321", facts["assets"])
			requests := 1
			if hosts > 100 {
				requests = 2
			}
			assert.Equal(t, requests, sent(sim)[qualyssim.HostList], "a page that has all of them is counted")
		}
	}
}

// An account that sees nothing is accepted like any other: its datasets are just empty.
func TestEmptyAccount(t *testing.T) {
	_, cfg := simulated(t, qualyssim.Options{Hosts: -1, Assets: -1, Activities: -1}, all)
	facts := told(t, cfg)
	assert.Contains(t, facts["hosts"], "none: ")
	assert.Contains(t, facts["hosts"], "role")
	assert.Contains(t, facts["assets"], "Allow user view access to all objects")
	assert.NotContains(t, facts, "last scans")
	assert.Contains(t, facts["role"], "not known")
}

func TestAgesOfTheLastScans(t *testing.T) {
	now := time.Now()
	ago := func(days int) string {
		at := now.Add(-time.Duration(days)*24*time.Hour - time.Hour).UTC().Format(time.RFC3339)
		return "<LAST_VULN_SCAN_DATETIME>" + at + "</LAST_VULN_SCAN_DATETIME>"
	}
	tests := []struct {
		name  string
		hosts []string
		says  string
	}{
		{"one host", []string{ago(3)}, "3 to 3 days ago, of the first host"},
		{"several hosts", []string{ago(41), ago(0), ago(7)}, "0 to 41 days ago, of the first 3 hosts"},
		{"never scanned", []string{ago(2), "", "<OS>Linux</OS>"}, "2 to 2 days ago, of the first 3 hosts; 2 never"},
		{"none scanned", []string{"", ""}, "none of the first 2 hosts"},
		{"older element only", []string{"<LAST_VM_SCANNED_DATE><![CDATA[" + now.Add(-100*24*time.Hour).UTC().Format(time.RFC3339) + "]]></LAST_VM_SCANNED_DATE>"}, "100 to 100 days ago, of the first host"},
		{"no time", []string{"<LAST_VM_SCANNED_DATE>soon</LAST_VM_SCANNED_DATE>"}, "none of the first host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script := &qualyssim.Script{}
			for i, elements := range tt.hosts {
				script.SetHost(int64(i+1), qualyssim.ScriptedHost{Elements: elements})
			}
			_, cfg := simulated(t, qualyssim.Options{Script: script}, "hosts:\n")
			assert.Equal(t, tt.says, told(t, cfg)["last scans"])
		})
	}
}

// A role that sees only a part of the hosts shows in no error.
func TestRoleIsTakenFromTheActivityLog(t *testing.T) {
	for role, says := range map[string]string{
		"Manager":      "Manager: sees everything",
		"Unit Manager": "business unit only",
		"Reader":       "its own rows of the activity log only",
		"Auditor":      "no permission for detections",
		"Remediator":   `"Remediator"; compare`,
	} {
		script := &qualyssim.Script{}
		script.AddActivity(
			qualyssim.Activity{Date: time.Now(), Action: "login", UserName: "user", UserRole: role},
			qualyssim.Activity{Date: time.Now(), Action: "login", UserName: "another", UserRole: "Scanner"},
		)
		_, cfg := simulated(t, qualyssim.Options{Script: script}, "activity_log:\n")
		assert.Contains(t, told(t, cfg)["role"], says)
	}
}

// What only counts must neither stop the check nor be counted as missing.
func TestWhatCannotBeCounted(t *testing.T) {
	_, cfg := simulated(t, qualyssim.Options{NoHostListPermission: true}, "vulnerabilities:\n")
	report, err := Run(t.Context(), cfg, time.Minute, Refusals{})
	require.NoError(t, err)
	assert.Equal(t, []string{"vulnerabilities: ok"}, texts(report.Findings))
	assert.Contains(t, report.Facts, Fact{"hosts", "not known: host_list: HTTP 403: code 2010: The user may not list hosts."})

	sim, cfg := simulated(t, qualyssim.Options{NoHostListPermission: true}, "vulnerabilities:\nhosts:\n")
	assert.NotContains(t, told(t, cfg), "hosts", "its line says it already")
	assert.Equal(t, 1, sent(sim)[qualyssim.HostList], "what was refused is sent again")

	fault := qualyssim.NextFault{Fault: qualyssim.RateLimited, API: qualyssim.HostList, Wait: 7200}
	_, cfg = simulated(t, qualyssim.Options{Faults: qualyssim.Faults{Next: []qualyssim.NextFault{fault}}}, "vulnerabilities:\n")
	assert.Contains(t, told(t, cfg)["hosts"], "not known: host_list: ", "a limit is not waited for")
}

// Where nobody answers there is nothing to compare.
func TestNoFactsWithoutAnswers(t *testing.T) {
	cfg := configuration(t, "server: {endpoint: \"http://127.0.0.1:1\"}\nusername: u\npassword: p\nvulnerabilities:\nactivity_log:\n")
	assert.Empty(t, told(t, cfg))
}

func TestFactsAreAligned(t *testing.T) {
	var out strings.Builder
	require.NoError(t, WriteFacts(&out, []Fact{{"limits of detections", "300 calls an hour"}, {"hosts", "7"}}))
	assert.Equal(t, "  limits of detections  300 calls an hour\n  hosts                 7\n", out.String())
}

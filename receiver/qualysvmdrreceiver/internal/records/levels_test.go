// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// levelsOf returns how deep a value is nested, itself included.
func levelsOf(v pcommon.Value) int {
	deepest := 0
	switch v.Type() {
	case pcommon.ValueTypeMap:
		for _, member := range v.Map().All() {
			deepest = max(deepest, levelsOf(member))
		}
	case pcommon.ValueTypeSlice:
		for _, entry := range v.Slice().All() {
			deepest = max(deepest, levelsOf(entry))
		}
	default:
		return 0
	}
	return deepest + 1
}

// Collectors from v0.165 on refuse a deeper body, and all that is in one request with it.
func TestBodiesAreNotNestedTooDeep(t *testing.T) {
	xml := strings.Repeat("<A>", 50) + "<B>leaf-text</B>" + strings.Repeat("</A>", 50)
	lists := strings.Repeat("<A><ATTRIBUTE>", 25) + "<B>leaf-text</B>" + strings.Repeat("</ATTRIBUTE></A>", 25)
	asset := `[{"assetId":1,"a":` + strings.Repeat(`[{"b":`, 25) + `"leaf-text"` + strings.Repeat("}]", 25) + "}]"
	for name, build := range map[string]func(Settings) Chunk{
		"detection":       func(s Settings) Chunk { return detectionsOf(t, s, oneHost("<DETECTION>"+xml+"</DETECTION>")) },
		"detection, list": func(s Settings) Chunk { return detectionsOf(t, s, oneHost("<DETECTION>"+lists+"</DETECTION>")) },
		"host":            func(s Settings) Chunk { return detectionsOf(t, s, oneHost(lists+lists+"<DETECTION/>")) },
		"entry":           func(s Settings) Chunk { return entriesOf(t, s, "<VULN>"+xml+lists+"</VULN>") },
		"asset":           func(s Settings) Chunk { return assetsOf(t, s, time.Time{}, asset) },
	} {
		t.Run(name, func(t *testing.T) {
			structured, asText := build(testSettings()), build(inJSON(testSettings()))
			body := onlyRecord(t, structured).Body()
			assert.LessOrEqual(t, levelsOf(body), 30)
			assert.Greater(t, levelsOf(body), 26, "not more than needed becomes text")
			text := onlyRecord(t, asText).Body().Str()
			assert.Contains(t, text, `leaf-text`, "nothing is lost")
			var read any
			require.NoError(t, json.Unmarshal([]byte(text), &read))
			fresh := pcommon.NewValueEmpty()
			require.NoError(t, fresh.FromRaw(read))
			assert.Equal(t, levelsOf(body), levelsOf(fresh))
			assert.Len(t, text, int(asText.Items[0].Bytes))
			agree(t, structured, asText)
		})
	}
}

func TestWhatIsNestedTooDeepIsItsJSON(t *testing.T) {
	deep := strings.Repeat("<A>", 27) + "<X><B>1</B><ATTRIBUTE>\"</ATTRIBUTE></X>" + strings.Repeat("</A>", 27)
	text := hostJSON(t, "<DETECTION>"+deep+"<PORT>2</PORT></DETECTION>")
	assert.Contains(t, text, `"X":{"B":"1","Attribute":"[\"\\\"\"]"}`)
	assert.Contains(t, text, `"Port":2`)
	deep = "<A>" + deep + "</A>"
	assert.Contains(t, hostJSON(t, "<DETECTION>"+deep+"</DETECTION>"), `"X":"{\"B\":\"1\",\"Attribute\":[\"\\\"\"]}"`)
}

// The JSON of a value can be longer than a value may be.
func TestAValueThatIsTooLongAsJSONIsTruncated(t *testing.T) {
	deep := strings.Repeat("<A>", 40) + strings.Repeat("\"", maxValue/2) + strings.Repeat("</A>", 40)
	out := detectionsOf(t, testSettings(), oneHost("<DETECTION>"+deep+"</DETECTION>"))
	assert.Equal(t, 1, out.Truncated)
	assert.Len(t, truncatedOf(t, onlyRecord(t, out)), 1)
}

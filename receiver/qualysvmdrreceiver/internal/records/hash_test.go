// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func uidOf(t *testing.T, out Chunk) string {
	t.Helper()
	v, _ := onlyRecord(t, out).Attributes().Get(attrUID)
	return v.Str()
}

func TestUIDIsThatOfWhatTheRecordSays(t *testing.T) {
	const detection = "<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><RESULTS>text</RESULTS><QDS severity='LOW'>3</QDS></DETECTION>"
	one := uidOf(t, detectionsOf(t, testSettings(), oneHost("<OS>o</OS>"+detection)))
	same := map[string]string{
		"pretty":        oneHost("<OS>\n o</OS>\n<DETECTION>\n <UNIQUE_VULN_ID>\n6 </UNIQUE_VULN_ID>\n <QID><![CDATA[8]]></QID><RESULTS> text\n</RESULTS><!-- c --><QDS severity=\"LOW\"> 3</QDS>\n</DETECTION>"),
		"late elements": oneHost("<OS>o</OS>" + detection + "<DNS>d</DNS>"),
	}
	for name, answer := range same {
		assert.Equal(t, one, uidOf(t, detectionsOf(t, testSettings(), answer)), name)
	}
	assert.Equal(t, one, uidOf(t, detectionsOf(t, inJSON(testSettings()), oneHost("<OS>o</OS>"+detection))), "JSON")

	other := map[string]string{
		"another text":       "<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><RESULTS>texT</RESULTS><QDS severity='LOW'>3</QDS></DETECTION>",
		"another number":     "<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><RESULTS>text</RESULTS><QDS severity='LOW'>4</QDS></DETECTION>",
		"another attribute":  "<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><RESULTS>text</RESULTS><QDS severity='HIGH'>3</QDS></DETECTION>",
		"another name":       "<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><RESULT>text</RESULT><QDS severity='LOW'>3</QDS></DETECTION>",
		"another identity":   "<DETECTION><UNIQUE_VULN_ID>7</UNIQUE_VULN_ID><QID>8</QID><RESULTS>text</RESULTS><QDS severity='LOW'>3</QDS></DETECTION>",
		"one more":           "<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><RESULTS>text</RESULTS><QDS severity='LOW'>3</QDS><PORT/></DETECTION>",
		"one less":           "<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><RESULTS>text</RESULTS></DETECTION>",
		"moved between keys": "<DETECTION><UNIQUE_VULN_ID>6</UNIQUE_VULN_ID><QID>8</QID><RESULTS>tex</RESULTS><A>t</A><QDS severity='LOW'>3</QDS></DETECTION>",
	}
	seen := map[string]string{one: "the first"}
	for name, host := range map[string]string{
		"the host's OS": "<OS>p</OS>", "another scan of the host": "<OS>o</OS><LAST_SCAN_DATETIME>2026-11-01</LAST_SCAN_DATETIME>",
		"a tag of the host": "<OS>o</OS><TAGS><TAG><NAME>t</NAME></TAG></TAGS>", "no OS": "",
	} {
		uid := uidOf(t, detectionsOf(t, testSettings(), oneHost(host+detection)))
		assert.Empty(t, seen[uid], "a reader that drops duplicates would drop the change of %s", name)
		assert.Equal(t, one[:16], uid[:16], "it is still the same detection")
		seen[uid] = name
	}
	for name, element := range other {
		uid := uidOf(t, detectionsOf(t, testSettings(), oneHost("<OS>o</OS>"+element)))
		assert.Empty(t, seen[uid], name)
		seen[uid] = name
	}
}

// Readers drop duplicates by the UID: what differs in the ports that are left out, or in what is kept, must not be lost, and what
// does not differ must not come twice.
func TestUIDOfAnAssetIsThatOfItsRecord(t *testing.T) {
	const (
		head = `{"assetId":5,"agent":null,"softwareListData":{"software":[{"fullName":"a","version":"1"}]},"openPortListData":{"openPort":[`
		old  = `{"port":1,"lastUpdated":"2026-11-18T00:00:00.000Z"}`
		late = `{"port":2,"lastUpdated":"2026-11-19T00:00:00.000Z"}`
		tail = `]}}`
	)
	uid := func(since time.Time, asset string) string {
		return uidOf(t, assetsOf(t, testSettings(), since, "["+asset+"]"))
	}
	between := time.Date(2026, time.November, 18, 12, 0, 0, 0, time.UTC)
	all, some := uid(time.Time{}, head+old+","+late+tail), uid(between, head+old+","+late+tail)
	assert.NotEqual(t, all, some, "the same answer, with another port left out")
	assert.Equal(t, some, uid(between, head+late+tail), "the same record, from another answer")
	assert.Equal(t, all, uid(between.Add(-24*time.Hour), head+old+", "+late+tail))
	assert.Equal(t, all, uidOf(t, assetsOf(t, inJSON(testSettings()), time.Time{}, "["+head+old+","+late+tail+"]")), "JSON")
	assert.NotEqual(t, all, uid(time.Time{}, strings.Replace(head, `"a"`, `"b"`, 1)+old+","+late+tail))
	assert.NotEqual(t, all, uid(time.Time{}, strings.Replace(head, "5", "6", 1)+old+","+late+tail))
}

func TestIdentityWithoutAnID(t *testing.T) {
	identity := func(host, elements string) uint64 {
		return detectionsOf(t, testSettings(), "<HOST><ID>"+host+"</ID><DETECTION>"+elements+"</DETECTION></HOST>").Items[0].Key
	}
	const all = "<QID>8</QID><PORT>22</PORT><PROTOCOL>tcp</PROTOCOL><SSL>0</SSL><FQDN>f</FQDN><INSTANCE>i</INSTANCE>"
	one := identity("1", all)
	assert.Equal(t, one, identity("1", all+"<RESULTS>other</RESULTS>"), "what was found does not count")
	assert.Equal(t, one, identity("1", "<INSTANCE>i</INSTANCE><UNIQUE_VULN_ID/>"+all[:len(all)-len("<INSTANCE>i</INSTANCE>")]), "nor does the order, nor an empty ID")
	seen := map[uint64]string{one: "the first"}
	for _, other := range []string{
		"<QID>9</QID><PORT>22</PORT><PROTOCOL>tcp</PROTOCOL><SSL>0</SSL><FQDN>f</FQDN><INSTANCE>i</INSTANCE>",
		"<QID>8</QID><PORT>23</PORT><PROTOCOL>tcp</PROTOCOL><SSL>0</SSL><FQDN>f</FQDN><INSTANCE>i</INSTANCE>",
		"<QID>8</QID><PORT>22</PORT><PROTOCOL>udp</PROTOCOL><SSL>0</SSL><FQDN>f</FQDN><INSTANCE>i</INSTANCE>",
		"<QID>8</QID><PORT>22</PORT><PROTOCOL>tcp</PROTOCOL><SSL>1</SSL><FQDN>f</FQDN><INSTANCE>i</INSTANCE>",
		"<QID>8</QID><PORT>22</PORT><PROTOCOL>tcp</PROTOCOL><SSL>0</SSL><FQDN>g</FQDN><INSTANCE>i</INSTANCE>",
		"<QID>8</QID><PORT>22</PORT><PROTOCOL>tcp</PROTOCOL><SSL>0</SSL><FQDN>f</FQDN><INSTANCE>j</INSTANCE>",
		"<QID>8</QID><PORT>22</PORT><PROTOCOL>tcp</PROTOCOL><FQDN>f</FQDN><INSTANCE>i</INSTANCE>",
		"<QID>8</QID><PORT>22</PORT><PROTOCOL>tcp</PROTOCOL><SSL>0</SSL><FQDN>fi</FQDN>",
		"",
	} {
		id := identity("1", other)
		assert.Empty(t, seen[id], other)
		seen[id] = other
	}
	assert.NotEqual(t, one, identity("2", all))
}

func TestHashesOfEntriesAndAssets(t *testing.T) {
	entry := func(x string) string { return uidOf(t, entriesOf(t, testSettings(), "<VULN>"+x+"</VULN>")) }
	one := entry("<QID>5</QID><TITLE>t</TITLE>")
	assert.Equal(t, one, entry("\n<QID>5</QID>\n<TITLE><![CDATA[t]]></TITLE>"))
	assert.NotEqual(t, one, entry("<QID>5</QID><TITLE>u</TITLE>"))
	assert.NotEqual(t, one, entry("<QID>6</QID><TITLE>t</TITLE>"))

	values := func(asset string) uint64 {
		return assetsOf(t, testSettings(), collected, "["+asset+"]").Items[0].Content
	}
	const asset = `{"assetId":5,"softwareListData":{"software":[{"fullName":"a","version":"1"}]},"openPortListData":{"openPort":[{"port":1,"lastUpdated":"2020-01-01T00:00:00.000Z"}]},"x":null}`
	first := values(asset)
	assert.Equal(t, first, values("  {\n\"assetId\" : 5, "+asset[len(`{"assetId":5,`):]), "white space says nothing")
	for name, other := range map[string]string{
		"what is left out of software": `{"assetId":5,"softwareListData":{"software":[{"fullName":"a","version":"2"}]},"openPortListData":{"openPort":[{"port":1,"lastUpdated":"2020-01-01T00:00:00.000Z"}]},"x":null}`,
		"a port that is left out":      `{"assetId":5,"softwareListData":{"software":[{"fullName":"a","version":"1"}]},"openPortListData":{"openPort":[{"port":2,"lastUpdated":"2020-01-01T00:00:00.000Z"}]},"x":null}`,
		"null":                         `{"assetId":5,"softwareListData":{"software":[{"fullName":"a","version":"1"}]},"openPortListData":{"openPort":[{"port":1,"lastUpdated":"2020-01-01T00:00:00.000Z"}]},"x":false}`,
	} {
		assert.NotEqual(t, first, values(other), name)
	}
	assert.NotEqual(t, one, uidOf(t, assetsOf(t, testSettings(), time.Time{}, `[{"assetId":5}]`)), "an asset is no entry")

	identity := func(asset string) uint64 {
		return assetsOf(t, testSettings(), time.Time{}, "["+asset+"]").Items[0].Key
	}
	assert.Equal(t, identity(`{"assetUUID":"u","x":1}`), identity(`{"assetId":null,"assetUUID":"u","x":2}`), "the UUID, without an ID")
	assert.NotEqual(t, identity(`{"x":1}`), identity(`{"x":2}`), "all, with neither")
}

// Checkpoints hold hashes: an asset must have the same one in every version of the receiver.
func TestTheHashOfAnAssetIsThatOfItsTokens(t *testing.T) {
	hashed := newTokens()
	var all []byte
	for n := range 500 {
		raw := bytes.Repeat([]byte{'x'}, n*n%(3*maxTokens))
		hashed.add('"', raw)
		all = append(all, '"')
		all = binary.LittleEndian.AppendUint32(all, uint32(len(raw)))
		all = append(all, raw...)
	}
	assert.Equal(t, xxhash.Sum64(all), hashed.sum())
}

// Tracking tells what really changed of a detection from what every scan writes into it.
func TestStableIsWithoutWhatChangesWithEveryScan(t *testing.T) {
	settings := testSettings()
	settings.Stable = true
	stable := func(elements string) uint64 {
		return detectionsOf(t, settings, oneHost("<DETECTION><QID>1</QID>"+elements+"<STATUS>Active</STATUS></DETECTION>")).Items[0].Stable
	}
	plain := stable("<RESULTS>r</RESULTS>")
	assert.NotZero(t, plain)
	for _, same := range []string{
		"<RESULTS>r</RESULTS><LAST_FOUND_DATETIME>2026-01-02T00:00:00Z</LAST_FOUND_DATETIME>",
		"<LAST_PROCESSED_DATETIME>2026-01-02T00:00:00Z</LAST_PROCESSED_DATETIME><RESULTS>r</RESULTS><TIMES_FOUND>7</TIMES_FOUND>",
		"<TIMES_FOUND>8</TIMES_FOUND><RESULTS>r</RESULTS><LAST_TEST_DATETIME>a</LAST_TEST_DATETIME><LAST_TEST_DATETIME>b</LAST_TEST_DATETIME>",
	} {
		assert.Equal(t, plain, stable(same), same)
	}
	for _, other := range []string{
		"<RESULTS>s</RESULTS>", "<RESULTS>r</RESULTS><PORT>1</PORT>", "<RESULTS>r</RESULTS><LAST_UPDATE_DATETIME>a</LAST_UPDATE_DATETIME>",
		"<RESULTS>r</RESULTS><X><TIMES_FOUND>8</TIMES_FOUND></X>",
	} {
		assert.NotEqual(t, plain, stable(other), other)
	}
	assert.Zero(t, detectionsOf(t, testSettings(), oneHost("<DETECTION/>")).Items[0].Stable)
}

func TestEveryRecordCarriesItsCollection(t *testing.T) {
	d, uid := NewDetections(testSettings()), ""
	for _, collection := range []string{"", "5f0c6f0e", "7a1d"} {
		d.Begin(collected, collection, nil)
		require.NoError(t, readHosts(d, strings.NewReader(oneHost("<DETECTION/>")), nil))
		attrs := onlyRecord(t, d.Take()).Attributes().AsRaw()
		if uid == "" {
			uid, _ = attrs[attrUID].(string)
			assert.NotContains(t, attrs, attrCollectionID)
			continue
		}
		assert.Equal(t, collection, attrs[attrCollectionID])
		assert.Equal(t, uid, attrs[attrUID], "the collection is in no uid")
	}
}

// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otel-qualys/qualysvmdr/receiver/qualysvmdrreceiver/internal/xmlstream"
)

func readHostList(h *Hosts, answer io.Reader) error {
	x := xmlstream.NewReader(answer)
	for {
		kind, err := x.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err == nil && kind == xmlstream.StartElement && string(x.Name()) == "HOST" {
			err = h.Host(x)
		}
		if err != nil {
			return err
		}
	}
}

// hostListOf returns the one Chunk that the hosts of a host list make.
func hostListOf(t testing.TB, settings Settings, answer string) Chunk {
	t.Helper()
	h := NewHosts(settings)
	h.Begin(collected, "", nil)
	require.NoError(t, readHostList(h, strings.NewReader(answer)))
	return h.Take()
}

func TestHostsHaveTheNameBehindTheAddress(t *testing.T) {
	body := onlyRecord(t, hostListOf(t, inJSON(testSettings()), "<HOST><ID>7</ID><IP>192.0.2.1</IP><OS>o</OS><NETBIOS>N7</NETBIOS></HOST>")).Body().Str()
	assert.Equal(t, `{"LogType":"hostLogs","Id":7,"IP":"192.0.2.1","Hostname":"N7","OS":"o","Netbios":"N7"}`, body)
	body = onlyRecord(t, hostListOf(t, inJSON(testSettings()), "<HOST><ID>7</ID><LOG_TYPE>x</LOG_TYPE></HOST>")).Body().Str()
	assert.Equal(t, `{"LogType":"hostLogs","Id":7,"QualysLogType":"x","Hostname":""}`, body)
}

func TestHostItems(t *testing.T) {
	out := hostListOf(t, inJSON(testSettings()), testdata(t, "hosts.xml"))
	require.Len(t, out.Items, 2)
	assert.Equal(t, 2, out.UnitsDone)
	assert.Equal(t, uint64(4100202), out.UnitDone)
	for i, lr := range recordsOf(out) {
		assert.Len(t, lr.Body().Str(), int(out.Items[i].Bytes))
		assert.Equal(t, []uint64{4100201, 4100202}[i], out.Items[i].Unit)
		assert.Equal(t, out.Items[i].Unit, out.Items[i].Key)
	}
	structured := hostListOf(t, testSettings(), testdata(t, "hosts.xml"))
	for i, lr := range recordsOf(structured) {
		assert.Equal(t, textSize(lr.Body()), int(structured.Items[i].Bytes))
	}
	assert.NotZero(t, out.Items[0].Scanned)
	assert.Equal(t, 2, out.Logs.ResourceLogs().Len(), "each host is a resource of its own")
}

// A host that was delivered before is read over.
func TestHostsThatAreNotWantedAreDoneAllTheSame(t *testing.T) {
	h := NewHosts(testSettings())
	h.Begin(collected, "", func(item *Item) bool { return item.Unit != 4100202 })
	require.NoError(t, readHostList(h, strings.NewReader(testdata(t, "hosts.xml"))))
	out := h.Take()
	assert.Len(t, out.Items, 1)
	assert.Len(t, out.Summaries, 1)
	assert.Equal(t, 2, out.UnitsDone)
	assert.Equal(t, uint64(4100202), out.UnitDone)
}

// What a removal tells of a host comes from here: the host is not listed any more.
func TestHostsAreSummarized(t *testing.T) {
	out := hostListOf(t, testSettings(), testdata(t, "hosts.xml"))
	assert.Equal(t, []HostSummary{
		{
			ID: 4100201, AssetID: 9100201, IP: "192.0.2.17", IPv6: "2001:db8::17", Hostname: "press-17.plant.example.test",
			TrackingMethod: "AGENT", QGHostID: "3a6f2b1e-7c58-4a4b-9d40-1f2e3d4c5b6a", CloudID: "i-0aa11bb22cc33dd44",
		},
		{ID: 4100202, IPv6: "2001:db8::2", TrackingMethod: "IP"},
	}, out.Summaries)
	for _, summary := range out.Summaries {
		got, err := ParseHostSummary(summary.Append(nil))
		require.NoError(t, err)
		assert.Equal(t, summary, got)
	}
	long := hostListOf(t, testSettings(), "<HOST><ID>1</ID><DNS>"+strings.Repeat("ä", 1<<20)+"</DNS></HOST>").Summaries[0]
	assert.Equal(t, strings.Repeat("ä", 512), long.Hostname, "what is kept of a million hosts has an end")
}

func TestSummariesThatAreNone(t *testing.T) {
	whole := (&HostSummary{ID: 1, Hostname: "n"}).Append(nil)
	for n := range whole {
		_, err := ParseHostSummary(whole[:n])
		require.Error(t, err, "the first %d bytes", n)
	}
	for _, stored := range []string{string(whole) + "x", "\x02" + string(whole[1:]), "\x01" + strings.Repeat("\xff", 20)} {
		_, err := ParseHostSummary([]byte(stored))
		require.Error(t, err, "%q", stored)
	}
}

func FuzzHostSummary(f *testing.F) {
	f.Add((&HostSummary{ID: 1, AssetID: 2, IP: "192.0.2.1", Hostname: "n", CloudID: "i-1"}).Append(nil))
	f.Fuzz(func(t *testing.T, stored []byte) {
		summary, err := ParseHostSummary(stored)
		if err != nil {
			return
		}
		again, err := ParseHostSummary(summary.Append(nil))
		require.NoError(t, err)
		require.Equal(t, summary, again)
	})
}

// FuzzHostList reads anything as a host list: nothing panics, and both formats of the body agree.
func FuzzHostList(f *testing.F) {
	f.Add(testdata(f, "hosts.xml"))
	f.Add(`<HOST a="b"><ID>1</ID>x<A n="1"/><IP>192.0.2.1</IP><IP/><VULN_COUNT>1</VULN_COUNT><HOSTNAME/></HOST>`)
	f.Fuzz(func(t *testing.T, answer string) {
		var outs []Chunk
		for _, settings := range []Settings{unlimited(), inJSON(unlimited())} {
			h := NewHosts(settings)
			h.Begin(collected, "", nil)
			_ = readHostList(h, strings.NewReader(answer)) // what was whole before counts
			outs = append(outs, h.Take())
		}
		agree(t, outs[0], outs[1])
		require.Equal(t, outs[0].Summaries, outs[1].Summaries)
	})
}

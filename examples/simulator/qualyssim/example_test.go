// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"time"

	"github.com/otel-qualys/qualysvmdr/examples/simulator/qualyssim"
)

// A test runs a client against the server, and compares what it delivered with what there was.
func Example() {
	simulator := qualyssim.New(qualyssim.Options{
		Hosts: 3, MinDetections: 2, MaxDetections: 2,
		Faults: qualyssim.Faults{Next: []qualyssim.NextFault{{Fault: qualyssim.Busy}}},
	})
	server := httptest.NewServer(simulator)
	defer server.Close()

	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+"/api/5.0/fo/asset/host/vm/detection/?action=list", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Header.Set("X-Requested-With", "example")
	request.SetBasicAuth(qualyssim.DefaultUsername, qualyssim.DefaultPassword)
	for range 2 {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(response.Status)
		_ = response.Body.Close()
	}

	all, err := simulator.DetectionsFor(url.Values{"status": {"New,Active,Fixed,Re-Opened"}, "show_igs": {"1"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(slices.Collect(all)), "detections")
	fmt.Println(simulator.Requests()[0].Faults)
	// Output:
	// 409 Conflict
	// 200 OK
	// 6 detections
	// [busy]
}

// A script says what there is, and an interceptor what happens to an answer.
func ExampleScript() {
	script := new(qualyssim.Script)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	script.SetHost(10, qualyssim.ScriptedHost{Detections: []qualyssim.ScriptedDetection{
		{ID: 100, QID: 38000, Updated: at},
		{ID: 101, QID: 38001, Updated: at, Status: qualyssim.StatusFixed},
	}})
	script.SetEntry(38000, qualyssim.ScriptedEntry{Modified: at})
	simulator := qualyssim.New(qualyssim.Options{Script: script, NoGzip: true})

	simulator.Intercept(func(_ context.Context, r qualyssim.Request, w http.ResponseWriter, serve func(http.ResponseWriter)) bool {
		if r.API != qualyssim.Detections {
			return false
		}
		recorder := httptest.NewRecorder()
		serve(recorder)
		cut, _, _ := bytes.Cut(recorder.Body.Bytes(), []byte("</HOST_LIST>"))
		_, err := w.Write(cut)
		return err == nil
	})

	// In a bubble of testing/synctest, Pipe takes the place of sockets.
	pipe := qualyssim.NewPipe(simulator)
	defer pipe.Close()
	client := http.Client{Transport: pipe.Transport()}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://qualys.test/api/5.0/fo/asset/host/vm/detection/?action=list", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Header.Set("X-Requested-With", "example")
	request.SetBasicAuth(qualyssim.DefaultUsername, qualyssim.DefaultPassword)
	response, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(bytes.Count(body, []byte("<DETECTION>")), bytes.HasSuffix(body, []byte("</HOST>")), err)
	// Output:
	// 1 true <nil>
}

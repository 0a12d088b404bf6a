// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualyssim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"

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

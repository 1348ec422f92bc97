package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"verge/client"
)

// exampleNode answers as a node does that has deployed one model.
func exampleNode() *httptest.Server {
	entry := client.AuditEntry{Sequence: 1, Act: client.ActDeploy, By: client.Actor{Kind: client.ActorSocket, Name: "ada"}, Model: "digits", Version: 1, Reason: "retrained"}
	entry.Hash = entry.Sum()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/audit", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(client.AuditPage{Head: client.AuditMark{Sequence: 1, Hash: entry.Hash}, Entries: []client.AuditEntry{entry}})
	})
	mux.HandleFunc("GET /v1/deployments/{id}/report", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(client.Report{
			Complete: true, AskedBy: &entry.By, Durations: []client.PhaseDuration{{Phase: client.PhaseLoading, DurationMS: 134}},
			Deployment: client.Deployment{ID: r.PathValue("id"), Model: "digits", Version: 1, Phase: client.PhaseCommitted, Reason: "retrained"},
		})
	})
	return httptest.NewServer(mux)
}

func ExampleClient_Report() {
	server := exampleNode()
	defer server.Close()
	c, err := client.New(server.URL) // a node's socket: "unix:/run/verge/verge.sock"
	if err != nil {
		panic(err)
	}
	defer c.Close()
	r, err := c.Report(context.Background(), "digits-20261123-7f3a")
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s: %s, asked for by %s: %s\n", r.Deployment.ID, r.Deployment.Phase, r.AskedBy.Name, r.Deployment.Reason)
	for _, p := range r.Durations {
		fmt.Printf("%s took %g ms\n", p.Phase, p.DurationMS)
	}
	// Output:
	// digits-20261123-7f3a: committed, asked for by ada: retrained
	// loading took 134 ms
}

func ExampleClient_VerifyAudit() {
	server := exampleNode()
	defer server.Close()
	c, err := client.New(server.URL) // a node's socket: "unix:/run/verge/verge.sock"
	if err != nil {
		panic(err)
	}
	defer c.Close()
	chain, err := c.VerifyAudit(context.Background())
	if wrong, ok := errors.AsType[*client.AuditError](err); ok {
		fmt.Printf("entry %d was changed: %s\n", wrong.Sequence, wrong.Message)
		return
	}
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d entry is right; keep the hash %s… of entry %d elsewhere\n", chain.Entries, chain.Newest.Hash[:8], chain.Newest.Sequence)
	// Output: 1 entry is right; keep the hash 6c52ed0b… of entry 1 elsewhere
}

package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
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
	deployment := client.Deployment{ID: "digits-20261123-7f3a", Model: "digits", Version: 2, Phase: client.PhasePending}
	events := func(w http.ResponseWriter, _ *http.Request) {
		figure := 0.25
		for seq, e := range []client.Event{
			{Type: client.EventPhase, Phase: client.PhaseGating},
			{Type: client.EventVerdict, Verdict: &client.Verdict{Gate: "latency", Outcome: client.OutcomePass, Figure: &figure, Unit: "ms"}},
			{Type: client.EventEnd, Phase: client.PhaseCommitted},
		} {
			e.Seq, e.Deployment = uint64(seq)+1, deployment.ID
			json.NewEncoder(w).Encode(e)
		}
	}
	begun := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		json.NewEncoder(w).Encode(deployment)
	}
	mux.HandleFunc("HEAD /v1/artifacts/{digest}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v1/deployments", begun)
	mux.HandleFunc("GET /v1/deployments/{id}/events", events)
	mux.HandleFunc("POST /v1/models/{model}/rollback", begun)
	mux.HandleFunc("POST /v1/models/{model}/promote", begun)
	mux.HandleFunc("POST /v1/models/{model}/shadow", events)
	mux.HandleFunc("GET /v1/models/{model}/export", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a tar archive.") })
	mux.HandleFunc("DELETE /v1/models/{model}", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error":%q,"kind":"not_found","hint":"verge status lists the models that are."}`, `model "`+r.PathValue("model")+`" is not deployed`)
	})
	mux.HandleFunc("POST /v2/models/digits/infer", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"model_name":"digits","model_version":"2","outputs":[{"name":"scores","datatype":"FP32","shape":[1,2],"data":[0.25,0.75]}]}`)
	})
	return httptest.NewServer(mux)
}

// connected returns a client of a node that has deployed one model.
func connected() (c *client.Client, stop func()) {
	server := exampleNode()
	c, err := client.New(server.URL)
	if err != nil {
		panic(err)
	}
	return c, func() {
		c.Close()
		server.Close()
	}
}

func ExampleClient_Infer() {
	c, stop := connected() // client.New("unix:/run/verge/verge.sock"), or "http://127.0.0.1:8000"
	defer stop()
	answer, err := c.Infer(context.Background(), client.InferRequest{
		Model:  "digits",
		Inputs: []client.Tensor{client.FromFloat32s("image", []int64{1, 4}, []float32{0, 0.5, 1, 0.5})},
	})
	if err != nil {
		panic(err)
	}
	scores, err := answer.Output("scores").Float32s()
	if err != nil {
		panic(err)
	}
	fmt.Printf("version %s says %v\n", answer.Version, scores)
	// Output: version 2 says [0.25 0.75]
}

func ExampleClient_Deploy() {
	ctx := context.Background()
	c, stop := connected() // client.New("unix:/run/verge/verge.sock")
	defer stop()
	model := []byte("the bytes of a model")
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(model))
	if err := c.PutArtifact(ctx, digest, bytes.NewReader(model), int64(len(model)), nil); err != nil {
		panic(err)
	}
	d, err := c.Deploy(ctx, client.DeploymentRequest{
		Spec:      json.RawMessage(`{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"max_latency_ms":50}}`),
		Artifacts: map[string]string{"model": digest}, Reason: "retrained",
	})
	if err != nil {
		panic(err)
	}
	for e, err := range c.Events(ctx, d.ID, 0) { // it goes on where the connection was cut
		if err != nil {
			panic(err)
		}
		switch e.Type {
		case client.EventVerdict:
			fmt.Printf("%s: %s, %g %s\n", e.Verdict.Gate, e.Verdict.Outcome, *e.Verdict.Figure, e.Verdict.Unit)
		case client.EventEnd:
			fmt.Println(e.Phase)
		case client.EventPhase, client.EventProgress, client.EventWarning:
		}
	}
	// Output:
	// latency: pass, 0.25 ms
	// committed
}

func ExampleError() {
	c, stop := connected() // client.New("unix:/run/verge/verge.sock")
	defer stop()
	err := c.Undeploy(context.Background(), "letters")
	var e *client.Error
	if errors.As(err, &e) && e.Kind == "not_found" {
		fmt.Printf("%s (%s)\n", e.Message, e.Hint)
	}
	// Output: model "letters" is not deployed (verge status lists the models that are.)
}

func ExampleClient_Rollback() {
	ctx := context.Background()
	c, stop := connected() // client.New("unix:/run/verge/verge.sock")
	defer stop()
	d, err := c.Rollback(ctx, "digits", client.RollbackRequest{Reason: "it sees ghosts"}) // To: 2 for another than the one before
	if err != nil {
		panic(err)
	}
	for e, err := range c.Events(ctx, d.ID, 0) {
		if err != nil {
			panic(err)
		}
		if e.Type == client.EventEnd {
			fmt.Printf("%s: %s\n", d.ID, e.Phase)
		}
	}
	// Output: digits-20261123-7f3a: committed
}

func ExampleClient_Promote() {
	c, stop := connected() // client.New("unix:/run/verge/verge.sock")
	defer stop()
	d, err := c.Promote(context.Background(), "digits", client.PromoteRequest{To: "production", Reason: "a week without a fault"})
	if err != nil {
		panic(err)
	}
	fmt.Println(d.Model, d.Version)
	// Output: digits 2
}

func ExampleClient_Shadow() {
	c, stop := connected() // client.New("unix:/run/verge/verge.sock")
	defer stop()
	for e, err := range c.Shadow(context.Background(), "digits.staging", client.ShadowRequest{Sample: 0.1, Seconds: 60, MinAgreement: 0.99}) {
		if err != nil {
			panic(err)
		}
		if e.Type == client.EventVerdict {
			fmt.Printf("%s: %s\n", e.Verdict.Gate, e.Verdict.Outcome)
		}
	}
	// Output: latency: pass
}

func ExampleClient_Export() {
	c, stop := connected() // client.New("unix:/run/verge/verge.sock")
	defer stop()
	var archive bytes.Buffer // a file
	if err := c.Export(context.Background(), "digits", 2, &archive); err != nil {
		panic(err)
	}
	fmt.Println(archive.Len(), "bytes")
	// Output: 14 bytes
}

func ExampleClient_Report() {
	c, stop := connected() // client.New("unix:/run/verge/verge.sock")
	defer stop()
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
	c, stop := connected() // client.New("unix:/run/verge/verge.sock")
	defer stop()
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

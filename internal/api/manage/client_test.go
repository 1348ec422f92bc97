package manage_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/client"
	"verge/internal/api/httpapi"
	"verge/internal/api/manage"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/serve"
	"verge/internal/tensor"
)

// doubler is a session whose model answers twice its input.
type doubler struct{}

func (doubler) Signature() inference.Signature {
	return inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.FP32, Shape: []int64{-1}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.FP32, Shape: []int64{-1}}},
	}
}

func (doubler) Info() inference.SessionInfo { return inference.SessionInfo{Runtime: "fake"} }

func (doubler) NewSlot(arena inference.Arena) (inference.Slot, error) {
	return &doublerSlot{arena: arena}, nil
}

func (doubler) Close() error { return nil }

type doublerSlot struct {
	arena inference.Arena
	input []byte
}

func (s *doublerSlot) Inputs(in []inference.Input) ([][]byte, error) {
	memory, err := s.arena.Input(in[0].Bytes)
	if err != nil {
		return nil, err
	}
	s.input = memory.Data[:in[0].Bytes]
	return [][]byte{s.input}, nil
}

// endless is an input that the model never comes to the end of.
const endless = 77

func (s *doublerSlot) Run(ctx context.Context) ([]tensor.Tensor, error) {
	memory, err := s.arena.Output(len(s.input))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(s.input); i += 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(s.input[i:]))
		if v == endless {
			<-ctx.Done()
			return nil, fault.New(fault.KindOf(ctx.Err()), "fake.run", "%w", ctx.Err())
		}
		binary.LittleEndian.PutUint32(memory.Data[i:], math.Float32bits(2*v))
	}
	return []tensor.Tensor{{Name: "y", DType: tensor.FP32, Shape: []int64{int64(len(s.input) / 4)}, Data: memory.Data[:len(s.input)]}}, nil
}

func (s *doublerSlot) Close() error { return nil }

// connect starts a node with the model digits, and returns a client of it.
func connect(t *testing.T) (*node, *client.Client) {
	t.Helper()
	n := start(t, nil)
	v, err := n.models.Add(serve.Spec{Model: "digits", Version: 3, Session: doubler{}, BatchSize: 1 << 20, Labels: []string{"zero", "one"}})
	if err != nil {
		t.Fatal(err)
	}
	n.models.Activate(v)
	c, err := client.New("unix:" + n.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return n, c
}

// explain returns kind, status and text of a client's error.
func explain(err error) (kind string, status int, text string) {
	var e *client.Error
	if !errors.As(err, &e) {
		return "", 0, "no *client.Error"
	}
	return e.Kind, e.Status, e.Message
}

func TestTheClientInfers(t *testing.T) {
	_, c := connect(t)
	ctx := t.Context()
	for _, json := range []bool{false, true} {
		for _, name := range []string{"x", ""} {
			got, err := c.Infer(ctx, client.InferRequest{
				Model: "digits", ID: "7", JSON: json, Inputs: []client.Tensor{client.FromFloat32s(name, []int64{2}, []float32{1, 2.5})},
			})
			if err != nil {
				t.Fatal(err)
			}
			scores, err := got.Outputs[0].Float32s()
			if err != nil || !slices.Equal(scores, []float32{2, 5}) || got.Model != "digits" || got.Version != "3" || got.ID != "7" {
				t.Errorf("JSON %t, name %q: %+v, %v, %v", json, name, got, scores, err)
			}
		}
	}
	got, err := c.Infer(ctx, client.InferRequest{
		Model: "digits", Version: "3", Outputs: []client.Output{{Name: "y", Classes: 1}},
		Inputs: []client.Tensor{client.FromFloat32s("x", []int64{2}, []float32{1, 2})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(got.Outputs[0].Data); !strings.HasSuffix(text, "4:1:one") {
		t.Errorf("classes %q", text)
	}
	_, err = c.Infer(ctx, client.InferRequest{Model: "digits", Inputs: []client.Tensor{client.FromFloat32s("z", []int64{1}, []float32{1})}})
	if kind, status, text := explain(err); kind != "invalid" || status != 400 || text != `input "z" is not one of the model's, which has "x"` {
		t.Errorf("an unknown input: %q %d %q", kind, status, text)
	}
	_, err = c.Infer(ctx, client.InferRequest{Model: "digits", Timeout: 20 * time.Millisecond, Inputs: []client.Tensor{client.FromFloat32s("x", []int64{1}, []float32{endless})}})
	if kind, status, text := explain(err); kind != "deadline" || status != 504 || text != `model "digits" did not answer within 20ms` {
		t.Errorf("a run without end: %q %d %q", kind, status, text)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = c.Infer(short, client.InferRequest{Model: "digits", Inputs: []client.Tensor{client.FromFloat32s("x", []int64{1}, []float32{endless})}})
	if kind, status, _ := explain(err); kind != "deadline" || status != 0 {
		t.Errorf("a client that leaves: %v", err)
	}
}

func TestTheClientReadsTheProtocolsDocuments(t *testing.T) {
	n, c := connect(t)
	ctx := t.Context()
	if err := errors.Join(c.Live(ctx), c.Ready(ctx), c.ModelReady(ctx, "digits", ""), c.ModelReady(ctx, "digits", "3")); err != nil {
		t.Error(err)
	}
	server, err := c.ServerMetadata(ctx)
	if err != nil || server.Name != "verge" || !slices.Contains(server.Extensions, "binary_tensor_data") {
		t.Errorf("ServerMetadata = %+v, %v", server, err)
	}
	model, err := c.ModelMetadata(ctx, "digits", "")
	want := &client.ModelMetadata{
		Name: "digits", Versions: []string{"3"}, Platform: "fake",
		Inputs:  []client.TensorMetadata{{Name: "x", Datatype: "FP32", Shape: []int64{-1}}},
		Outputs: []client.TensorMetadata{{Name: "y", Datatype: "FP32", Shape: []int64{-1}}},
	}
	if diff := cmp.Diff(want, model); diff != "" || err != nil {
		t.Error(err, diff)
	}
	n.models.Announce("soon", "loading")
	err = c.ModelReady(ctx, "soon", "")
	var e *client.Error
	if !errors.As(err, &e) || e.Kind != "unavailable" || e.RetryAfter != time.Second || e.Message != `model "soon" is not ready: loading` {
		t.Errorf("ModelReady of a model that loads = %#v", err)
	}
	if kind, status, _ := explain(c.ModelReady(ctx, "nobody", "")); kind != "not_found" || status != 404 {
		t.Errorf("ModelReady of no model: %q %d", kind, status)
	}
}

func TestTheClientUploads(t *testing.T) {
	n, c := connect(t)
	ctx := t.Context()
	data := strings.Repeat("model", 50_000)
	digest := digestOf(data)
	if has, err := c.HasArtifact(ctx, digest); has || err != nil {
		t.Errorf("HasArtifact before = %t, %v", has, err)
	}
	if err := n.artifacts.Put(ctx, digest, strings.NewReader(data[:1000]), 0, int64(len(data))); err == nil { // an upload that was cut
		t.Error("Put of a part succeeded")
	}
	first := int64(-1)
	err := c.PutArtifact(ctx, digest, strings.NewReader(data), int64(len(data)), func(sent, _ int64) {
		if first < 0 {
			first = sent
		}
	})
	if err != nil || first <= 1000 {
		t.Errorf("PutArtifact = %v, first progress %d, want it to go on behind byte 1000", err, first)
	}
	if has, hasErr := c.HasArtifact(ctx, digest); !has || hasErr != nil {
		t.Errorf("HasArtifact after = %t, %v", has, hasErr)
	}
	err = c.PutArtifact(ctx, digestOf("x"), strings.NewReader("y"), 1, nil)
	if kind, status, _ := explain(err); kind != "corrupt" || status != 422 {
		t.Errorf("other bytes: %v", err)
	}
	err = c.PutArtifact(ctx, digestOf("y"), strings.NewReader(strings.Repeat("y", 1<<21)), 1<<21, nil)
	if kind, status, _ := explain(err); kind != "exhausted" || status != 507 {
		t.Errorf("over the budget: %v", err)
	}
}

func TestTheClientDeploysAndFollows(t *testing.T) {
	n, c := connect(t)
	ctx := t.Context()
	d, err := c.Deploy(ctx, client.DeploymentRequest{Spec: []byte(`{"a":1}`), Artifacts: map[string]string{"model": "sha256:x"}, Reason: "r"})
	if diff := cmp.Diff(full(running, client.PhasePending), d); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if req := n.deployments.submitted[0]; string(req.Spec) != `{"a":1}` || req.Reason != "r" {
		t.Errorf("submitted %+v", req)
	}
	n.deployments.refuse = &fault.Error{Kind: fault.Invalid, Op: "x", Hint: "Do.", Err: fault.Problems{{Path: "a", Line: 1, Message: "m", Hint: "h"}}}
	_, err = c.Deploy(ctx, client.DeploymentRequest{Spec: []byte("{}")})
	var e *client.Error
	if !errors.As(err, &e) || e.Kind != "invalid" || e.Hint != "Do." || len(e.Problems) != 1 || e.Problems[0] != (client.Problem{Path: "a", Line: 1, Message: "m", Hint: "h"}) {
		t.Errorf("Deploy of a wrong file = %#v", err)
	}
	if d, err = c.Deployment(ctx, ended); err != nil || d.Phase != client.PhaseFailed {
		t.Errorf("Deployment = %+v, %v", d, err)
	}
	var seqs []uint64
	for event, err := range c.Events(ctx, ended, 2) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, event.Seq)
	}
	if !slices.Equal(seqs, []uint64{2, 3}) {
		t.Errorf("events %v, want 2 and 3", seqs)
	}
	for event, err := range c.Events(ctx, running, 0) {
		if err != nil || event.Seq != 1 {
			t.Errorf("first event %+v, %v", event, err)
		}
		break // the stream ends, or else the test would not
	}
	if err := c.Cancel(ctx, running); err != nil || !slices.Equal(n.deployments.canceled, []string{running}) {
		t.Errorf("Cancel = %v", err)
	}
	if kind, status, _ := explain(c.Cancel(ctx, ended)); kind != "conflict" || status != 409 {
		t.Errorf("Cancel of what has ended: %q %d", kind, status)
	}
	for _, req := range []client.RollbackRequest{{}, {To: 2, Reason: "it sees ghosts"}} {
		if d, err := c.Rollback(ctx, "digits", req); err != nil || d.ID != running {
			t.Errorf("Rollback = %+v, %v", d, err)
		}
	}
	var told []client.EventType
	for event, err := range c.Test(ctx, "digits") {
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, event.Type)
	}
	if want := []client.EventType{client.EventPhase, client.EventVerdict, client.EventEnd}; !slices.Equal(told, want) {
		t.Errorf("Test told %q, want %q", told, want)
	}
	for _, err := range c.Test(ctx, "other") {
		if kind, status, _ := explain(err); kind != "not_found" || status != 404 {
			t.Errorf("Test of another model: %v", err)
		}
	}
	if d, err := c.Promote(ctx, "digits", client.PromoteRequest{To: "production", Reason: "it is good", ForceReason: "now"}); err != nil || d.ID != running {
		t.Errorf("Promote = %+v, %v", d, err)
	}
	if got, want := n.deployments.promotions, []string{"production it is good now"}; !slices.Equal(got, want) {
		t.Errorf("promoted: %q, want %q", got, want)
	}
	for _, req := range []client.PinRequest{{Version: 2}, {Version: 3, Remove: true}} {
		if err := c.Pin(ctx, "digits", req); err != nil {
			t.Errorf("Pin = %v", err)
		}
	}
	for version, want := range map[int]string{0: "version 0", 2: "version 2"} {
		var b strings.Builder
		if err := c.Export(ctx, "digits", version, &b); err != nil || b.String() != want {
			t.Errorf("Export = %q, %v; want %s", b.String(), err, want)
		}
	}
	if err := c.Export(ctx, "digits", 9, io.Discard); err == nil {
		t.Error("Export that is cut = nil")
	} else if kind, _, _ := explain(err); kind != "unavailable" {
		t.Errorf("Export that is cut = %v, want unavailable", err)
	}
	full := errors.New("the disk is full")
	if err := c.Export(ctx, "digits", 2, failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("Export to a full disk = %v", err)
	}
	if got, want := n.deployments.rollbacks, []string{"0 ", "2 it sees ghosts"}; !slices.Equal(got, want) {
		t.Errorf("rolled back: %q, want %q", got, want)
	}
	if got, want := n.deployments.pins, []string{"2 true", "3 false"}; !slices.Equal(got, want) {
		t.Errorf("pinned: %q, want %q", got, want)
	}
	if _, err := c.Rollback(ctx, "digits", client.RollbackRequest{To: -1}); err == nil || err.Error() != "to is -1, want a version, or 0 for the one before" {
		t.Errorf("Rollback to -1 = %v", err)
	}
	for _, err := range []error{second(c.Rollback(ctx, "other", client.RollbackRequest{})), second(c.Promote(ctx, "other", client.PromoteRequest{To: "staging"})), c.Pin(ctx, "other", client.PinRequest{Version: 1}), c.Export(ctx, "other", 1, io.Discard)} {
		if kind, status, _ := explain(err); kind != "not_found" || status != 404 {
			t.Errorf("of another model: %v", err)
		}
	}
	if err := c.Undeploy(ctx, "digits"); err != nil || !slices.Equal(n.deployments.gone, []string{"digits"}) {
		t.Errorf("Undeploy = %v", err)
	}
}

func TestTheClientPages(t *testing.T) {
	_, c := connect(t)
	var ids []string
	pages := 0
	for query := (client.DeploymentQuery{Limit: 2}); ; pages++ {
		list, err := c.Deployments(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list.Deployments {
			ids = append(ids, d.ID)
		}
		if query.After = list.Next; list.Next == "" {
			break
		}
	}
	if !slices.Equal(ids, []string{"d5", "d4", "d3", "d2", "d1"}) || pages != 2 {
		t.Errorf("%v in %d pages", ids, pages+1)
	}
	list, err := c.Deployments(t.Context(), client.DeploymentQuery{})
	if err != nil || len(list.Deployments) != 3 || list.Next != "d3" {
		t.Errorf("without a limit: %+v, %v; want a page of 3", list, err)
	}
	list, err = c.Deployments(t.Context(), client.DeploymentQuery{Model: "other"})
	if err != nil || list.Deployments == nil || len(list.Deployments) != 0 || list.Next != "" {
		t.Errorf("of another model: %+v, %v", list, err)
	}
}

func TestTheClientReadsReports(t *testing.T) {
	_, c := connect(t)
	ctx := t.Context()
	var r reports
	models, err := c.Models(ctx)
	if diff := cmp.Diff(r.Models(), models); diff != "" || err != nil {
		t.Error("Models", err, diff)
	}
	model, err := c.Model(ctx, "digits")
	if diff := cmp.Diff(&r.Models()[0], model); diff != "" || err != nil {
		t.Error("Model", err, diff)
	}
	device, err := c.Device(ctx)
	if diff := cmp.Diff(r.Device(), *device); diff != "" || err != nil {
		t.Error("Device", err, diff)
	}
	runtimes, err := c.Runtimes(ctx)
	if diff := cmp.Diff(r.Runtimes(), runtimes); diff != "" || err != nil {
		t.Error("Runtimes", err, diff)
	}
	health, err := c.Health(ctx)
	if diff := cmp.Diff(r.Health(), *health); diff != "" || err != nil {
		t.Error("Health", err, diff)
	}
	status, err := c.Status(ctx)
	if diff := cmp.Diff(r.Status(), *status); diff != "" || err != nil {
		t.Error("Status", err, diff)
	}
}

func second[T any](_ T, err error) error { return err }

// failingWriter fails with err.
type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

// slowWriter takes its time for each piece.
type slowWriter struct {
	pause time.Duration
	bytes int
}

func (s *slowWriter) Write(p []byte) (int, error) {
	<-time.After(s.pause)
	s.bytes += len(p)
	return len(p), nil
}

func TestAnExportMayTakeLongerThanAnAnswer(t *testing.T) {
	n := start(t, func(cfg *httpapi.Config, _ *manage.Node) { cfg.WriteTimeout = time.Second })
	c, err := client.New("unix:" + n.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	slow := &slowWriter{pause: 4 * time.Millisecond} // 16 MB in pieces of 32 KB: two seconds
	if err := c.Export(t.Context(), "digits", 8, slow); err != nil || slow.bytes != 16<<20 {
		t.Errorf("Export = %v after %d bytes", err, slow.bytes)
	}
}

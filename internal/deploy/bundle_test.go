package deploy_test

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"verge/client"
	"verge/internal/bundle"
	"verge/internal/fault"
)

// export exports a version and reads what was written.
func (n *node) export(model string, version int) *bundle.Bundle {
	n.tb.Helper()
	var b bytes.Buffer
	if err := n.manager.Export(n.tb.Context(), model, version, &b); err != nil {
		n.tb.Fatalf("Export: %v", err)
	}
	read, err := bundle.Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err == nil {
		err = read.Verify()
	}
	if err != nil {
		n.tb.Fatal(err)
	}
	return read
}

// again is the request that deploys an exported version.
func (n *node) again(b *bundle.Bundle, stage string) client.DeploymentRequest {
	n.tb.Helper()
	spec, _ := json.Marshal(string(b.Spec))
	req := client.DeploymentRequest{Spec: spec, SpecName: b.Manifest.Spec, Name: b.Manifest.Model, Stage: stage, Artifacts: map[string]string{}, Evidence: &client.Report{}}
	if err := json.Unmarshal(b.Report, req.Evidence); err != nil {
		n.tb.Fatal(err)
	}
	for _, f := range b.Manifest.Files {
		data, err := io.ReadAll(b.File(f.Role))
		if err != nil {
			n.tb.Fatal(err)
		}
		req.Artifacts[f.Role] = n.upload(data)
	}
	return req
}

func TestAnExportedVersionIsDeployedOnAnotherNode(t *testing.T) {
	n := newNode(t, t.TempDir())
	const spec = "# kept as it is\nname: m\nmodel: {path: ../m.onnx, labels: labels/l.txt}\nstages: {production: {deployment: {max_latency_ms: 77}}}\n"
	text, _ := json.Marshal(spec)
	req := n.request("", "digits.onnx")
	req.Spec, req.SpecName, req.Stage = text, "/home/somebody/m.yaml", "staging"
	req.Artifacts["labels"] = n.upload([]byte("zero\none\n"))
	staging := n.wait(n.submit(req).ID)
	if staging.Phase != client.PhaseCommitted {
		t.Fatalf("%+v", staging.Error)
	}
	b := n.export("m", 0)
	m := b.Manifest
	if m.Model != "m" || m.Version != 1 || m.Stage != "staging" || m.Deployment != staging.ID || m.Spec != "m.yaml" || string(b.Spec) != spec {
		t.Errorf("manifest %+v, spec %s", m, b.Spec)
	}
	if want := []string{"model files/model.onnx", "labels labels/l.txt"}; len(m.Files) != 2 || m.Files[0].Role+" "+m.Files[0].Path != want[0] || m.Files[1].Role+" "+m.Files[1].Path != want[1] {
		t.Errorf("files %+v, want %q", m.Files, want)
	}
	if m.Files[0].Digest != staging.Digest {
		t.Errorf("the model has digest %s, want %s", m.Files[0].Digest, staging.Digest)
	}

	other := newNode(t, t.TempDir())
	d := other.wait(other.submit(other.again(b, "production")).ID)
	if d.Phase != client.PhaseCommitted || other.served["m.production"].File.Deployment.MaxLatencyMS != 77 {
		t.Fatalf("it ended %s: %+v", d.Phase, d.Error)
	}
	i := slices.IndexFunc(d.Verdicts, func(v client.Verdict) bool { return v.Gate == "evidence" })
	if i < 0 || d.Verdicts[i].Outcome != client.OutcomePass || d.Verdicts[i].Detail != "staging took these bytes with deployment "+staging.ID ||
		d.Verdicts[i].How != "what the report says that came with the request, of test board" {
		t.Errorf("verdicts %+v", d.Verdicts)
	}
	// From there it goes on to the next one: production had seen the evidence.
	third := newNode(t, t.TempDir())
	if d := third.wait(third.submit(third.again(other.export("m", 1), "production")).ID); d.Phase != client.PhaseCommitted {
		t.Errorf("on the third node it ended %s: %+v", d.Phase, d.Error)
	}
}

func TestAReportThatProvesNothingIsNoEvidence(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(staged("staging", ""), "digits.onnx")
	b := n.export("m", 0)
	for name, change := range map[string]func(*client.Report){
		"of another file":         func(r *client.Report) { r.Deployment.Artifacts = map[string]string{"model": "sha256:00"} },
		"of another file, of old": func(r *client.Report) { r.Deployment.Digest, r.Deployment.Artifacts = "sha256:00", nil },
		"of other weights":        func(r *client.Report) { r.Deployment.Artifacts["weights"] = r.Deployment.Digest },
		"of another model":        func(r *client.Report) { r.Deployment.Model = "other.staging" },
		"of testing":              func(r *client.Report) { r.Deployment.Stage = "testing" },
		"of one that failed":      func(r *client.Report) { r.Deployment.Phase = client.PhaseFailed },
		"of one rolled back":      func(r *client.Report) { r.Deployment.Phase = client.PhaseRolledBack },
		"of one that was forced":  func(r *client.Report) { r.Deployment.Stage = "production" },
		"of a form of later days": func(r *client.Report) { r.Format++ },
	} {
		t.Run(name, func(t *testing.T) {
			other := newNode(t, t.TempDir())
			req := other.again(b, "production")
			change(req.Evidence)
			d := other.wait(other.submit(req).ID)
			if d.Phase != client.PhaseFailed || len(d.Error.Problems) != 1 || d.Error.Problems[0].Message != "these bytes have not passed staging on this device, which production wants" {
				t.Errorf("it ended %s: %+v", d.Phase, d.Error)
			}
		})
	}
}

func TestWhatIsNotKeptIsNotExported(t *testing.T) {
	n := newNode(t, t.TempDir())
	check(t, "Export", n.manager.Export(t.Context(), "m", 0, io.Discard), fault.NotFound, `model "m" is not deployed`, "verge status lists the models that are.")
	n.deploy(base, "digits.onnx")
	n.deploy(staged("staging", ""), "digits-bad.onnx")
	if err := n.manager.Pin("m.testing", 1, true, asker()); err != nil { // it is told once
		t.Fatal(err)
	}
	check(t, "Export", n.manager.Export(t.Context(), "m", 3, io.Discard), fault.NotFound, "version 3 of m is not kept", "These are: m.staging@2, m@1.")
	check(t, "Export", n.manager.Export(t.Context(), "m.staging", 1, io.Discard), fault.NotFound, "version 1 of m.staging is not kept", "These are: m.staging@2.")
	if m := n.export("m", 0).Manifest; m.Version != 2 || m.Stage != "staging" {
		t.Errorf("of the plain name, version %d of %s is exported", m.Version, m.Stage)
	}
	if m := n.export("m", 1).Manifest; m.Version != 1 || m.Stage != "testing" {
		t.Errorf("by its number, version %d of %s is exported", m.Version, m.Stage)
	}
}

// writer calls first at its first write.
type writer struct {
	bytes.Buffer

	first func()
}

func (w *writer) Write(p []byte) (int, error) {
	if w.first != nil {
		w.first()
		w.first = nil
	}
	return w.Buffer.Write(p)
}

func TestFilesStayUntilTheyAreExported(t *testing.T) {
	n := newNode(t, t.TempDir())
	d := n.deploy(base, "digits.onnx")
	w := &writer{first: func() {
		n.deploy(base, "digits-bad.onnx")
		n.deploy(base, "digits-slow.onnx") // version 1 is not kept any more
		if !n.artifacts.Has(d.Digest) {
			t.Error("its file is gone")
		}
	}}
	if err := n.manager.Export(t.Context(), "m", 0, w); err != nil {
		t.Errorf("Export: %v", err)
	}
	b, err := bundle.Read(bytes.NewReader(w.Bytes()), int64(w.Len()))
	if err != nil || b.Manifest.Version != 1 || b.Verify() != nil {
		t.Errorf("read %+v, %v", b, err)
	}
	n.deploy(base, "digits-bad.onnx")
	if n.artifacts.Has(d.Digest) {
		t.Error("its file is kept for ever")
	}
}

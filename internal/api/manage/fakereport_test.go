package manage_test

import (
	"verge/client"
)

// Report has something in every member for ended, and nothing that may be left out for
// running.
func (d *deployments) Report(id string) (*client.Report, error) {
	r := &client.Report{Format: client.ReportFormat, Durations: []client.PhaseDuration{}, Events: []client.ReportEvent{}, Log: []client.ReportRecord{}}
	switch id {
	case running:
		r.Deployment = *full(id, client.PhaseGating)
		return r, nil
	case ended:
	default:
		return nil, unknown(id)
	}
	runtime := &client.ReportRuntime{
		Name: "onnxruntime", Version: "1", Device: "cpu", ProvidersRequested: []string{"a"}, Providers: []string{"b"}, Fallbacks: []string{"c"}, Threads: 1, Parallel: 2,
	}
	version := &client.ReportVersion{
		Version: 1, Deployment: "d", Digest: "sha256:x", ModelBytes: 1, Runtime: runtime, MemoryPeakBytes: new(int64), GateP50MS: new(float64), GateP95MS: new(float64),
		Requests: new(int64), Errors: new(int64), ServedP50MS: new(float64), ServedP95MS: new(float64),
	}
	d1 := full(id, client.PhaseFailed)
	d1.Verdicts[0].Histogram = &client.Histogram{FromMS: 1, BoundsMS: []float64{2}, Counts: []int{3}}
	return &client.Report{
		Format: client.ReportFormat, Complete: true, VergeVersion: "1", Deployment: *d1, AskedBy: &client.Actor{Kind: "socket", Name: "n", UID: new(int), GID: new(int), PID: 1},
		DurationMS: 1, Durations: []client.PhaseDuration{{Phase: client.PhaseChecking, DurationMS: 1}}, FileName: "f", File: "{}",
		Device: client.ReportDevice{
			Label: "l", Board: "b", CPU: "c", Architecture: "a", Processors: 1, MemoryBytes: 1, OS: "linux", Kernel: "k", Libc: "g", Accelerators: []string{"x"},
			CelsiusAtBegin: new(float64), CelsiusAtEnd: new(float64),
		},
		Runtime: runtime, This: version, Before: version, Cut: []string{"c"},
		Events: []client.ReportEvent{{Time: instant(), Type: client.EventWarning, Phase: client.PhaseChecking, Message: "m"}},
		Log:    []client.ReportRecord{{Time: instant(), Level: "INFO", Message: "m", Attrs: "a=b"}},
	}, nil
}

// chained is an audit log of five entries.
func chained() (all []client.AuditEntry) {
	before := ""
	for i := range 5 {
		e := client.AuditEntry{
			Sequence: uint64(i + 1), Time: instant(), Act: client.ActDeploy, By: client.Actor{Kind: client.ActorNode}, Model: "digits", Version: i,
			Deployment: "d", Digest: "sha256:x", Reason: "r", Before: before,
		}
		e.Hash = e.Sum()
		before, all = e.Hash, append(all, e)
	}
	return all
}

// Audit returns parts of the log of a deployments, chained unless a test says so.
func (d *deployments) Audit(after uint64, limit int) (*client.AuditPage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.audit
	if all == nil {
		all = chained()
	}
	page := &client.AuditPage{Head: client.AuditMark{Sequence: 5, Hash: chained()[4].Hash}}
	for _, e := range all {
		if e.Sequence > after && len(page.Entries) == limit {
			page.Next = e.Sequence - 1
			break
		}
		if e.Sequence > after {
			page.Entries = append(page.Entries, e)
		}
	}
	return page, nil
}

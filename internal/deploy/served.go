package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verge/client"
	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/monitor"
	"verge/internal/serve"
	"verge/internal/tensor"
)

// Served is a loaded version with all that belongs to it.
type Served struct {
	Model   string
	File    *deployfile.File
	Version *serve.Version
	Monitor *monitor.Model
	Session inference.Session // also the worker's status, where there is one
	Labels  []string          // of the deployment, else of the model's file; nil for none

	// Preprocess says how pictures become inputs, by the input's name, where the
	// model's file says it and the deployment file does not.
	Preprocess map[string]client.Preprocess

	release  *release
	declared *modelfile.Info // what the model's file says; nil where it cannot be read
	memory   memory
	cases    []gate.Case     // golden ones; nil once it serves
	probe    []tensor.Tensor // one request that it takes
	source   string          // where that comes from
	answer   []answer        // to it; nil where two runs disagreed
	tested   monitor.Stats   // what Monitor had seen when it began to serve: its tests

	loaded context.Context // until it is unloaded, or the manager closes
	unload context.CancelFunc

	loadTook, firstTook time.Duration // the load, and the first answer after it
}

// Declares returns what the model's file says about itself, or nil. Do not write to it.
func (s *Served) Declares() *modelfile.Info { return s.declared }

// Deployment returns the id of the deployment that it came from.
func (s *Served) Deployment() string { return s.release.Deployment }

// Digest returns the digest of the bytes that it was loaded from.
func (s *Served) Digest() string {
	model, _ := rolesOf(s.release.variant())
	return s.release.Artifacts[model]
}

// Digests returns the digests of all files that it was loaded from.
func (s *Served) Digests() []string {
	digests := []string{s.Digest()}
	_, weights := rolesOf(s.release.variant())
	if digest := s.release.Artifacts[weights]; digest != "" {
		digests = append(digests, digest)
	}
	return digests
}

// answer is one output of the probe, as it was when the version was committed.
type answer struct {
	Name  string       `json:"name"`
	DType tensor.DType `json:"dtype"`
	Shape []int64      `json:"shape"`
	Data  []byte       `json:"data"`
}

// maxAnswer bounds what the state file keeps of a probe's answer, in bytes. A
// larger one is remembered only as long as the version is loaded.
const maxAnswer = 256 << 10

// loading is what is needed to load a release.
type loading struct {
	model    string
	file     *deployfile.File
	bytes    memory // the model's verified files
	release  *release
	threads  int
	declared *modelfile.Info // what the model's file says; nil for one that has served before
}

// load brings one release into a new session beside whatever serves, warms it
// up, and registers it as a candidate that only a private route reaches. It takes the
// bytes over.
func (m *Manager) load(ctx context.Context, l loading) (_ *Served, err error) {
	model, file, bytes, rel := l.model, l.file, l.bytes, l.release
	s := &Served{Model: model, File: file, Monitor: m.host.Recorder(), release: rel, memory: bytes, declared: l.declared}
	s.loaded, s.unload = context.WithCancel(m.ctx)
	defer func() {
		if err != nil {
			m.release(s)
		}
	}()
	if s.declared == nil {
		s.declared, _ = modelfile.Inspect(bytes.file(), modelfile.DefaultLimits()) // it is only told
	}
	said := openEmbedded(file, bytes.file(), m.host.Log.With("model", model, "version", rel.Version))
	if s.Labels, err = m.labels(rel.Artifacts[roleLabels], said); err != nil {
		return nil, err
	}
	rt, err := m.host.Runtime(rel.Runtime, file.Isolation)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s@%d", model, rel.Version)
	begun := m.host.Now()
	s.Session, err = rt.Load(ctx, bytes.named(name), m.options(file, rel, model, l.threads))
	if err != nil {
		return nil, refused(err)
	}
	s.loadTook = m.host.Now().Sub(begun)
	if err = asDeclared(l.declared, s.Session.Signature(), rel.Runtime); err != nil {
		return nil, err
	}
	s.Version, err = m.host.Server.Add(serve.Spec{
		Model: model, Version: rel.Version, Session: s.Session, Labels: s.Labels, Recorder: s.Monitor,
		Parallel: s.Session.Info().Parallel, BatchSize: file.Deployment.BatchSize,
	})
	if err != nil {
		return nil, err
	}
	signature := s.Version.Signature()
	if file.Model.Preprocess == nil {
		s.Preprocess = said.preprocess(signature.Inputs)
	}
	if s.cases, err = m.golden(file, rel.Artifacts[roleGolden], signature); err != nil {
		return nil, err
	}
	if s.probe, s.source, err = probe(file, signature, s.Session.Info().Metadata, s.cases); err != nil {
		return nil, err
	}
	if err := s.warm(ctx, m.host.Now); err != nil {
		return nil, refused(err)
	}
	return s, nil
}

// opRefused is the operation of errors of a runtime that does not load a model, or not
// run it.
const opRefused = "deploy.refused"

func refused(err error) error {
	return &fault.Error{Kind: fault.KindOf(err), Op: opRefused, Err: err}
}

// isRefused says whether it is the runtime that does not take the model.
func isRefused(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Op == opRefused
}

// options says how the session is to be made: as was chosen, else one thread for
// each run, and as many runs at a time as the budget has threads.
func (m *Manager) options(file *deployfile.File, rel *release, model string, threads int) inference.Options {
	d := file.Deployment
	o := inference.Options{
		Threads: 1, Parallel: threads, OptimizationLevel: min(d.OptimizationLevel, 1),
		Device: d.DeviceType, Fallback: d.Fallback, Shapes: file.Model.InputShapes, BatchSize: d.BatchSize,
		MemoryLimit: int64(d.MemoryLimitMB) << 20, GPUMemoryFraction: d.GPUMemoryFraction, Cache: m.host.CacheDir,
		Log:      m.host.Log.With("model", model, "version", rel.Version),
		LogLevel: d.Level(),
	}
	w := rel.Way
	if w != nil {
		o.Threads, o.Parallel, o.Device = w.Threads, w.Parallel, w.Device
	}
	switch {
	case w == nil || w.Named:
		for _, p := range d.Providers {
			o.Providers = append(o.Providers, inference.Provider{Name: p.Name, Options: p.Options})
		}
	case w.Provider != "":
		o.Providers = []inference.Provider{{Name: w.Provider}}
	}
	if d.EnableProfiling {
		o.Profile = m.host.ProfilePrefix(model, rel.Version)
	}
	return o
}

// labels returns the names of classes in the artifact, or those that the model's
// file has where there is none.
func (m *Manager) labels(digest string, said embedded) ([]string, error) {
	if digest == "" {
		return said.labels(), nil
	}
	memory, err := m.data(roleLabels, digest)
	if err != nil {
		return nil, err
	}
	defer memory.Close() //nolint:errcheck // only read
	return dataset.ReadLabels(memory.Bytes())
}

// warm runs the probe twice, so that the first client is not the first, and
// notes the answer that later health checks compare with.
func (s *Served) warm(ctx context.Context, now func() time.Time) error {
	begun := now()
	first, err := s.ask(ctx)
	if err != nil {
		return s.warmUp(err)
	}
	s.firstTook = now().Sub(begun)
	second, err := s.ask(ctx)
	if err != nil {
		return s.warmUp(err)
	}
	switch {
	case agree(first, second) != nil:
		return nil //nolint:nilerr // a model that answers at random has no known answer
	case s.release.Answer != nil && s.release.Question == question(s.probe):
		s.answer = s.release.Answer
		return nil
	}
	s.answer = first
	total := 0
	for _, a := range first {
		total += len(a.Data)
	}
	if total <= maxAnswer {
		s.release.Question, s.release.Answer = question(s.probe), first
	}
	return nil
}

// ask runs the probe outside the request counts.
func (s *Served) ask(ctx context.Context) ([]answer, error) {
	var got []answer
	err := s.Version.Warm(ctx, s.probe, func(outputs []tensor.Tensor) {
		for _, t := range outputs {
			got = append(got, answer{t.Name, t.DType, append([]int64(nil), t.Shape...), append([]byte(nil), t.Data...)})
		}
	})
	return got, err
}

// CheckModel asks the version the probe and compares the answer with the known
// one, within the latency limit of its deployment file.
func (s *Served) CheckModel(ctx context.Context, now func() time.Time) (latency time.Duration, err error) {
	limit := time.Duration(s.File.Deployment.MaxLatencyMS * float64(time.Millisecond))
	begin := now()
	got, err := s.ask(ctx)
	latency = now().Sub(begin)
	switch {
	case err != nil:
		return latency, err
	case s.answer != nil:
		if err := agree(s.answer, got); err != nil {
			return latency, fault.New(fault.Corrupt, "deploy.check", "the answer to the known input changed: %w", err)
		}
	}
	if latency > limit {
		return latency, fault.New(fault.Deadline, "deploy.check", "the known input took %.1f ms, the limit is %g ms",
			ms(latency), s.File.Deployment.MaxLatencyMS)
	}
	return latency, nil
}

// agree compares two answers: exactly, but for floats, whose limit is 1e-4
// relative to the larger of the two (or to one, where both are smaller).
func agree(want, got []answer) error {
	if len(want) != len(got) {
		return fmt.Errorf("%d outputs, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		a := tensor.Tensor{Name: w.Name, DType: w.DType, Shape: w.Shape, Data: w.Data}
		b := tensor.Tensor{Name: g.Name, DType: g.DType, Shape: g.Shape, Data: g.Data}
		if err := tensor.Agree(a, b, 1e-4); err != nil {
			return fmt.Errorf("output %q: %w", w.Name, err)
		}
	}
	return nil
}

// release ends a version that does not serve, and gives its memory back.
func (m *Manager) release(s *Served) {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), patience)
	defer cancel()
	var errs []error
	s.unload()
	switch {
	case s.Version != nil:
		errs = append(errs, m.host.Server.Remove(ctx, s.Version))
	case s.Session != nil:
		errs = append(errs, s.Session.Close())
	}
	errs = append(errs, s.memory.close())
	if err := errors.Join(errs...); err != nil {
		m.host.Log.Warn("version was not unloaded cleanly", "model", s.Model, "version", s.release.Version, "err", err)
	}
}

// String returns "digits@3".
func (s *Served) String() string { return fmt.Sprintf("%s@%d", s.Model, s.release.Version) }

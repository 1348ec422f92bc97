package worker

import (
	"context"
	"log/slog"
	"sync"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// remote is an inference library that only workers open.
type remote struct {
	host          *Host
	name, library string

	mu   sync.Mutex             // guards info
	info *inference.RuntimeInfo // nil until a worker has told it
}

// Info implements inference.Runtime. Where no worker has opened the library yet,
// one is started to ask; where that fails, only name and file are known.
func (r *remote) Info() inference.RuntimeInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.info == nil {
		ctx, cancel := context.WithTimeout(context.Background(), r.host.cfg.StartTimeout)
		defer cancel()
		info, err := r.host.Probe(ctx, r.name, r.library)
		if err != nil {
			r.host.log.Warn("library was not opened", "runtime", r.name, "err", err)
			return inference.RuntimeInfo{Name: r.name, Library: r.library}
		}
		r.info = &info
	}
	return *r.info
}

func (r *remote) learn(info inference.RuntimeInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.info == nil {
		r.info = &info
	}
}

// Probe opens a library in a process of its own, which ends then, and returns
// what it is. It fails as opening it does, with fault.Internal when the process
// dies of it, and with fault.Deadline or fault.Canceled when ctx ends first.
func (h *Host) Probe(ctx context.Context, name, library string) (inference.RuntimeInfo, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return inference.RuntimeInfo{}, errStopped("worker.probe")
	}
	h.probes.Add(1)
	h.mu.Unlock()
	defer h.probes.Done()
	p, err := h.spawn(order{Runtime: name, Library: library}, nil, h.log, slog.LevelInfo)
	if err != nil {
		return inference.RuntimeInfo{}, err
	}
	defer p.stop()
	answer, err := p.loading(ctx)
	if err != nil {
		return inference.RuntimeInfo{}, err
	}
	return answer.Library, nil
}

// Load implements inference.Runtime: it starts a worker that loads m. A worker
// that dies of it is not replaced: Load fails with fault.Internal, or with
// fault.Exhausted when it reached its memory limit, and tells what it wrote last.
func (r *remote) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	const op = "worker.load"
	if len(m.Data) == 0 {
		return nil, fault.New(fault.Corrupt, op, "the model is empty").On(m.Name)
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	o.Log = nil // the worker has its own
	o.Threads, o.Parallel = max(o.Threads, 1), max(o.Parallel, 1)
	job := order{Runtime: r.name, Library: r.library, Model: m.Name, Size: int64(len(m.Data)), Digest: m.Digest, Options: o}
	if m.Weights != nil {
		job.Weights = int64(len(m.Weights.Data))
	}
	s := newSession(r, job, log)
	if err := r.host.enter(s); err != nil {
		return nil, err
	}
	if err := s.load(ctx, m); err != nil {
		s.Close() //nolint:errcheck,gosec // the first error counts
		return nil, err
	}
	r.learn(s.library)
	return s, nil
}

// hold notes the descriptors of a model's files, for every process that loads it.
// Where a file has none, it is copied to one.
func (s *Session) hold(m inference.Model) error {
	files := []inference.Memory{{Data: m.Data, FD: m.FD}}
	if m.Weights != nil {
		files = append(files, *m.Weights)
	}
	for _, file := range files {
		if file.FD < 0 {
			own, err := native.NewReadOnlyMemory("verge-model", len(file.Data), func(b []byte) error { copy(b, file.Data); return nil })
			if err != nil {
				return err
			}
			s.own = append(s.own, own)
			file.FD = own.FD()
		}
		s.model = append(s.model, file.FD)
	}
	return nil
}

package serve

import (
	"context"
	"log/slog"
	"sync"

	"verge/internal/fault"
	"verge/internal/modelname"
)

// Server holds the versions of all models, and says which one a name stands
// for. All methods are safe for concurrent use.
type Server struct {
	cfg Config
	log *slog.Logger

	mu        sync.RWMutex            // guards all below; no other mutex is taken under it
	versions  map[versionKey]*Version // everything added and not removed
	active    map[string]*Version     // model → the version that its name stands for
	announced map[string]string       // model → why no version of it serves
	staged    int                     // names in active and announced that ask for a stage
	draining  bool
}

type versionKey struct {
	model  string
	number int
}

// New returns a Server that serves nothing. cfg is valid.
func New(cfg Config, log *slog.Logger) *Server {
	return &Server{
		cfg: cfg, log: log,
		versions: map[versionKey]*Version{}, active: map[string]*Version{}, announced: map[string]string{},
	}
}

// Add takes a loaded session in as a candidate: nobody reaches it but through
// the Version that is returned. From here on the session is the Server's, and
// Remove closes it; where Add fails, it is still the caller's. It fails with
// fault.Invalid for a name or a number that breaks the grammar, with
// fault.Conflict when that version is there already, and with fault.Unavailable
// after Drain.
func (s *Server) Add(spec Spec) (*Version, error) {
	const op = "serve.add"
	if err := modelname.Check(spec.Model); err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	if spec.Version < 1 {
		return nil, fault.New(fault.Invalid, op, "version %d of model %q, want 1 or more", spec.Version, spec.Model)
	}
	v := newVersion(s.cfg, spec, s.log)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := versionKey{spec.Model, spec.Version}
	switch {
	case s.draining:
		return nil, stopping(op)
	case s.versions[key] != nil:
		return nil, fault.New(fault.Conflict, op, "version %d of model %q is loaded already", spec.Version, spec.Model)
	}
	s.versions[key] = v
	return v, nil
}

// Activate makes v the version that its model's name stands for, and returns the
// one that was, or nil. The switch is one step: every Resolve after it finds v.
// The old version goes on with the requests that it has, and with those that
// found it before; Remove ends it. A version that was removed is not activated.
// A model that keeps values from one request to the next starts afresh.
func (s *Server) Activate(v *Version) (old *Version) {
	v.start()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.versions[v.key()] != v {
		return nil
	}
	old = s.active[v.model]
	s.active[v.model] = v
	s.count()
	if old == v {
		return nil
	}
	s.log.Info("version activated", "model", v.model, "version", v.number)
	return old
}

// Remove takes v out: nobody finds it any more, requests that found it before are
// refused with ErrReplaced, the ones that were admitted, waiting ones included,
// are finished. Then the slots and the session are closed. When ctx ends first,
// the requests that are left are cut off (they fail with fault.Unavailable), the
// session is closed all the same, and Remove fails with fault.Deadline or
// fault.Canceled. A slot that a cut off request still holds is freed when the
// request ends. Remove is safe to repeat.
func (s *Server) Remove(ctx context.Context, v *Version) error {
	s.mu.Lock()
	known := s.versions[v.key()] == v
	if known {
		delete(s.versions, v.key())
	}
	if s.active[v.model] == v {
		delete(s.active, v.model)
		s.count()
	}
	s.mu.Unlock()
	if !known {
		return nil
	}
	err := v.close(ctx)
	if err != nil {
		s.log.Warn("version was not unloaded cleanly", "model", v.model, "version", v.number, "err", err)
		return err
	}
	s.log.Info("version unloaded", "model", v.model, "version", v.number)
	return nil
}

// Drain refuses new requests to every version with fault.Unavailable, and waits
// until those that were admitted, waiting ones included, have ended. When ctx
// ends first, it fails with fault.Deadline or fault.Canceled and says how many
// are left. Nothing is closed, and nothing is admitted again.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	all := s.all()
	s.mu.Unlock()
	for _, v := range all {
		v.pool.refuse(stopping("serve.begin"))
	}
	var errs []error
	for _, v := range all {
		errs = append(errs, v.wait(ctx, "serve.drain"))
	}
	return fault.Join(errs...)
}

// Close drains the Server and removes every version. ctx bounds the wait, as in
// Remove.
func (s *Server) Close(ctx context.Context) error {
	err := s.Drain(ctx)
	s.mu.RLock()
	all := s.all()
	s.mu.RUnlock()
	errs := []error{err}
	for _, v := range all {
		errs = append(errs, s.Remove(ctx, v))
	}
	return fault.Join(errs...)
}

// all returns every version; s.mu is held.
func (s *Server) all() []*Version {
	all := make([]*Version, 0, len(s.versions))
	for _, v := range s.versions {
		all = append(all, v)
	}
	return all
}

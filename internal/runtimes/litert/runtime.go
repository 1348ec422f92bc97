package litert

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// Name is the name of this runtime.
const Name = "litert"

// liteRuntime is the open library.
type liteRuntime struct {
	api  *api
	env  *environment
	info inference.RuntimeInfo
}

// Open opens the library at path. Opening it again gives an equal runtime: the
// library is in a process once, and stays. The library has no way to hand its
// messages to a program: what it says outside of a failed call goes to the standard
// error, where a worker's node reads it. log is not used.
//
// It fails as native.Open does, and with fault.Unsupported when the library is not
// LiteRT or lacks a function.
func Open(path string, _ *slog.Logger) (inference.Runtime, error) {
	library, err := native.Open(path)
	if err != nil {
		return nil, err
	}
	a, err := bind(library)
	if err != nil {
		return nil, err
	}
	env, err := process.get(a)
	if err != nil {
		return nil, err
	}
	return &liteRuntime{api: a, env: env, info: inference.RuntimeInfo{
		Name: Name, Version: a.version, Library: library.Path(), Providers: providerNames(env),
	}}, nil
}

// Info implements inference.Runtime.
func (r *liteRuntime) Info() inference.RuntimeInfo {
	info := r.info
	info.Providers = slices.Clone(info.Providers)
	return info
}

// Load implements inference.Runtime.
func (r *liteRuntime) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	const op = "litert.load"
	subject := "model " + m.Name
	switch {
	case ctx.Err() != nil:
		return nil, ended(ctx, op).On(subject)
	case len(m.Data) == 0:
		return nil, fault.New(fault.Corrupt, op, "the file is empty").On(subject)
	case o.Threads < 0 || o.Parallel < 0:
		return nil, fault.New(fault.Invalid, op, "%d threads and %d parallel runs, want 0 or more of each", o.Threads, o.Parallel).On(subject)
	}
	s, err := r.load(ctx, m, o)
	if err != nil {
		return nil, err.On(subject)
	}
	return s, nil
}

// load reads a model and compiles it, at the first place that takes it.
func (r *liteRuntime) load(ctx context.Context, m inference.Model, o inference.Options) (*session, *fault.Error) {
	const op = "litert.load"
	places, requested, fallbacks, err := r.env.places(r.info.Version, o)
	if err != nil {
		return nil, err
	}
	read, err := r.api.newModel(r.env.handle, m.Data)
	if err != nil {
		return nil, err
	}
	s := &session{
		api: r.api, env: r.env, subject: "model " + m.Name, signature: read.signature, model: read, slots: map[*slot]struct{}{},
		info: inference.SessionInfo{
			Runtime: Name, RuntimeVersion: r.api.version, Threads: max(o.Threads, 1), Parallel: max(o.Parallel, 1),
			ProvidersRequested: requested, Metadata: read.metadata, ModelBytes: int64(len(m.Data)),
		},
	}
	for i, p := range places {
		s.settings = settings{accelerators: p.mask, kernels: p.kernels, threads: s.info.Threads, reports: reportToBuffer}
		c, f := s.compile()
		if f == nil {
			f = c.complete()
		}
		if f == nil {
			s.spare = append(s.spare, c)
			s.info.Device, s.info.Providers, s.info.Fallbacks = p.device, p.providers(c), fallbacks
			break
		}
		if c != nil {
			c.close()
		} else {
			f = r.api.reason(read, s.settings, f)
		}
		if i == len(places)-1 {
			s.Close() //nolint:errcheck,gosec // the first error counts
			return nil, f.fault(f.loadKind(), op)
		}
		fallbacks = append(fallbacks, p.name+": "+f.Error()+"; "+places[i+1].name+" is used")
	}
	if ctx.Err() != nil {
		s.Close() //nolint:errcheck,gosec // the first error counts
		return nil, ended(ctx, op)
	}
	return s, nil
}

// ended says that ctx has ended.
func ended(ctx context.Context, op string) *fault.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Deadline, op, "the time was over before the library had finished: %w", ctx.Err())
	}
	return fault.New(fault.Canceled, op, "canceled before the library had finished: %w", ctx.Err())
}

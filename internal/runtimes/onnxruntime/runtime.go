package onnxruntime

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// Name is the name of this runtime.
const Name = "onnxruntime"

// ortRuntime is the open library.
type ortRuntime struct {
	api  *api
	env  *environment
	info inference.RuntimeInfo

	proving sync.Mutex              // guards proofs; held while a provider is tried
	proofs  map[string]*fault.Error // by candidate.key: why a provider does not work here, or nil
}

// Open opens the library at path. What the library logs outside of any session
// goes to log; nil discards it. Opening it again gives an equal runtime: the library
// is in a process once, and stays.
//
// It fails as native.Open does, and with fault.Unsupported when the library is not
// ONNX Runtime or older than MinimumVersion.
func Open(path string, log *slog.Logger) (inference.Runtime, error) {
	library, err := native.Open(path)
	if err != nil {
		return nil, err
	}
	a, err := bind(library)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	env, err := process.get(a, log)
	if err != nil {
		return nil, err
	}
	providers, status := a.providers()
	if status != nil {
		return nil, status.fault(fault.Internal, "onnxruntime.open")
	}
	return &ortRuntime{api: a, env: env, info: inference.RuntimeInfo{
		Name: Name, Version: a.version, Library: library.Path(), Providers: providers,
		Build: clean(native.String(native.Call(a.functions[getBuildInfoString]), maxText)),
	}}, nil
}

// Info implements inference.Runtime.
func (r *ortRuntime) Info() inference.RuntimeInfo {
	info := r.info
	info.Providers = slices.Clone(info.Providers)
	return info
}

// Load implements inference.Runtime.
func (r *ortRuntime) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	const op = "onnxruntime.load"
	subject := "model " + m.Name
	switch {
	case ctx.Err() != nil:
		return nil, ended(ctx, op).On(subject)
	case len(m.Data) == 0:
		return nil, fault.New(fault.Corrupt, op, "the file is empty").On(subject)
	case o.Threads < 0 || o.Parallel < 0:
		return nil, fault.New(fault.Invalid, op, "%d threads and %d parallel runs, want 0 or more of each", o.Threads, o.Parallel).On(subject)
	case !(o.GPUMemoryFraction >= 0 && o.GPUMemoryFraction <= 1): // nor not a number
		return nil, fault.New(fault.Invalid, op, "a share of %v of the accelerator's memory, want 0 to 1", o.GPUMemoryFraction).On(subject)
	}
	p, err := newPlan(r.info, o)
	if err != nil {
		return nil, err.On(subject)
	}
	s, err := r.load(ctx, m, o, p)
	if err != nil {
		return nil, err.On(subject)
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

package openvino

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
const Name = "openvino"

// ovRuntime is the open library.
type ovRuntime struct {
	api  *api
	env  *environment
	info inference.RuntimeInfo
}

// Open opens the library at path, libopenvino_c; it finds the others of its kind
// beside itself. What the library logs outside of any load goes to log; nil
// discards it. Opening it again gives an equal runtime: the library is in a process
// once, and stays.
//
// It fails as native.Open does, and with fault.Unsupported when the library is not
// OpenVINO or older than MinimumVersion.
func Open(path string, log *slog.Logger) (inference.Runtime, error) {
	library, err := native.Open(path)
	if e, ok := errors.AsType[*fault.Error](err); ok && native.Check(path) == nil { // it is the loader that refuses
		e.Hint = "Its other files have to lie beside it: verge runtime install openvino brings them. ldd lists what it needs."
	}
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
	devices, status := a.devices(env.core)
	if status != nil {
		return nil, status.fault(fault.Internal, "openvino.open")
	}
	return &ovRuntime{api: a, env: env, info: inference.RuntimeInfo{
		Name: Name, Version: a.version, Library: library.Path(), Providers: devices, Build: a.build,
	}}, nil
}

// Info implements inference.Runtime.
func (r *ovRuntime) Info() inference.RuntimeInfo {
	info := r.info
	info.Providers = slices.Clone(info.Providers)
	return info
}

// Load implements inference.Runtime.
func (r *ovRuntime) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	const op = "openvino.load"
	subject := "model " + m.Name
	switch {
	case ctx.Err() != nil:
		return nil, ended(ctx, op).On(subject)
	case len(m.Data) == 0:
		return nil, fault.New(fault.Corrupt, op, "the file is empty").On(subject)
	case o.Threads < 0 || o.Parallel < 0:
		return nil, fault.New(fault.Invalid, op, "%d threads and %d parallel runs, want 0 or more of each", o.Threads, o.Parallel).On(subject)
	}
	placed, err := place(r.info, o)
	if err != nil {
		return nil, err.On(subject)
	}
	s, err := r.newSession(ctx, m, o, placed)
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

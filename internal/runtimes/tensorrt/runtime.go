package tensorrt

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
const Name = "tensorrt"

// trtRuntime is the open library, on the first GPU.
type trtRuntime struct {
	library *library
	env     *environment
	device  *device
	info    inference.RuntimeInfo
}

// Open opens the library at path, libnvinfer.so or libnvinfer_lean.so, after the
// driver. What the library logs outside of any session goes to log; nil discards it.
// Opening it again gives an equal runtime: the library is in a process once, and stays.
//
// It fails as native.Open does, and with fault.Unsupported when there is no driver or
// no GPU, when the library is not TensorRT, when it is of a version whose layout is not
// known, when it does not start, and when its objects are not laid out as expected.
func Open(path string, log *slog.Logger) (inference.Runtime, error) {
	return open(path, driverLibrary, log)
}

// open is Open with a driver by name or path.
func open(path, driverName string, log *slog.Logger) (inference.Runtime, error) {
	cuda, failed := openDriver(driverName)
	if failed != nil {
		return nil, failed
	}
	gpu, failed := openDevice(cuda)
	if failed != nil {
		return nil, failed
	}
	file, err := native.Open(path)
	if err != nil {
		return nil, err
	}
	l, err := bind(file)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	env, err := process.get(l, gpu, log)
	if err != nil {
		return nil, err
	}
	return &trtRuntime{library: l, env: env, device: gpu, info: inference.RuntimeInfo{
		Name: Name, Version: l.version, Library: l.path, Providers: []string{provider},
		Build: "CUDA " + gpu.version + ", " + gpu.name + ", compute capability " + gpu.capability,
	}}, nil
}

// Info implements inference.Runtime.
func (r *trtRuntime) Info() inference.RuntimeInfo {
	info := r.info
	info.Providers = slices.Clone(info.Providers)
	return info
}

// Load implements inference.Runtime.
func (r *trtRuntime) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	const op = "tensorrt.load"
	subject := "model " + m.Name
	switch {
	case ctx.Err() != nil:
		return nil, ended(ctx, op).On(subject)
	case len(m.Data) == 0:
		return nil, fault.New(fault.Corrupt, op, "the file is empty").On(subject)
	case o.Threads < 0 || o.Parallel < 0:
		return nil, fault.New(fault.Invalid, op, "%d threads and %d parallel runs, want 0 or more of each", o.Threads, o.Parallel).On(subject)
	case !(o.GPUMemoryFraction >= 0 && o.GPUMemoryFraction <= 1):
		return nil, fault.New(fault.Invalid, op, "%g of the GPU's memory, want 0 to 1", o.GPUMemoryFraction).On(subject)
	}
	requested, fallbacks, err := r.place(o)
	if err != nil {
		return nil, err.On(subject)
	}
	s := &session{
		library: r.library, device: r.device, env: r.env, subject: subject, log: o.Log, level: o.LogLevel,
		budget: newBudget(r.device, o.GPUMemoryFraction), slots: map[*slot]struct{}{},
		info: inference.SessionInfo{
			Runtime: Name, RuntimeVersion: r.library.version, Device: "gpu", ProvidersRequested: requested,
			Providers: []string{provider}, Fallbacks: fallbacks, Threads: max(o.Threads, 1), Parallel: max(o.Parallel, 1),
			ModelBytes: int64(len(m.Data)),
		},
	}
	if err := s.load(m.Data); err != nil {
		s.Close() //nolint:errcheck,gosec // the first error counts
		return nil, err.On(subject)
	}
	if ctx.Err() != nil {
		s.Close() //nolint:errcheck,gosec // the first error counts
		return nil, ended(ctx, op).On(subject)
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

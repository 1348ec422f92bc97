package litert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// Names of the two runtimes.
const (
	Name        = "litert"
	ClassicName = "tflite" // over the classic TensorFlow Lite library
)

// library is an open library, by one of its two interfaces.
type library interface {
	// name is what people call it; empty, whether it takes tensors without elements.
	name() (text string, empty bool)
	offer() offer
	// read reads a file, whose bytes have to stay while the model does.
	read(data []byte) (model, *fault.Error)
}

// liteRuntime is the open library.
type liteRuntime struct {
	library library
	info    inference.RuntimeInfo
}

// Open opens the library at path, and finds out by its functions which of the two it
// is; RuntimeInfo.Name says so. Opening it again gives an equal runtime: the library
// is in a process once, and stays. The library has no way to hand its messages to a
// program: what it says outside of a failed call goes to the standard error, where a
// worker's node reads it. log is not used.
//
// It fails as native.Open does, and with fault.Unsupported when the library is
// neither or lacks a function.
func Open(path string, _ *slog.Logger) (inference.Runtime, error) {
	opened, err := native.Open(path)
	if err != nil {
		return nil, err
	}
	if _, err = opened.Symbol(classicSymbols[interpreterCreate]); err == nil {
		if _, err = opened.Symbol(symbols[createEnvironment]); err != nil {
			return openClassic(opened, edgeTPULibraries(opened.Path()))
		}
	}
	a, err := bind(opened)
	if err != nil {
		return nil, err
	}
	env, err := process.get(a)
	if err != nil {
		return nil, err
	}
	l := &liteLibrary{api: a, env: env}
	return &liteRuntime{library: l, info: inference.RuntimeInfo{
		Name: Name, Version: a.version, Library: opened.Path(), Providers: l.offer().names(),
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
	where, err := r.library.offer().choose(o)
	if err != nil {
		return nil, err
	}
	read, err := r.library.read(m.Data)
	if err != nil {
		return nil, err
	}
	s := &session{
		subject: "model " + m.Name, model: read, slots: map[*slot]struct{}{},
		info: inference.SessionInfo{
			Runtime: r.info.Name, RuntimeVersion: r.info.Version, Threads: max(o.Threads, 1), Parallel: max(o.Parallel, 1),
			ProvidersRequested: where.requested, Fallbacks: where.fallbacks, ModelBytes: int64(len(m.Data)),
		},
	}
	s.library, s.empty = r.library.name()
	told := read.describe()
	s.signature, s.info.Metadata, s.info.Stateful = told.signature, told.metadata, told.stateful
	switch {
	case o.Profile == "":
	case told.measured:
		s.info.Profile = o.Profile
	default:
		s.info.Fallbacks = append(s.info.Fallbacks, "profile: this library cannot measure operators; none is written")
	}
	read.prepare(ctx, where.try[0], m, o)
	if err := s.settle(where.try); err != nil {
		s.Close() //nolint:errcheck,gosec // the first error counts
		return nil, err
	}
	if ctx.Err() != nil {
		s.Close() //nolint:errcheck,gosec // the first error counts
		return nil, ended(ctx, "litert.load")
	}
	return s, nil
}

// settle compiles the model at the first of the places that takes it.
func (s *session) settle(places []place) *fault.Error {
	for i, p := range places {
		r, f := s.try(p)
		if f == nil {
			s.spare = append(s.spare, r)
			s.place, s.info.Device, s.info.Providers = p, p.device, r.providers()
			switch {
			case s.info.Parallel == 1:
			case p.single:
				s.single(p.name + " takes one at a time")
			case s.info.Stateful:
				s.single("the model keeps values from one run to the next")
			}
			return nil
		}
		if i == len(places)-1 {
			return s.refusal(f)
		}
		s.info.Fallbacks = append(s.info.Fallbacks, p.name+": "+f.Error()+"; "+places[i+1].name+" is used")
	}
	return fault.New(fault.Internal, "litert.load", "no place to run the model was tried")
}

// single has one run at a time, and says why.
func (s *session) single(why string) {
	s.info.Fallbacks = append(s.info.Fallbacks, fmt.Sprintf("%d parallel runs: %s; 1 is used", s.info.Parallel, why))
	s.info.Parallel = 1
}

// try compiles the model at a place.
func (s *session) try(p place) (runner, *failure) {
	r, f := s.model.compile(p, s.info.Threads)
	if f != nil {
		return nil, s.model.reason(p, s.info.Threads, f)
	}
	if f = r.complete(); f != nil {
		r.close()
		return nil, f
	}
	return r, nil
}

// refusal is the error of a model that no place took.
func (s *session) refusal(f *failure) *fault.Error {
	return s.withHint(f.fault(f.loadKind(), "litert.load"), f)
}

// ended says that ctx has ended.
func ended(ctx context.Context, op string) *fault.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Deadline, op, "the time was over before the library had finished: %w", ctx.Err())
	}
	return fault.New(fault.Canceled, op, "canceled before the library had finished: %w", ctx.Err())
}

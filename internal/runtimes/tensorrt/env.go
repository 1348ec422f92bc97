package tensorrt

import (
	"log/slog"
	"sync"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
)

// environment is a library's logger and its IRuntime, which all sessions share. Both
// are kept as long as the process.
type environment struct {
	logger  *logger
	runtime object // public is 0 where it could not be made

	mu sync.Mutex // held while an engine is read, which one thread may do at a time
}

// environments are those of this process.
type environments struct {
	mu        sync.Mutex               // guards byLibrary, and runtime of each
	byLibrary map[uintptr]*environment // by the address of one of its functions
}

var process environments //nolint:gochecknoglobals // the library keeps one logger for each process, and callbacks are never freed

// get returns the environment of a library, and makes it on first use. Messages that
// belong to no session go to the logger of the latest call.
func (p *environments) get(l *library, g *device, log *slog.Logger) (*environment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	env := p.byLibrary[l.create]
	if env == nil {
		env = &environment{logger: newLogger(l.layout)}
		if p.byLibrary == nil {
			p.byLibrary = map[uintptr]*environment{}
		}
		p.byLibrary[l.create] = env
	}
	env.logger.mu.Lock()
	env.logger.fallback = log
	env.logger.mu.Unlock()
	if env.runtime.public != 0 {
		return env, nil
	}
	made, err := l.newRuntime(g, env.logger, log)
	if err != nil {
		return nil, err.On(l.path)
	}
	env.runtime = made
	return env, nil
}

// newRuntime makes an IRuntime. Where the library cannot start, it logs an error and
// may return an address of nothing, which is never looked at.
func (l *library) newRuntime(g *device, to *logger, log *slog.Logger) (object, *fault.Error) {
	const op = "tensorrt.open"
	const mostCores = 16
	if f := g.enter(); f != nil {
		return object{}, f.fault(op)
	}
	defer g.leave()
	messages := &journal{log: log}
	to.listen(messages)
	defer to.listen(nil)
	mine := uintptr(unsafe.Pointer(to.object))
	address := native.Call(l.create, mine, l.number)
	if len(messages.errors) > 0 || address == 0 {
		return object{}, fault.New(fault.Unsupported, op, "TensorRT does not start: %s", messages.said()).
			WithHint("Look whether the driver (CUDA %s) is new enough for this version of TensorRT.", g.version)
	}
	o, err := l.adopt(runtimeClass, address)
	if err != nil {
		return object{}, err
	}
	if l.call(o, getLogger) != mine {
		return object{}, l.unlike(runtimeClass, "it does not return its logger")
	}
	if n := l.int(o, getNbDLACores); n < 0 || n > mostCores {
		return object{}, l.unlike(runtimeClass, "it has %d DLA cores", n)
	}
	return o, nil
}

// unlike says that an object of the library does not do what the headers say.
func (l *library) unlike(c class, format string, args ...any) *fault.Error {
	return fault.New(fault.Unsupported, "tensorrt.adopt", "the %s is not laid out as in the headers of TensorRT %d: "+format, append([]any{c.name, l.layout.major}, args...)...).
		On(l.path).WithHint("Install a version of TensorRT that this build knows: %s.", known())
}

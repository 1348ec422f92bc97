package tensorrt

import (
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
)

// execution is an IExecutionContext with a stream and memory for the tensors of one
// run at a time. All its methods but free are called by whom device.enter holds on a
// thread.
type execution struct {
	session *session
	context object
	stream  uintptr
	charged int64 // of the budget, for the context
	profile int

	inputs, outputs []room

	enqueueFunction uintptr
	enqueueArgs     []uintptr // (context, stream)
	waitArgs        []uintptr // (stream)
}

// room is where the values of a tensor lie while the engine works on them.
type room struct {
	device buffer  // empty for a tensor in host memory
	host   []byte  // memory at a multiple of alignment, for a tensor in host memory
	told   uintptr // the address that the library has
}

// alignment is that of all addresses which the library is given, in bytes
// (IExecutionContext::setTensorAddress).
const alignment = 256

// newExecution makes an execution context.
func (s *session) newExecution(messages *journal) (*execution, *fault.Error) {
	const op = "tensorrt.slot"
	const static = 0      // of ExecutionContextAllocationStrategy: memory for all profiles
	const nonBlocking = 1 // of CUstream_flags
	x := &execution{session: s, inputs: make([]room, len(s.engine.inputs)), outputs: make([]room, len(s.engine.outputs))}
	if err := s.budget.take("an execution context", s.engine.contextBytes); err != nil {
		return nil, err
	}
	x.charged = s.engine.contextBytes
	s.create.Lock()
	address := s.library.call(s.engine.object, createContext, static)
	s.create.Unlock()
	if address == 0 {
		x.free()
		if said := messages.said(); outOfMemory(said) {
			return nil, fault.New(fault.Exhausted, op, "%s", said)
		}
		return nil, fault.New(fault.Internal, op, "no execution context: %s", messages.said())
	}
	var err *fault.Error
	if x.context, err = s.library.adopt(contextClass, address); err == nil {
		if err = x.identify(); err != nil {
			x.context = object{} // its destructor may be something else
		}
	}
	if err != nil {
		x.free()
		return nil, err
	}
	if f := s.device.call(cuStreamCreate, uintptr(unsafe.Pointer(&x.stream)), nonBlocking); f != nil {
		x.free()
		return nil, f.fault(op)
	}
	x.enqueueFunction = s.library.function(x.context, enqueue)
	x.enqueueArgs, x.waitArgs = []uintptr{x.context.implementation, x.stream}, []uintptr{x.stream}
	return x, nil
}

// identify checks that the context is one of the engine's.
func (x *execution) identify() *fault.Error {
	l := x.session.library
	of := l.probe(x.context, getContextEngine)
	if e, err := l.adopt(engineClass, of); err != nil || word(e.implementation) != word(x.session.engine.implementation) {
		return l.unlike(contextClass, "its engine is none")
	}
	if x.profile = l.int(x.context, getProfile); x.profile < -1 || x.profile >= x.session.engine.profiles {
		return l.unlike(contextClass, "it uses profile %d of %d", x.profile, x.session.engine.profiles)
	}
	return nil
}

// free gives everything back. The caller is in the device's context, or has failed to
// get there.
func (x *execution) free() {
	s := x.session
	s.library.free(x.context)
	if x.stream != 0 {
		s.device.call(cuStreamDestroy, x.stream) //nolint:errcheck // nothing could be done
	}
	for _, side := range [][]room{x.inputs, x.outputs} {
		for i := range side {
			side[i].device.free(s.budget)
		}
	}
	s.budget.give(x.charged)
	x.context, x.stream, x.charged = object{}, 0, 0
}

// use selects a profile. The shapes of all inputs have to be set after it.
func (x *execution) use(profile int) *fault.Error {
	if profile == x.profile {
		return nil
	}
	x.profile = -1
	if byte(x.session.library.call(x.context, setProfile, uintptr(profile), x.stream)) == 0 { //nolint:gosec // the function returns a bool
		return fault.New(fault.Internal, "tensorrt.inputs", "profile %d cannot be used", profile)
	}
	if f := x.wait(); f != nil {
		return f.fault("tensorrt.inputs")
	}
	x.profile = profile
	return nil
}

// place makes room for n bytes of a tensor, and tells the library where.
func (x *execution) place(p port, r *room, what string, n int) *fault.Error {
	address := uintptr(0)
	if p.host {
		if len(r.host) < max(n, 1) {
			r.host = aligned(max(n, 1))
		}
		address = native.Address(r.host)
	} else {
		if err := r.device.grow(x.session.budget, what, n); err != nil {
			return err
		}
		address = r.device.address
	}
	if address == r.told {
		return nil
	}
	if byte(x.session.library.call(x.context, setTensorAddress, p.name, address)) == 0 { //nolint:gosec // the function returns a bool
		return fault.New(fault.Internal, "tensorrt.place", "the library does not take the memory of %s", what)
	}
	r.told = address
	return nil
}

// aligned returns n bytes of Go's memory at a multiple of alignment.
func aligned(n int) []byte {
	memory := make([]byte, n+alignment)
	skip := -int(native.Address(memory)) & (alignment - 1)
	return memory[skip : skip+n : skip+n]
}

// shape sets the shape of an input.
func (x *execution) shape(p port, shape []int64) bool {
	d := dims{rank: int32(len(shape))} //nolint:gosec // as the signature has, at most maxRank
	copy(d.d[:], shape)
	return byte(x.session.library.call(x.context, setInputShape, p.name, uintptr(unsafe.Pointer(&d)))) != 0 //nolint:gosec // the function returns a bool
}

// infer works out shapes; false where those of the inputs do not go together.
func (x *execution) infer() bool { return x.session.library.int(x.context, inferShapes, 0, 0) == 0 }

// start enqueues a run.
func (x *execution) start() bool {
	return byte(native.Call(x.enqueueFunction, x.enqueueArgs...)) != 0 //nolint:gosec // the function returns a bool
}

// wait waits for all that is on the stream.
func (x *execution) wait() *failure {
	d := x.session.device
	if code := int32(native.Call(d.functions[cuStreamSynchronize], x.waitArgs...)); code != 0 { //nolint:gosec // the function returns an int
		return d.explain(code)
	}
	return nil
}

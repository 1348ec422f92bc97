package openvino

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/tflitefile"
	"verge/internal/native"
	"verge/internal/tensor"
)

// session is a model that has been compiled.
type session struct {
	api     *api
	subject string         // for messages
	pins    runtime.Pinner // keeps weights in place where they are Go's
	profile *profile       // nil where there is none

	signature inference.Signature
	declared  [2][]string // names of inputs and outputs before the model was compiled
	info      inference.SessionInfo
	resolved  bool // all shapes of the outputs are fixed, and their sizes numbers
	wide      bool // an input has integers that the library narrows
	fluid     bool // shapes inside of it may differ from one run to the next

	source source     // never changes
	again  sync.Mutex // held while the model is compiled again; taken after use

	closed atomic.Bool
	freed  bool         // by Close; guarded by use
	use    sync.RWMutex // held for reading while a native object of the session is in use

	mu       sync.Mutex // guards what follows; taken after use and again
	compiled *compiled  // for slots to come; nil until the next one after a spoiled one
	times    int        // that the model was compiled
	slots    map[*slot]struct{}
}

// newSession reads and compiles a model.
func (r *ovRuntime) newSession(ctx context.Context, m inference.Model, o inference.Options, p placement) (_ *session, failure *fault.Error) {
	const op = "openvino.load"
	messages := &journal{log: o.Log, level: o.LogLevel}
	s := &session{api: r.api, subject: "model " + m.Name, slots: map[*slot]struct{}{}}
	if o.Profile != "" {
		s.profile = &profile{prefix: o.Profile}
	}
	defer func() {
		if failure != nil {
			failure = messages.explain(failure)
			s.free()
		}
	}()
	stateful := keepsState(m.Data)
	if asked := o.Parallel; stateful && asked > 1 {
		p.limits = append(p.limits, fmt.Sprintf("%d parallel runs: the model keeps values from one run to the next; 1 is used", asked))
		o.Parallel = 1
	}
	s.source = source{env: r.env, model: m, options: o}
	s.source.model.FD = -1 // it may be closed by the time that it is read again
	metadata, failure := s.make(ctx, r.env, messages, m, o, &p)
	if ctx.Err() != nil {
		return nil, ended(ctx, op)
	}
	if failure != nil {
		return nil, failure
	}
	if failure := s.describe(m.Data); failure != nil {
		return nil, failure
	}
	used := s.source.target.device
	s.info = inference.SessionInfo{
		Runtime: Name, RuntimeVersion: r.api.version, Device: s.device(used),
		ProvidersRequested: p.requested, Providers: []string{used}, Fallbacks: p.fallbacks(used),
		Threads: max(o.Threads, 1), Parallel: max(o.Parallel, 1),
		Metadata: metadata, ModelBytes: size(m), Profile: o.Profile, Stateful: stateful,
	}
	return s, nil
}

// size returns the bytes of a model's files.
func size(m inference.Model) int64 {
	n := int64(len(m.Data))
	if m.Weights != nil {
		n += int64(len(m.Weights.Data))
	}
	return n
}

// make reads the model and compiles it for the first target that takes it. The
// library cannot be told to stop; between two steps, make looks at ctx.
func (s *session) make(ctx context.Context, env *environment, messages *journal, m inference.Model, o inference.Options, p *placement) (metadata map[string]string, failure *fault.Error) {
	const op = "openvino.load"
	runtime.LockOSThread() // the library logs on the thread that loads
	defer runtime.UnlockOSThread()
	defer env.onThread(messages)()

	model, failure := s.read(env.core, m)
	if failure != nil {
		return nil, failure
	}
	defer s.api.release(modelFree, model)
	for i, t := range p.targets {
		if ctx.Err() != nil {
			break
		}
		handle, err := s.compile(ctx, env, model, m, o, t)
		if err == nil {
			s.compiled, s.times, s.source.target = &compiled{handle: handle}, 1, t
			s.fluid = s.api.fluid(model)
			s.declared = [2][]string{s.api.declared(model, inputSide), s.api.declared(model, outputSide)}
			return s.api.metadata(model), nil
		}
		failure = refusal(err, op)
		if t.device == cpuDevice {
			return nil, failure
		}
		failure.Err = fmt.Errorf("%s: %w", t.what, failure.Err)
		if failure.Kind == fault.Corrupt { // the device does not take it, which says nothing of the file
			failure.Kind = fault.Unsupported
		}
		if i+1 == len(p.targets) || p.strict {
			return nil, failure.WithHint("%s", t.hint)
		}
		p.reasons = append(p.reasons, failure.Err.Error())
	}
	return nil, failure
}

// refusal returns the error of a compilation with its kind.
func refusal(err error, op string) *fault.Error {
	if status, ok := errors.AsType[*statusError](err); ok {
		return status.loadFault(op)
	}
	return &fault.Error{Kind: fault.Invalid, Op: op, Err: err}
}

// fluid reports whether a model has shapes that follow from what a request brings.
func (a *api) fluid(model uintptr) bool {
	return native.Call(a.functions[modelIsDynamic], model)&0xff != 0 // a bool of C
}

// metadata returns what the library tells of a model: the name of its graph.
func (a *api) metadata(model uintptr) map[string]string {
	if a.functions[modelGetFriendlyName] == 0 {
		return nil
	}
	var name uintptr
	if a.call(modelGetFriendlyName, model, uintptr(unsafe.Pointer(&name))) != nil {
		return nil
	}
	graph := a.take(name)
	if graph == "" {
		return nil
	}
	return map[string]string{"graph": graph}
}

// device returns the kind of device that a compiled model runs on: "cpu". A virtual
// device tells which it uses, in the order of preference.
func (s *session) device(used string) string {
	if slices.Contains(virtualDevices, base(used)) {
		if devices := s.property("EXECUTION_DEVICES"); devices != "" { // "GPU CPU", "(CPU)" for the time being
			used, _, _ = strings.Cut(strings.Trim(devices, "()"), " ")
		}
	}
	return strings.ToLower(base(used))
}

// property returns a property of the compiled model, or "".
func (s *session) property(key string) string {
	var held cStrings
	defer held.free()
	var value uintptr
	if s.api.call(compiledModelGetProperty, s.compiled.handle, held.add(key), uintptr(unsafe.Pointer(&value))) != nil {
		return ""
	}
	return s.api.take(value)
}

// describe reads the signature. The inputs and outputs of TensorFlow Lite are called
// as that calls them: the library has the names of tensors inside the graph.
func (s *session) describe(file []byte) *fault.Error {
	var inputs, outputs []tflitefile.Name
	if formatOf(file) == formatTFLite {
		inputs, outputs = tflitefile.Names(file)
	}
	var err error
	if s.signature.Inputs, err = s.api.specs(s.compiled.handle, inputSide, s.declared[0], inputs); err == nil {
		s.signature.Outputs, err = s.api.specs(s.compiled.handle, outputSide, s.declared[1], outputs)
	}
	if err != nil {
		return &fault.Error{Kind: fault.KindOf(err), Op: "openvino.load", Err: err}
	}
	for _, spec := range s.signature.Inputs {
		if spec.Shape == nil {
			return fault.New(fault.Unsupported, "openvino.load", "input %q has no declared number of dimensions", spec.Name).
				WithHint("Declare its shape in the model; dimensions may be dynamic.")
		}
	}
	s.wide = slices.ContainsFunc(s.signature.Inputs, func(spec inference.Spec) bool { return narrowed(spec.DType) })
	open := func(spec inference.Spec) bool {
		_, err := tensor.ByteSize(spec.DType, spec.Shape) // one that overflows is none that is fixed
		return spec.Shape == nil || !spec.Fixed() || err != nil
	}
	s.resolved = !slices.ContainsFunc(s.signature.Outputs, open)
	s.fluid = s.fluid || !s.resolved || slices.ContainsFunc(s.signature.Inputs, open)
	return nil
}

// Signature implements inference.Session.
func (s *session) Signature() inference.Signature { return s.signature }

// Info implements inference.Session.
func (s *session) Info() inference.SessionInfo {
	info := s.info
	info.ProvidersRequested = slices.Clone(info.ProvidersRequested)
	info.Providers = slices.Clone(info.Providers)
	info.Fallbacks = slices.Clone(info.Fallbacks)
	info.Metadata = maps.Clone(info.Metadata)
	return info
}

// begin holds the native objects of the session in place until s.use.RUnlock. It
// fails with fault.Unavailable after Close.
func (s *session) begin(op string) error {
	if !s.closed.Load() {
		s.use.RLock()
		if !s.closed.Load() {
			return nil
		}
		s.use.RUnlock()
	}
	return fault.New(fault.Unavailable, op, "the session is closed").On(s.subject)
}

// NewSlot implements inference.Session.
func (s *session) NewSlot(arena inference.Arena) (inference.Slot, error) {
	const op = "openvino.slot"
	if err := s.begin(op); err != nil {
		return nil, err
	}
	defer s.use.RUnlock()
	n := newSlot(s, arena)
	if err := n.renew(op); err != nil {
		n.free()
		return nil, err
	}
	s.mu.Lock()
	s.slots[n] = struct{}{}
	s.mu.Unlock()
	return n, nil
}

// drop forgets a slot that frees itself; false when Close has freed it.
func (s *session) drop(n *slot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.slots[n]
	delete(s.slots, n)
	return ok
}

// Close implements inference.Session.
func (s *session) Close() error {
	s.closed.Store(true)
	s.use.Lock()
	defer s.use.Unlock()
	if s.freed {
		return nil
	}
	s.freed = true
	for n := range s.slots { // nobody else has them: use is held
		n.free()
	}
	clear(s.slots)
	s.free()
	if s.profile == nil {
		return nil
	}
	if err := s.profile.write(); err != nil {
		return fault.New(fault.Internal, "openvino.close", "%w", err).On(s.subject)
	}
	return nil
}

// free frees the compiled model, which no slot uses, and all that belongs to it.
func (s *session) free() {
	if s.compiled != nil {
		s.api.release(compiledModelFree, s.compiled.handle)
		s.compiled = nil
	}
	s.pins.Unpin()
	native.TrimHeap() // the weights are back with the system, not only with malloc
}

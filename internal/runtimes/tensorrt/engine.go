package tensorrt

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
	"verge/internal/tensor"
)

// engine is an ICudaEngine: a model on the device. It is read by many threads.
type engine struct {
	object
	name            string
	signature       inference.Signature
	inputs, outputs []port // as the signature has them
	profiles        int    // optimisation profiles, at least 1
	layers          int
	contextBytes    int64 // device memory of each execution context
	shapesFromHost  bool  // an input lies in host memory: values there decide about shapes
}

// port is an input or output of an engine.
type port struct {
	name   uintptr // a C string of the engine
	host   bool    // the library takes or leaves its values in host memory
	ranges []span  // of an input: what each profile takes
}

// span is the shapes that a profile takes of an input, from the least to the most in
// every dimension. It was made to be fast for the best.
type span struct{ least, best, most []int64 }

// Bounds of what an engine may say of itself. One over them is taken for a sign that
// the functions of the library are others.
const (
	maxProfiles = 1 << 10
	maxLayers   = 1 << 24
	maxName     = 4096 // bytes with the zero byte, as the headers say
)

// newEngine makes an engine of what deserializeEngine has returned. What it returns
// has to be freed even where it fails, unless its public address is 0.
func (l *library) newEngine(address uintptr) (e *engine, failure *fault.Error) {
	e = &engine{}
	if e.object, failure = l.adopt(engineClass, address); failure != nil {
		return e, failure
	}
	maps := readMappings()
	text := func(address uintptr) (string, bool) {
		if address == 0 || maps != nil && !allows(maps, address, 1, "r") {
			return "", false
		}
		s := native.String(address, maxName)
		return s, len(s) < maxName && utf8.ValidString(s)
	}
	var ok bool
	if e.name, ok = text(l.probe(e.object, getName)); !ok {
		return l.strange(e, "its name is no text")
	}
	e.profiles, e.layers = l.int(e.object, getNbProfiles), l.int(e.object, getNbLayers)
	count := l.int(e.object, getNbTensors)
	e.contextBytes = int64(l.call(e.object, getDeviceMemorySizeV2)) //nolint:gosec // the function returns an int64_t
	if e.profiles < 0 || e.profiles > maxProfiles || e.layers < 0 || e.layers > maxLayers || count < 1 || count > 2*inference.MaxTensors || e.contextBytes < 0 {
		return l.strange(e, "it has %d profiles, %d layers, %d tensors and takes %d bytes", e.profiles, e.layers, count, e.contextBytes)
	}
	e.profiles = max(e.profiles, 1)
	for i := range count {
		name := l.call(e.object, getTensorName, uintptr(i))
		said, ok := text(name)
		if !ok {
			return l.strange(e, "the name of its tensor %d is no text", i)
		}
		if failure = l.describe(e, name, said); failure != nil {
			return e, failure
		}
	}
	if len(e.inputs) > inference.MaxTensors || len(e.outputs) > inference.MaxTensors {
		return e, fault.New(fault.Unsupported, "tensorrt.load", "the engine has %d inputs and %d outputs, at most %d of each are allowed", len(e.inputs), len(e.outputs), inference.MaxTensors)
	}
	return e, nil
}

// strange refuses an engine that is not one. It is not freed: its destructor may be
// something else.
func (l *library) strange(e *engine, format string, args ...any) (*engine, *fault.Error) {
	e.public = 0
	return e, l.unlike(engineClass, format, args...)
}

// describe adds a tensor to the signature.
func (l *library) describe(e *engine, name uintptr, said string) *fault.Error {
	const input, output = 1, 2  // of TensorIOMode
	const host, linear = 1, 0   // of TensorLocation, and of TensorFormat
	var specs *[]inference.Spec // of the side
	var ports *[]port
	var what string
	switch mode := l.int(e.object, getIOMode, name); mode {
	case input:
		specs, ports, what = &e.signature.Inputs, &e.inputs, "input"
	case output:
		specs, ports, what = &e.signature.Outputs, &e.outputs, "output"
	default:
		_, err := l.strange(e, "its tensor %s has the mode %d", fault.Quote(said), mode)
		return err
	}
	p := port{name: name, host: l.int(e.object, getLocation, name) == host}
	spec := inference.Spec{Name: inference.UniqueName(*specs, said, what)}
	refuse := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Unsupported, "tensorrt.load", "%s %q "+format, append([]any{what, spec.Name}, args...)...).
			WithHint("Build the engine with inputs and outputs of plain numbers, in linear format.")
	}
	var err error
	if spec.DType, err = dtypeOf(l.int(e.object, getDataType, name)); err != nil {
		return refuse("has %w", err)
	}
	d := l.dims(e.object, getEngineShape, name, 0, 0)
	var known bool
	if spec.Shape, known = d.shape(); !known {
		return refuse("has %d dimensions, want 0 to %d", d.rank, maxRank)
	}
	for i, n := range spec.Shape {
		spec.Shape[i] = max(n, -1)
	}
	if format := l.int(e.object, getFormat, name); format != linear {
		return refuse("has format %d, want %d (linear)", format, linear)
	}
	if what == "input" {
		if p.ranges, known = l.ranges(e, name, len(spec.Shape)); !known && !spec.Fixed() {
			return refuse("has no shapes in a profile")
		}
		e.shapesFromHost = e.shapesFromHost || p.host
	}
	*specs, *ports = append(*specs, spec), append(*ports, p)
	return nil
}

// ranges reads what each profile takes of an input.
func (l *library) ranges(e *engine, name uintptr, rank int) ([]span, bool) {
	all := make([]span, e.profiles)
	for i := range all {
		for selector, to := range []*[]int64{&all[i].least, &all[i].best, &all[i].most} { // of OptProfileSelector
			d := l.dims(e.object, getProfileShape, name, uintptr(i), uintptr(selector))
			shape, ok := d.shape()
			if !ok || len(shape) != rank {
				return nil, false
			}
			*to = shape
		}
	}
	return all, true
}

// takes reports whether the span has a shape of as many dimensions.
func (s span) takes(shape []int64) bool {
	for i, n := range shape {
		if n < s.least[i] || n > s.most[i] {
			return false
		}
	}
	return true
}

// profileFor returns the first profile that takes the shapes of a request, or why
// none does. It prefers the one that is in use.
func (e *engine) profileFor(in []inference.Input, now int) (int, error) {
	for i := -1; i < e.profiles; i++ {
		candidate := i
		if i < 0 {
			candidate = now
		}
		fits := true
		for k, p := range e.inputs {
			fits = fits && (p.ranges == nil || p.ranges[candidate].takes(in[k].Shape))
		}
		if fits {
			return candidate, nil
		}
	}
	for k, p := range e.inputs {
		if p.ranges != nil && !slices.ContainsFunc(p.ranges, func(s span) bool { return s.takes(in[k].Shape) }) {
			return 0, fmt.Errorf("input %q has shape %s, the engine takes %s", e.signature.Inputs[k].Name, inference.FormatShape(in[k].Shape), p.shapes())
		}
	}
	return 0, fmt.Errorf("none of the engine's %d profiles takes the shapes of all inputs together", e.profiles)
}

// shapes names what the profiles take: "[1,2] to [8,2]".
func (p port) shapes() string {
	const most = 4
	text := ""
	for i, s := range p.ranges {
		if i > 0 {
			text += " or "
		}
		if i == most {
			return text + fmt.Sprintf("what %d more profiles do", len(p.ranges)-most)
		}
		text += inference.FormatShape(s.least) + " to " + inference.FormatShape(s.most)
	}
	return text
}

// elements maps DataType to element types. What is Invalid here is a type that no
// request can carry.
var elements = [...]tensor.DType{ //nolint:gochecknoglobals // a constant table
	0: tensor.FP32, 1: tensor.FP16, 2: tensor.Int8, 3: tensor.Int32, 4: tensor.Bool, 5: tensor.Uint8, 7: tensor.BF16, 8: tensor.Int64,
}

// elementNames are the names of the other types of the headers.
var elementNames = map[int]string{6: "FP8", 9: "INT4", 10: "FP4", 11: "E8M0"} //nolint:gochecknoglobals // a constant table

// dtypeOf returns the element type with the library's number.
func dtypeOf(number int) (tensor.DType, error) {
	if number >= 0 && number < len(elements) && elements[number] != tensor.Invalid {
		return elements[number], nil
	}
	name, ok := elementNames[number]
	if !ok {
		name = fmt.Sprintf("number %d", number)
	}
	return tensor.Invalid, fmt.Errorf("element type %s, which no request can carry", name)
}

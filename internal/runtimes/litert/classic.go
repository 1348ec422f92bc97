package litert

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/tflitefile"
	"verge/internal/native"
)

// openClassic opens the classic library, which may use a libedgetpu at one of the paths.
func openClassic(library *native.Library, edgeTPU []string) (inference.Runtime, error) {
	c, err := bindClassic(library, edgeTPU)
	if err != nil {
		return nil, err
	}
	providers := c.offer().names()
	if slices.ContainsFunc(edgeTPU, exists) {
		providers = append(providers, providerEdgeTPU)
	}
	return &liteRuntime{library: c, info: inference.RuntimeInfo{
		Name: ClassicName, Version: c.version, Library: c.path, Providers: providers,
	}}, nil
}

func (c *classic) name() (text string, empty bool) { return "TensorFlow Lite", true }

// offer implements library. Delegates count where their library opens.
func (c *classic) offer() offer {
	of := offer{library: "TensorFlow Lite " + c.version, other: func(p inference.Provider, device string) (place, string) {
		switch {
		case p.Name == providerEdgeTPU:
			return findEdgeTPU(c.edgeTPU, p.Options)
		case filepath.IsAbs(p.Name):
			return externalDelegate(p, device)
		}
		return place{}, ""
	}}
	if c.has(xnnpackCreate, xnnpackDelete) {
		of.places = append(of.places, place{name: providerXNNPACK, device: "cpu", fragile: true, make: c.xnnpack})
	}
	of.places = append(of.places, place{name: providerBuiltin, device: "cpu"})
	return of
}

// classicModel is a TfLiteModel: a file that the library has read.
type classicModel struct {
	library   *classic
	data      []byte // the file, which the library reads as long as the model is there
	outline   *outline
	handle    uintptr
	signature inference.Signature
}

// read implements library.
func (c *classic) read(data []byte) (model, *fault.Error) {
	m := &classicModel{library: c, data: data, outline: readOutline(data)}
	m.handle = c.call(modelCreate, uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data))) // not negative
	if m.handle == 0 {
		f := &failure{status: statusBadFile}
		return nil, f.fault(f.loadKind(), "litert.load")
	}
	if err := m.readSignature(); err != nil {
		m.close() //nolint:errcheck,gosec // it never fails
		return nil, err
	}
	return m, nil
}

// prepare implements model. This library keeps nothing.
func (m *classicModel) prepare(context.Context, place, inference.Model, inference.Options) {}

// readSignature asks an interpreter, since the model itself does not tell.
func (m *classicModel) readSignature() *fault.Error {
	i, f := m.interpret(nil, 1)
	if f != nil {
		return f.fault(f.loadKind(), "litert.load")
	}
	defer i.close()
	var err *fault.Error
	in, out := tflitefile.Names(m.data) // which the interface does not tell, and LiteRT serves under
	if m.signature.Inputs, err = m.specs(i.handle, classicSide{"input", getInputTensorCount, getInputTensor, in}); err != nil {
		return err
	}
	if m.signature.Outputs, err = m.specs(i.handle, classicSide{"output", getOutputTensorCount, getOutputTensor, out}); err != nil {
		return err
	}
	m.outline.declare(0, m.signature)
	return nil
}

// classicSide is one side of a signature.
type classicSide struct {
	what       string // for messages
	count, get classicFunction
	names      []tflitefile.Name // as a signature of the file has them; nil for none
}

// specs reads one side of the signature.
func (m *classicModel) specs(interpreter uintptr, side classicSide) ([]inference.Spec, *fault.Error) {
	const op = "litert.load"
	n := m.library.number(side.count, interpreter)
	if n > inference.MaxTensors {
		return nil, fault.New(fault.Unsupported, op, "the model has %d %ss, at most %d are allowed", n, side.what, inference.MaxTensors)
	}
	var specs []inference.Spec
	for i := range n {
		spec, name, err := m.library.spec(m.library.call(side.get, interpreter, uintptr(i))) // not negative
		if i < len(side.names) {
			name = side.names[i].Signature
		}
		spec.Name = inference.UniqueName(specs, name, side.what)
		if err != nil {
			return nil, fault.New(fault.Unsupported, op, "%s %q %w", side.what, spec.Name, err).
				WithHint("Export the model with inputs and outputs of numbers or strings.")
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// describe implements model.
func (m *classicModel) describe() description {
	return description{signature: m.signature, stateful: m.outline.stateful}
}

// reason implements model: what compile says is all there is.
func (m *classicModel) reason(_ place, _ int, f *failure) *failure { return f }

// close implements model.
func (m *classicModel) close() error {
	if m.handle != 0 {
		m.library.call(modelDelete, m.handle)
	}
	m.handle, m.data, m.outline = 0, nil, nil
	return nil
}

// exists reports whether there is a file.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

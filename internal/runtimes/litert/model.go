package litert

import (
	"fmt"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// served is the index of the signature that is served. A file that names none has
// one that the library makes up from its main graph, with the names of its tensors.
const served = 0

// liteModel is a LiteRtModel: a file that the library has read, not yet compiled.
type liteModel struct {
	api       *api
	env       *environment
	data      []byte // the file, which the library reads as long as the model is there
	outline   *outline
	handle    uintptr
	signature inference.Signature
	metadata  map[string]string
	packed    string   // file with the weights as XNNPACK reads them; "" for none
	profile   *profile // nil for none
}

// newModel reads a file, whose bytes have to stay while the model does.
func (a *api) newModel(env *environment, data []byte) (*liteModel, *fault.Error) {
	const op = "litert.load"
	m := &liteModel{api: a, env: env, data: data, outline: readOutline(data)}
	var f *failure
	if m.handle, f = a.parse(env.handle, data); f != nil {
		f = a.whyNotParsed(data, f)
		err := f.fault(f.loadKind(), op)
		if m.outline.variable && f.status == statusUnsupported {
			err = err.WithHint("%s", hintVariables)
		}
		return nil, err
	}
	if err := m.read(); err != nil {
		m.close() //nolint:errcheck,gosec // nothing was measured
		return nil, err
	}
	m.metadata = a.metadata(m.handle)
	return m, nil
}

// parse has the library read a file.
func (a *api) parse(env uintptr, data []byte) (model uintptr, f *failure) {
	s := a.call(createModelFromBuffer, env, uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)), uintptr(unsafe.Pointer(&model)))
	return model, fail(s)
}

// describe implements model.
func (m *liteModel) describe() description {
	return description{signature: m.signature, metadata: m.metadata, stateful: m.outline.stateful, measured: m.api.measures()}
}

// close implements model.
func (m *liteModel) close() error {
	m.api.destroy(destroyModel, m.handle)
	m.handle, m.data, m.outline = 0, nil, nil
	return m.profile.write()
}

// side is one side of a signature: its inputs or its outputs.
type side struct {
	what                string // for messages
	count, name, tensor function
}

var (
	inputSide  = side{"input", getNumSignatureInputs, getSignatureInputName, getSignatureInputTensor}     //nolint:gochecknoglobals // a constant
	outputSide = side{"output", getNumSignatureOutputs, getSignatureOutputName, getSignatureOutputTensor} //nolint:gochecknoglobals // a constant
)

// read reads the signature.
func (m *liteModel) read() *fault.Error {
	const op = "litert.load"
	a := m.api
	count, s := a.get(getNumSignatures, m.handle)
	if s != statusOK || count == 0 {
		return fault.New(fault.Corrupt, op, "the file has no graph that could be served")
	}
	signature, s := a.getAt(getSignature, m.handle, served)
	if s != statusOK {
		return fail(s).fault(fault.Internal, op)
	}
	var err *fault.Error
	if m.signature.Inputs, err = m.specs(signature, inputSide); err != nil {
		return err
	}
	if m.signature.Outputs, err = m.specs(signature, outputSide); err != nil {
		return err
	}
	m.outline.declare(m.outline.signed(), m.signature)
	return nil
}

// specs reads the inputs or outputs of a signature.
func (m *liteModel) specs(signature uintptr, sd side) ([]inference.Spec, *fault.Error) {
	const op = "litert.load"
	a := m.api
	count, s := a.get(sd.count, signature)
	if s != statusOK {
		return nil, fail(s).fault(fault.Internal, op)
	}
	if count > inference.MaxTensors {
		return nil, fault.New(fault.Unsupported, op, "the model has %d %ss, at most %d are allowed", count, sd.what, inference.MaxTensors)
	}
	specs := make([]inference.Spec, 0, count)
	for i := range count {
		name, s := a.getAt(sd.name, signature, i)
		if s != statusOK {
			return nil, fail(s).fault(fault.Internal, op)
		}
		handle, s := a.getAt(sd.tensor, signature, i)
		if s != statusOK {
			return nil, fail(s).fault(fault.Internal, op)
		}
		spec, err := a.spec(handle)
		spec.Name = inference.UniqueName(specs, native.String(name, maxText), sd.what)
		if err != nil {
			return nil, fault.New(fault.Unsupported, op, "%s %q %w", sd.what, spec.Name, err).WithHint("%s", m.outline.endHint(err))
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// spec reads one tensor. The error continues "input x …".
func (a *api) spec(handle uintptr) (spec inference.Spec, err error) {
	const ranked = 0 // of LiteRtTensorTypeId
	kind, s := a.get(getTensorType, handle)
	if s != statusOK {
		return spec, fail(s)
	}
	if int32(kind) != ranked { //nolint:gosec // the library wrote an int
		return spec, fmt.Errorf("has no declared number of dimensions")
	}
	var t rankedType
	if s := a.call(getRankedType, handle, uintptr(unsafe.Pointer(&t))); s != statusOK {
		return spec, fail(s)
	}
	if spec.DType, err = dtypeOf(liteName, t.element); err != nil {
		return spec, fmt.Errorf("has %w", err)
	}
	spec.Shape = t.layout.appendShape(make([]int64, 0, maxRank))
	for i, n := range spec.Shape {
		spec.Shape[i] = max(n, -1)
	}
	spec.Quantization = a.quantization(handle)
	return spec, nil
}

// quantization reads what the integers of a tensor stand for; nil where the library
// does not say.
func (a *api) quantization(handle uintptr) *inference.Quantization {
	const wholeTensor, channels = 1, 2 // of LiteRtQuantizationTypeId
	kind, s := a.get(getQuantizationType, handle)
	if s != statusOK {
		return nil
	}
	switch int32(kind) { //nolint:gosec // the library wrote an int
	case wholeTensor:
		var q perTensor
		if a.call(getPerTensorQuantization, handle, uintptr(unsafe.Pointer(&q))) == statusOK && q.scale != 0 {
			return &inference.Quantization{Scales: []float32{q.scale}, ZeroPoints: []int64{q.zeroPoint}}
		}
	case channels:
		var q perChannel
		const most = 1 << 20
		if a.call(getPerChannelQuantization, handle, uintptr(unsafe.Pointer(&q))) == statusOK && q.count > 0 && q.count <= most && q.scales != 0 && q.zeroPoints != 0 {
			n := int(q.count)
			return &inference.Quantization{
				Scales:     slices.Clone(native.Array[float32](q.scales, n)),
				ZeroPoints: slices.Clone(native.Array[int64](q.zeroPoints, n)),
				Axis:       int(q.axis),
			}
		}
	}
	return nil
}

// metadata reads what the model says about itself.
func (a *api) metadata(handle uintptr) map[string]string {
	const key, most = "min_runtime_version", 64
	name, err := native.CString(key)
	if err != nil {
		return nil
	}
	var data, size uintptr
	s := a.call(getModelMetadata, handle, uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&data)), uintptr(unsafe.Pointer(&size)))
	if s != statusOK || size == 0 || size > most {
		return nil
	}
	if text := native.String(data, int(size)); text != "" {
		return map[string]string{key: text}
	}
	return nil
}

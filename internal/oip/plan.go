package oip

import (
	"encoding/binary"
	"slices"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Plan is a request that fits a model: what its memory must hold, where its data
// come from, and what is to be answered.
type Plan struct {
	Inputs  []inference.Input // in signature order, for Call.Inputs
	Parts   []Part            // one for each input, in the order of the wire
	Outputs []RequestOutput   // what is answered, in this order

	BinaryBytes int // that follow the JSON part

	id    string
	hasID bool
	index []int // of each of Outputs in the signature
}

// Part is where the data of one input comes from.
type Part struct {
	Index int    // of the input in the signature, and of its view
	Name  string // of the input
	Size  int    // bytes that follow on the wire; 0 for JSON

	data  []byte // JSON, or nil
	raw   bool
	dtype tensor.DType
	shape []int64
}

// Match holds a request against a model. maxBatch is the largest batch that it
// takes, where it has one (see Batched); 0 means any. The plan keeps parts of the
// request.
func (r *Request) Match(g inference.Signature, maxBatch int) (*Plan, error) {
	p := &Plan{Inputs: make([]inference.Input, len(g.Inputs)), Parts: make([]Part, 0, len(r.Inputs)), id: r.ID, hasID: r.HasID}
	seen := make([]bool, len(g.Inputs))
	for i := range r.Inputs {
		in := &r.Inputs[i]
		at := inference.Index(g.Inputs, in.Name)
		switch {
		case at < 0:
			return nil, mismatch("input %s is not one of the model's, which has %s", fault.Quote(in.Name), names(g.Inputs))
		case seen[at]:
			return nil, mismatch("input %q is given twice", in.Name)
		}
		seen[at] = true
		size, err := in.check(g.Inputs[at], r.raw)
		if err != nil {
			return nil, err
		}
		p.Inputs[at] = inference.Input{Shape: in.Shape, Bytes: size}
		p.Parts = append(p.Parts, Part{Index: at, Name: in.Name, Size: in.Size, data: in.Data, raw: r.raw, dtype: in.DType, shape: in.Shape})
		p.BinaryBytes += in.Size // each is within the limit, and there are few
	}
	if missing := slices.Index(seen, false); missing >= 0 {
		return nil, mismatch("input %q is missing, the model needs %s", g.Inputs[missing].Name, names(g.Inputs))
	}
	if err := p.checkTogether(g, maxBatch); err != nil {
		return nil, err
	}
	if err := p.checkSize(r.limits.TensorBytes); err != nil {
		return nil, err
	}
	return p, p.chooseOutputs(r, g.Outputs)
}

// check holds one input against its spec, and returns the bytes that it takes.
func (in *RequestInput) check(spec inference.Spec, raw bool) (size int, err error) {
	if in.DType != spec.DType {
		return 0, mismatch("input %q has datatype %s, want %s", spec.Name, in.DType, spec.DType)
	}
	if err = spec.CheckShape(in.Shape); err != nil {
		return 0, mismatch("input %q %w", spec.Name, err)
	}
	if !in.Binary {
		if in.DType == tensor.FP16 || in.DType == tensor.BF16 {
			return 0, mismatch("receiving %s data via JSON is not supported. Please use the binary data format for input %q", in.DType, spec.Name)
		}
		if size, err = tensor.JSONSize(in.DType, in.Shape, in.Data); err != nil {
			return 0, mismatch("input %q: %w", spec.Name, err)
		}
		return size, nil
	}
	if in.DType == tensor.Bytes {
		n, _ := tensor.Elements(in.Shape) // CheckShape has counted them
		switch {
		case raw:
			return in.Size + stringHeader, nil
		case in.Size/stringHeader < n:
			return 0, mismatch("input %q has %d bytes, too few for %d strings", spec.Name, in.Size, n)
		}
		return in.Size, nil
	}
	want, err := tensor.ByteSize(in.DType, in.Shape)
	if err != nil {
		return 0, mismatch("input %q: %w", spec.Name, err)
	}
	if in.Size != want {
		return 0, mismatch("input %q has %d bytes, want %d for %s%s", spec.Name, in.Size, want, in.DType, inference.FormatShape(in.Shape))
	}
	return in.Size, nil
}

// stringHeader is the length before each string of the binary form.
const stringHeader = 4

// checkTogether holds the dimensions of different inputs against each other: those
// with the same symbol, and the batch.
func (p *Plan) checkTogether(g inference.Signature, maxBatch int) error {
	type dimension struct{ input, value int64 }
	known := map[string]dimension{}
	for i, spec := range g.Inputs {
		for k, symbol := range spec.Symbols {
			if symbol == "" || k >= len(spec.Shape) || spec.Shape[k] >= 0 {
				continue
			}
			first, ok := known[symbol]
			if !ok {
				known[symbol] = dimension{int64(i), p.Inputs[i].Shape[k]}
			} else if first.value != p.Inputs[i].Shape[k] {
				return mismatch("input %q has %d for the dimension %s, input %q has %d", spec.Name, p.Inputs[i].Shape[k], fault.Quote(symbol),
					g.Inputs[first.input].Name, first.value)
			}
		}
	}
	if !Batched(g) || maxBatch <= 0 {
		return nil
	}
	batch := p.Inputs[0].Shape[0]
	for i, in := range p.Inputs {
		if in.Shape[0] != batch {
			return mismatch("input %q has a batch of %d, input %q has one of %d", g.Inputs[i].Name, in.Shape[0], g.Inputs[0].Name, batch)
		}
	}
	if batch > int64(maxBatch) {
		return mismatch("the batch of %d is over the %d that the model was deployed for", batch, maxBatch).
			WithHint("Split the request, or deploy the model with a larger deployment.batch_size.")
	}
	return nil
}

func (p *Plan) checkSize(limit int) error {
	sizes := make([]int, len(p.Inputs))
	for i, in := range p.Inputs {
		sizes[i] = in.Bytes
	}
	_, total, err := inference.Layout(sizes)
	if err != nil {
		return fault.New(fault.TooLarge, opMatch, "%w, the limit is %d bytes", err, limit)
	}
	if total > limit {
		return fault.New(fault.TooLarge, opMatch, "the inputs take %d bytes, the limit is %d", total, limit)
	}
	return nil
}

// chooseOutputs lists what is to be answered.
func (p *Plan) chooseOutputs(r *Request, specs []inference.Spec) error {
	if len(r.Outputs) == 0 {
		for i, spec := range specs {
			p.Outputs = append(p.Outputs, RequestOutput{Name: spec.Name, Binary: r.binaryOutput})
			p.index = append(p.index, i)
		}
		return nil
	}
	for _, out := range r.Outputs {
		at := inference.Index(specs, out.Name)
		switch {
		case at < 0:
			return mismatch("output %s is not one of the model's, which has %s", fault.Quote(out.Name), names(specs))
		case slices.Contains(p.index, at):
			return mismatch("output %q is asked for twice", out.Name)
		case out.Classes > 0 && (specs[at].DType == tensor.Bytes || specs[at].DType == tensor.Bool):
			return mismatch("output %q is %s, which has no classes", out.Name, specs[at].DType)
		}
		if !out.said {
			out.Binary = r.binaryOutput
		}
		p.Outputs = append(p.Outputs, out)
		p.index = append(p.index, at)
	}
	return nil
}

// CheckRest holds the bytes behind the JSON part against what the inputs say.
// framed is whether the request told where its JSON part ends; one that did not has
// no bytes behind it.
func (p *Plan) CheckRest(rest int64, framed bool) error {
	switch {
	case !framed && p.BinaryBytes > 0:
		return mismatch("input %q has binary_data_size, but the request has no header %s", p.firstBinary(), HeaderLength)
	case rest > int64(p.BinaryBytes):
		return Trailing(rest - int64(p.BinaryBytes))
	case rest < int64(p.BinaryBytes):
		return mismatch("unexpected size for input: %d bytes follow the JSON part, the inputs have %d", rest, p.BinaryBytes)
	}
	return nil
}

func (p *Plan) firstBinary() string {
	for i := range p.Parts {
		if p.Parts[i].Binary() {
			return p.Parts[i].Name
		}
	}
	return ""
}

// Trailing is the error of a body with bytes behind its last input; n is how many,
// or 0 where they were not counted.
func Trailing(n int64) error {
	if n > 0 {
		return mismatch("unexpected additional input data for model: %d bytes behind the last input", n)
	}
	return mismatch("unexpected additional input data for model: bytes behind the last input")
}

// Binary reports whether the data follows the JSON part. (An empty tensor may: then
// there is nothing to read.)
func (p *Part) Binary() bool { return p.data == nil }

// Target returns the part of view, the input's memory, that the Size bytes of the wire
// go to: all of it, but for the length before the string of a raw request, which it writes.
func (p *Part) Target(view []byte) []byte {
	if p.raw && p.dtype == tensor.Bytes {
		binary.LittleEndian.PutUint32(view, uint32(p.Size)) //nolint:gosec // within the limit of tensors
		view = view[stringHeader:]
	}
	return view[:p.Size]
}

// Short is the error of a body that ended in this input, after got bytes of it.
func (p *Part) Short(got int) error {
	return mismatch("unexpected size for input %q: the body ended after %d of %d bytes", p.Name, got, p.Size)
}

// Check looks at binary data that lies in view: the lengths of strings, and booleans.
func (p *Part) Check(view []byte) error {
	if p.dtype != tensor.Bytes && p.dtype != tensor.Bool {
		return nil // its size was checked, and any bits are a number
	}
	if err := tensor.CheckData(p.dtype, p.shape, view); err != nil {
		return mismatch("input %q: %w", p.Name, err)
	}
	return nil
}

// Decode reads JSON data into view.
func (p *Part) Decode(view []byte) error {
	if err := tensor.DecodeJSON(view, p.dtype, p.shape, p.data); err != nil {
		return mismatch("input %q: %w", p.Name, err)
	}
	return nil
}

// mismatch is the error of a request that does not fit the model.
func mismatch(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, opMatch, format, args...)
}

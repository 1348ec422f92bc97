package worker

import (
	"encoding/binary"
	"fmt"

	"verge/internal/inference"
	"verge/internal/tensor"
)

// appendInputs adds what the worker cannot know of checked inputs: the sizes of
// strings, and the dimensions that the signature leaves open.
func appendInputs(b []byte, specs []inference.Spec, in []inference.Input) []byte {
	for i := range specs {
		if specs[i].DType == tensor.Bytes {
			b = binary.LittleEndian.AppendUint64(b, uint64(in[i].Bytes)) //nolint:gosec // zero or more: it was checked
		}
		b = appendDims(b, &specs[i], in[i].Shape)
	}
	return b
}

// parseInputs is the inverse of appendInputs. It reuses in and its shapes.
func parseInputs(body []byte, specs []inference.Spec, in []inference.Input) ([]inference.Input, error) {
	w := words{body: body}
	if len(in) != len(specs) {
		in = make([]inference.Input, len(specs))
	}
	for i := range specs {
		in[i].Bytes = 0
		if specs[i].DType == tensor.Bytes {
			in[i].Bytes = int(w.next()) //nolint:gosec // one that does not fit comes out negative, which the check refuses
		}
		in[i].Shape = w.dims(&specs[i], in[i].Shape[:0])
	}
	return in, w.over()
}

// appendOutputs adds where each output lies in the region, its size, and its shape,
// all of it: what a run gives may be another than the model declares.
func appendOutputs(b []byte, specs []inference.Spec, out []tensor.Tensor, offsets []int) []byte {
	for i := range specs {
		b = binary.LittleEndian.AppendUint64(b, uint64(offsets[i])) //nolint:gosec // zero or more
		b = binary.LittleEndian.AppendUint64(b, uint64(len(out[i].Data)))
		b = binary.LittleEndian.AppendUint64(b, uint64(len(out[i].Shape)))
		for _, n := range out[i].Shape {
			b = binary.LittleEndian.AppendUint64(b, uint64(n)) //nolint:gosec // zero or more, or the node refuses it
		}
	}
	return b
}

// parseOutputs is the inverse of appendOutputs, over the region that the outputs
// lie in. It believes nothing: every size fits its shape, every tensor the region. It
// reuses out and its shapes.
func parseOutputs(body []byte, specs []inference.Spec, region []byte, out []tensor.Tensor) ([]tensor.Tensor, error) {
	w := words{body: body}
	if len(out) != len(specs) {
		out = make([]tensor.Tensor, len(specs))
	}
	for i := range specs {
		spec := &specs[i]
		offset, size := w.next(), w.next()
		shape, err := w.shape(out[i].Shape[:0])
		if err != nil {
			return out, fmt.Errorf("output %q %w", spec.Name, err)
		}
		if w.short {
			return out, w.over()
		}
		if err := checkOutput(spec, shape, offset, size, uint64(len(region))); err != nil {
			return out, fmt.Errorf("output %q %w", spec.Name, err)
		}
		if spec.DType == tensor.Bytes {
			n, _ := tensor.Elements(shape)
			if err := tensor.CheckBytes(region[offset:offset+size], n); err != nil {
				return out, fmt.Errorf("output %q has %w", spec.Name, err)
			}
		}
		out[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType, Shape: shape, Data: region[offset : offset+size : offset+size]}
	}
	return out, w.over()
}

// checkOutput says why a tensor of that shape cannot lie there.
func checkOutput(spec *inference.Spec, shape []int64, offset, size, region uint64) error {
	for _, n := range shape {
		if n < 0 {
			return fmt.Errorf("has shape %s", inference.FormatShape(shape))
		}
	}
	if _, err := tensor.Elements(shape); err != nil {
		return err
	}
	if offset > region || size > region-offset || offset%inference.Align != 0 {
		return fmt.Errorf("has %d bytes at %d, outside its region of %d bytes or not aligned", size, offset, region)
	}
	if spec.DType == tensor.Bytes {
		if n, _ := tensor.Elements(shape); size/4 < uint64(n) { //nolint:gosec // zero or more
			return fmt.Errorf("has %d bytes, too few for %d strings", size, n)
		}
		return nil
	}
	want, err := tensor.ByteSize(spec.DType, shape)
	if err == nil && size != uint64(want) { //nolint:gosec // zero or more
		err = fmt.Errorf("has %d bytes, want %d for %s%s", size, want, spec.DType, inference.FormatShape(shape))
	}
	return err
}

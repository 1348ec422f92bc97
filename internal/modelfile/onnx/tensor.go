package onnx

import (
	"fmt"
	"math"

	"verge/internal/fault"
)

// Fields of TensorProto and SparseTensorProto that are read.
const (
	tensorDims     = 1
	tensorDataType = 2
	tensorFloats   = 4
	tensorInt32s   = 5
	tensorStrings  = 6
	tensorInt64s   = 7
	tensorName     = 8
	tensorRaw      = 9
	tensorDoubles  = 10
	tensorUint64s  = 11
	tensorLocation = 14

	sparseValues  = 1
	sparseIndices = 2
	sparseDims    = 3

	locationExternal = 1
)

// extent is the number of elements of a shape that is read dimension by
// dimension, so that no shape takes memory. The zero value is a scalar's.
type extent struct {
	rank     int
	product  int64 // less 1, of the dimensions that are not 0; -1 once it has overflowed
	zero     bool
	negative bool
}

// maxElements is such that the size of the widest element type fits an int64.
const maxElements = math.MaxInt64 / 16

// add notes one more dimension.
func (e *extent) add(dim int64) {
	e.rank++
	switch {
	case dim < 0:
		e.negative = true
	case dim == 0:
		e.zero = true
	case e.product < 0:
	case dim > maxElements/(e.product+1):
		e.product = -1
	default:
		e.product = (e.product+1)*dim - 1
	}
}

// elements returns the product, and why there is none.
func (e *extent) elements() (int64, error) {
	switch {
	case e.negative:
		return 0, fmt.Errorf("has a negative dimension")
	case e.product < 0:
		return 0, fmt.Errorf("claims more than %d elements", int64(maxElements))
	case e.zero:
		return 0, nil
	}
	return e.product + 1, nil
}

// tensorFacts is what is kept of a TensorProto.
type tensorFacts struct {
	at       int64 // where it begins in the file
	name     field // its name, number 0 where it has none
	dims     extent
	dtype    uint64
	entries  [inStrings + 1]int64 // of each typed payload
	texts    int64                // bytes of the strings
	raw      int64
	hasRaw   bool
	external bool
}

// tensor adds the fields of a TensorProto to t. Payloads are stepped over; only
// packed varints are walked, to count them.
func (p *parser) tensor(s span, t *tensorFacts) error {
	t.at = s.pos
	return p.each(s, func(f field) (err error) {
		switch f.number {
		case tensorDims:
			return p.int64s(f, t.dims.add)
		case tensorFloats:
			return p.count(f, wireFixed32, &t.entries[inFloats])
		case tensorInt32s:
			return p.count(f, wireVarint, &t.entries[inInt32s])
		case tensorInt64s:
			return p.count(f, wireVarint, &t.entries[inInt64s])
		case tensorDoubles:
			return p.count(f, wireFixed64, &t.entries[inDoubles])
		case tensorUint64s:
			return p.count(f, wireVarint, &t.entries[inUint64s])
		}
		switch {
		case f.is(tensorDataType, wireVarint):
			t.dtype = f.value
		case f.is(tensorName, wireLength):
			t.name = f
		case f.is(tensorStrings, wireLength):
			t.entries[inStrings]++
			t.texts += f.body.len()
		case f.is(tensorRaw, wireLength):
			t.raw, t.hasRaw = f.body.len(), true
		case f.is(tensorLocation, wireVarint):
			t.external = f.value == locationExternal
		}
		return nil
	})
}

// int64s calls add for each number of a repeated int64, packed or not.
func (p *parser) int64s(f field, add func(int64)) error {
	switch f.wire {
	case wireVarint:
		add(int64(f.value)) //nolint:gosec // protobuf's own encoding of an int64
	case wireLength:
		for s := f.body; s.len() > 0; {
			v, err := p.varint(&s)
			if err != nil {
				return err
			}
			add(int64(v)) //nolint:gosec // protobuf's own encoding of an int64
		}
	case wireFixed32, wireFixed64: // an unknown field
	}
	return nil
}

// count adds how many numbers of the given encoding f holds, packed or not, to n.
func (p *parser) count(f field, element wireType, n *int64) error {
	if f.wire == element {
		*n++
		return nil
	}
	if f.wire != wireLength {
		return nil // an unknown field
	}
	width := int64(4)
	switch element {
	case wireVarint, wireLength:
		return p.countVarints(f.body, n)
	case wireFixed64:
		width = 8
	case wireFixed32:
	}
	if f.body.len()%width != 0 {
		return corrupt(f.at, "field %d has %d bytes, want a multiple of %d", f.number, f.body.len(), width)
	}
	*n += f.body.len() / width
	return nil
}

// countVarints adds how many varints s holds to n. Each ends with a byte whose
// high bit is clear.
func (p *parser) countVarints(s span, n *int64) error {
	open := 0 // bytes of the number that has begun
	for s.len() > 0 {
		part, err := p.peek(s.pos, int(min(s.len(), windowSize)))
		if err != nil {
			return err
		}
		for i, b := range part {
			if open++; b < 0x80 {
				*n++
				open = 0
			} else if open == 10 {
				return corrupt(s.pos+int64(i), "a number is longer than 64 bits")
			}
		}
		s.pos += int64(len(part))
	}
	if open > 0 {
		return corrupt(s.pos, "a number is cut off")
	}
	return nil
}

// addTensor checks t, which what describes, and adds it to the model's figures.
func (p *parser) addTensor(t *tensorFacts, what string) error {
	elements, bytes, err := p.checkTensor(t, what)
	if err != nil {
		return err
	}
	return p.addParameters(elements, bytes, t.at)
}

// checkTensor returns the elements of t and the bytes that they take, or why
// its payload is not what its shape and its type claim.
func (p *parser) checkTensor(t *tensorFacts, what string) (elements, bytes int64, err error) {
	if err = p.countTensor(); err != nil {
		return 0, 0, err
	}
	info, known := elementOf(t.dtype)
	elements, err = t.dims.elements()
	switch {
	case t.external:
		return 0, 0, unsupported("%s keeps its data in another file", p.describe(t, what)).
			WithHint("Save the model as one file: onnx.save_model(model, path, save_as_external_data=False).")
	case t.dtype == 0:
		return 0, 0, corrupt(t.at, "%s has no element type", p.describe(t, what))
	case !known:
		return 0, 0, unsupported("%s has element type %s, which this version does not know", p.describe(t, what), info.name).
			WithHint("Export the model with an element type of ONNX 1.20 or older.")
	case err != nil:
		return 0, 0, corrupt(t.at, "%s %w", p.describe(t, what), err)
	}
	if t.hasRaw && info.in != inStrings {
		if want := info.rawBytes(elements); t.raw != want {
			return 0, 0, corrupt(t.at, "%s claims %d elements of %s in %d bytes, the file has %d",
				p.describe(t, what), elements, info.name, want, t.raw)
		}
		return elements, t.raw, nil
	}
	if got, want := t.entries[info.in], info.entries(elements); got != want {
		return 0, 0, corrupt(t.at, "%s claims %d elements of %s in %d entries, the file has %d",
			p.describe(t, what), elements, info.name, want, got)
	}
	if info.in == inStrings {
		return elements, t.texts, nil
	}
	return elements, info.rawBytes(elements), nil
}

// describe returns what with the tensor's name, for a message.
func (p *parser) describe(t *tensorFacts, what string) string {
	if t.name.number == 0 || t.name.body.len() == 0 {
		return what + " without a name"
	}
	name, err := p.label(t.name)
	if err != nil {
		return what
	}
	return fmt.Sprintf("%s %q", what, fault.Clip(name))
}

// sparseFacts is what is kept of a SparseTensorProto.
type sparseFacts struct {
	values, indices tensorFacts
	dims            extent
}

// sparse adds the fields of a SparseTensorProto to t.
func (p *parser) sparse(s span, t *sparseFacts) error {
	t.values.at = s.pos
	return p.each(s, func(f field) error {
		switch {
		case f.is(sparseValues, wireLength):
			return p.tensor(f.body, &t.values)
		case f.is(sparseIndices, wireLength):
			return p.tensor(f.body, &t.indices)
		case f.number == sparseDims:
			return p.int64s(f, t.dims.add)
		}
		return nil
	})
}

// addSparse checks t and adds it to the model's figures: its values as
// parameters, and the bytes of the dense tensor that a library makes of it.
func (p *parser) addSparse(t *sparseFacts) error {
	const what = "sparse tensor"
	elements, _, err := p.checkTensor(&t.values, what)
	if err != nil {
		return err
	}
	if t.indices.dtype != 0 {
		if _, _, err = p.checkTensor(&t.indices, "indices of a sparse tensor"); err != nil {
			return err
		}
	}
	dense, err := t.dims.elements()
	if err != nil {
		return corrupt(t.values.at, "%s %w", p.describe(&t.values, what), err)
	}
	if elements > dense {
		return corrupt(t.values.at, "%s has %d values for %d elements", p.describe(&t.values, what), elements, dense)
	}
	info, _ := elementOf(t.values.dtype)
	return p.addParameters(elements, info.rawBytes(dense), t.values.at)
}

// addParameters adds a tensor to the model's figures. Only sparse tensors can
// make them overflow, as the others take room in the file.
func (p *parser) addParameters(elements, bytes, at int64) error {
	if bytes > math.MaxInt64-p.m.ParameterBytes {
		return fault.New(fault.TooLarge, opRead, "at byte %d: the tensors together claim more than %d bytes", at, int64(math.MaxInt64))
	}
	p.m.Parameters += elements
	p.m.ParameterBytes += bytes
	return nil
}

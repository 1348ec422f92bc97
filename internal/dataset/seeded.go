package dataset

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Shapes returns the shape that each input of g gets in a test run. What is
// dynamic is filled in from, in this order: shapes, by the input's name (a full
// shape; -1 leaves a dimension open); batch, for the first dimension (0 means
// 1); and the other inputs' dimensions of the same symbol. It fails with
// fault.Invalid for a dimension that stays open, a shape that does not fit, one
// symbol with two values and a name that no input has, and with fault.TooLarge
// where the inputs together take more than MaxBytes.
func Shapes(g inference.Signature, batch int, shapes map[string][]int64) ([][]int64, error) {
	const op = "dataset.shapes"
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		if inference.Index(g.Inputs, name) < 0 {
			return nil, invalid(op, "model.input_shapes names %q, the model's inputs are %v", fault.Clip(name), g.Inputs).
				WithHint("Correct the name in model.input_shapes, or leave it out.")
		}
	}
	all := make([][]int64, len(g.Inputs))
	for i, spec := range g.Inputs {
		all[i] = slices.Clone(spec.Shape)
		if given, ok := shapes[spec.Name]; ok {
			if err := fits(spec, given); err != nil {
				return nil, invalid(op, "model.input_shapes: input %q %w", spec.Name, err).WithHint("Give one number for each dimension of the input, as the model has it.")
			}
			all[i] = slices.Clone(given)
		}
		if len(all[i]) > 0 && all[i][0] < 0 {
			all[i][0] = int64(max(batch, 1))
		}
	}
	if err := resolveSymbols(g.Inputs, all); err != nil {
		return nil, err
	}
	total := 0
	for i, spec := range g.Inputs {
		if k := slices.Index(all[i], -1); k >= 0 {
			return nil, invalid(op, "dimension %d of input %q (%s) is dynamic, and nothing says how large it is in a test", k, spec.Name, spec).
				WithHint("Give model.input_shapes, for instance {%q: %s}.", spec.Name, strings.ReplaceAll(inference.FormatShape(all[i]), "-1", "16"))
		}
		n, err := byteSize(spec.DType, all[i])
		if err != nil || n > MaxBytes-total {
			return nil, fault.New(fault.TooLarge, op, "input %q with shape %s brings the inputs over %d bytes", spec.Name, inference.FormatShape(all[i]), MaxBytes).
				WithHint("Lower deployment.batch_size, or the dimensions in model.input_shapes.")
		}
		total += n
	}
	return all, nil
}

// fits says why a shape with open dimensions does not fit the spec, or nil.
func fits(spec inference.Spec, shape []int64) error {
	closed := slices.Clone(shape)
	for k := range closed {
		if closed[k] == -1 && k < len(spec.Shape) {
			closed[k] = max(spec.Shape[k], 1)
		}
	}
	return spec.CheckShape(closed)
}

// resolveSymbols fills open dimensions with the value that their symbol has elsewhere.
func resolveSymbols(specs []inference.Spec, shapes [][]int64) error {
	known := map[string]int64{}
	for pass := range 2 {
		for i, spec := range specs {
			for k, symbol := range spec.Symbols {
				if symbol == "" || spec.Shape[k] >= 0 {
					continue
				}
				value, ok := known[symbol]
				switch have := shapes[i][k]; {
				case have < 0 && ok:
					shapes[i][k] = value
				case have >= 0 && !ok:
					known[symbol] = have
				case have >= 0 && have != value && pass == 0:
					return invalid("dataset.shapes", "dimension %q is %d for one input and %d for input %q", fault.Clip(symbol), value, have, spec.Name).
						WithHint("Give the dimension one value in model.input_shapes.")
				}
			}
		}
	}
	return nil
}

// byteSize returns the bytes of a tensor, for strings an upper bound of what
// Seeded makes of them.
func byteSize(d tensor.DType, shape []int64) (int, error) {
	if d != tensor.Bytes {
		return tensor.ByteSize(d, shape)
	}
	n, err := tensor.Elements(shape)
	if err == nil && n > math.MaxInt/(4+seededLetters) {
		err = fmt.Errorf("shape %v of strings overflows", shape)
	}
	return n * (4 + seededLetters), err
}

// seededLetters is the length of the longest string that Seeded makes.
const seededLetters = 8

// Seeded returns an input with numbers that look random and are the same for
// the same seed, input name, type and shape, on every machine: floating-point
// numbers uniform in [0, 1), integers of 8 bits from their whole range, wider
// ones from [0, 10), booleans of both kinds, strings of 1 to 8 small letters.
// The shape is one that Shapes returned; Seeded panics on one without a size.
func Seeded(spec inference.Spec, shape []int64, seed uint64) tensor.Tensor {
	elements, err := tensor.Elements(shape)
	if err != nil {
		panic(fmt.Sprintf("dataset: seeded input %q: %v", spec.Name, err))
	}
	name := fnv.New64a()
	_, _ = name.Write([]byte(spec.Name))                // never fails
	random := rand.New(rand.NewPCG(seed, name.Sum64())) //nolint:gosec // repeatable on purpose
	data := make([]byte, 0, elements*max(spec.DType.Size(), 1))
	for range elements {
		data = appendRandom(data, spec.DType, random)
	}
	return tensor.Tensor{Name: spec.Name, DType: spec.DType, Shape: slices.Clone(shape), Data: data}
}

// appendRandom appends one element.
func appendRandom(data []byte, d tensor.DType, random *rand.Rand) []byte {
	const integers = 10
	le := binary.LittleEndian
	switch d {
	case tensor.Bool:
		return append(data, byte(random.Uint32N(2))) //nolint:gosec // 0 or 1
	case tensor.Uint8, tensor.Int8:
		return append(data, byte(random.Uint32N(256))) //nolint:gosec // below 256
	case tensor.Uint16, tensor.Int16:
		return le.AppendUint16(data, uint16(random.Uint32N(integers))) //nolint:gosec // below 10
	case tensor.Uint32, tensor.Int32:
		return le.AppendUint32(data, random.Uint32N(integers))
	case tensor.Uint64, tensor.Int64:
		return le.AppendUint64(data, random.Uint64N(integers))
	case tensor.FP16: // as many steps as the type can tell apart below 1
		return le.AppendUint16(data, tensor.ToHalf(float32(random.Uint32N(1<<11))/(1<<11)))
	case tensor.BF16:
		return le.AppendUint16(data, tensor.ToBFloat(float32(random.Uint32N(1<<8))/(1<<8)))
	case tensor.FP32:
		return le.AppendUint32(data, math.Float32bits(random.Float32()))
	case tensor.FP64:
		return le.AppendUint64(data, math.Float64bits(random.Float64()))
	case tensor.Bytes:
		var letters [seededLetters]byte
		n := 1 + random.IntN(seededLetters)
		for i := range n {
			letters[i] = 'a' + byte(random.Uint32N(26)) //nolint:gosec // below 26
		}
		return tensor.AppendString(data, letters[:n])
	case tensor.Invalid:
	}
	return data
}

package inference

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"verge/internal/tensor"
)

// MaxTensors is the highest number of inputs, and of outputs, that a model may have.
const MaxTensors = 256

// Signature lists a model's inputs and outputs in the model's order.
type Signature struct {
	Inputs  []Spec `json:"inputs"`
	Outputs []Spec `json:"outputs"`
}

// Spec is one input or output of a model.
type Spec struct {
	Name    string       `json:"name"`
	DType   tensor.DType `json:"dtype"`
	Shape   []int64      `json:"shape"`             // -1 is a dynamic dimension; nil for one of unknown rank
	Symbols []string     `json:"symbols,omitempty"` // names of dynamic dimensions, "" for none; nil or as long as Shape

	Quantization *Quantization `json:"quantization,omitempty"` // nil where the values mean themselves
}

// Quantization says which real numbers the integers of a tensor stand for:
// (integer - zero point) * scale.
type Quantization struct {
	Scales     []float32 `json:"scales"`      // one for the tensor, or one for each index of dimension Axis
	ZeroPoints []int64   `json:"zero_points"` // as many
	Axis       int       `json:"axis"`        // 0 where there is one scale
}

// String returns the spec as people write it, such as "x FP32[-1,28,28]", or "x FP32[…]"
// where its rank is not known.
func (s Spec) String() string {
	shape := "[…]"
	if s.Shape != nil {
		shape = FormatShape(s.Shape)
	}
	return fmt.Sprintf("%s %s%s", s.Name, s.DType, shape)
}

// Fixed reports whether no dimension is dynamic.
func (s Spec) Fixed() bool { return !slices.Contains(s.Shape, -1) }

// FormatShape returns "[1,28,28]".
func FormatShape(shape []int64) string {
	return strings.ReplaceAll(fmt.Sprint(shape), " ", ",")
}

// Index returns the position of the spec with that name in specs, or -1.
func Index(specs []Spec, name string) int {
	return slices.IndexFunc(specs, func(s Spec) bool { return s.Name == name })
}

// UniqueName returns the name by which a tensor that a file calls name is served,
// beside those that are in specs already: names are how requests tell tensors
// apart. One without a name gets side, "input" or "output", and its position; one
// whose name is taken gets a number behind it.
func UniqueName(specs []Spec, name, side string) string {
	if name == "" {
		name = fmt.Sprintf("%s_%d", side, len(specs))
	}
	unique := name
	for i := 1; Index(specs, unique) >= 0; i++ {
		unique = fmt.Sprintf("%s:%d", name, i)
	}
	return unique
}

// Symbols returns the names that a file gives to dimensions, as Spec.Symbols has
// them. Dimensions with the same name have the same value, so what exporters write
// where they know no name is none: a text without a letter, such as "?" or "-1", and
// a word for nothing, such as "None".
func Symbols(names []string) []string {
	symbols, named := make([]string, len(names)), false
	for i, name := range names {
		if isName(name) {
			symbols[i], named = name, true
		}
	}
	if !named {
		return nil
	}
	return symbols
}

func isName(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "none", "null", "nan", "unknown", "undefined":
		return false
	}
	return strings.ContainsFunc(s, unicode.IsLetter)
}

// CheckShape says why shape does not fit the spec, or nil. Every dimension must
// be zero or more and equal to the spec's where that is not dynamic, and the
// elements must be countable.
func (s Spec) CheckShape(shape []int64) error {
	if len(shape) != len(s.Shape) {
		return fmt.Errorf("has shape %s with %d dimensions, want %d as in %s",
			formatForeign(shape), len(shape), len(s.Shape), FormatShape(s.Shape))
	}
	for i, want := range s.Shape {
		if got := shape[i]; got < 0 || want >= 0 && got != want {
			return fmt.Errorf("has shape %s, want %s", formatForeign(shape), FormatShape(s.Shape))
		}
	}
	_, err := tensor.Elements(shape)
	return err
}

// formatForeign is FormatShape for a shape of any length.
func formatForeign(shape []int64) string {
	if len(shape) > tensor.MaxRank {
		return strings.TrimSuffix(FormatShape(shape[:tensor.MaxRank]), "]") + ",…]"
	}
	return FormatShape(shape)
}

// CheckInputs says why in does not fit the signature's inputs, or nil; the
// message names the input. Sizes left 0 are filled in where they follow from
// the shape.
func (g Signature) CheckInputs(in []Input) error {
	if len(in) != len(g.Inputs) {
		return fmt.Errorf("request has %d inputs, want %d", len(in), len(g.Inputs))
	}
	for i := range in {
		spec := &g.Inputs[i]
		if err := spec.CheckShape(in[i].Shape); err != nil {
			return fmt.Errorf("input %q %w", spec.Name, err)
		}
		if spec.DType == tensor.Bytes {
			n, _ := tensor.Elements(in[i].Shape)
			if in[i].Bytes/4 < n { // each element has a length of 4 bytes
				return fmt.Errorf("input %q has %d bytes, too few for %d strings", spec.Name, in[i].Bytes, n)
			}
			continue
		}
		want, err := tensor.ByteSize(spec.DType, in[i].Shape)
		if err != nil {
			return fmt.Errorf("input %q: %w", spec.Name, err)
		}
		if in[i].Bytes != 0 && in[i].Bytes != want {
			return fmt.Errorf("input %q has %d bytes, want %d for %s%s", spec.Name, in[i].Bytes, want, spec.DType, FormatShape(in[i].Shape))
		}
		in[i].Bytes = want
	}
	return nil
}

// Align is the alignment of every tensor in a region, in bytes.
const Align = 64

// Layout returns where tensors of the given sizes begin in one region, each at
// the next multiple of Align, and the region's size. Both sides of a process
// border compute it, so no offset crosses.
func Layout(sizes []int) (offsets []int, total int, err error) {
	offsets = make([]int, len(sizes))
	for i, n := range sizes {
		if n < 0 || n > math.MaxInt-Align-total {
			return nil, 0, errors.New("the tensors together are too large")
		}
		offsets[i] = total
		total += (n + Align - 1) / Align * Align
	}
	return offsets, total, nil
}

// ResolveOutputs returns the shape of every output as far as it follows from
// the input shapes: dynamic dimensions with a name take the value that the same
// name has among the inputs. A dimension that stays unknown is -1.
func (g Signature) ResolveOutputs(in []Input) [][]int64 {
	known := map[string]int64{}
	for i, spec := range g.Inputs {
		for k, name := range spec.Symbols {
			if name != "" && spec.Shape[k] < 0 && i < len(in) && k < len(in[i].Shape) {
				known[name] = in[i].Shape[k]
			}
		}
	}
	out := make([][]int64, len(g.Outputs))
	for i, spec := range g.Outputs {
		out[i] = slices.Clone(spec.Shape)
		for k, name := range spec.Symbols {
			if v, ok := known[name]; ok && name != "" && out[i][k] < 0 {
				out[i][k] = v
			}
		}
	}
	return out
}

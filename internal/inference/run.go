package inference

import (
	"context"
	"fmt"

	"verge/internal/fault"
	"verge/internal/tensor"
)

// Run copies inputs into the slot and runs it: the convenient way, for checks,
// warm-up and tests. Inputs are matched by name; where none has a name, by
// order. It fails as Slot.Inputs and Slot.Run do, and with fault.Invalid for a
// name that is missing, unknown or given twice, and for a wrong element type.
func Run(ctx context.Context, g Signature, s Slot, inputs []tensor.Tensor) ([]tensor.Tensor, error) {
	ordered, err := Order(g.Inputs, inputs)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Op: "inference.run", Err: err}
	}
	in := make([]Input, len(ordered))
	for i, t := range ordered {
		in[i] = Input{Shape: t.Shape, Bytes: len(t.Data)}
		if t.DType != g.Inputs[i].DType {
			return nil, fault.New(fault.Invalid, "inference.run", "input %q is %s, want %s", g.Inputs[i].Name, t.DType, g.Inputs[i].DType)
		}
		if n, countErr := tensor.Elements(t.Shape); countErr == nil && n > 0 && len(t.Data) == 0 {
			return nil, fault.New(fault.Invalid, "inference.run", "input %q has no data for %d elements", g.Inputs[i].Name, n)
		}
	}
	views, err := s.Inputs(in)
	if err != nil {
		return nil, err
	}
	for i, t := range ordered {
		copy(views[i], t.Data)
	}
	return s.Run(ctx)
}

// Order returns inputs in the order of specs: by name, or as they are where no
// input has a name. The error names what is missing, unknown or double.
func Order(specs []Spec, inputs []tensor.Tensor) ([]tensor.Tensor, error) {
	named := false
	for _, t := range inputs {
		named = named || t.Name != ""
	}
	if !named {
		if len(inputs) != len(specs) {
			return nil, fmt.Errorf("got %d inputs, want %d: %v", len(inputs), len(specs), specs)
		}
		return inputs, nil
	}
	ordered := make([]tensor.Tensor, len(specs))
	seen := make([]bool, len(specs))
	for _, t := range inputs {
		i := Index(specs, t.Name)
		if i < 0 {
			return nil, fmt.Errorf("unknown input %q, the model has %v", t.Name, specs)
		}
		if seen[i] {
			return nil, fmt.Errorf("input %q is given twice", t.Name)
		}
		ordered[i], seen[i] = t, true
	}
	for i, ok := range seen {
		if !ok {
			return nil, fmt.Errorf("input %q is missing", specs[i].Name)
		}
	}
	return ordered, nil
}

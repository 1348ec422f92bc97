package gate

import (
	"errors"
	"fmt"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Case is one request with the answer that it should get.
type Case struct {
	Name    string          // "rows 0 to 3"
	Inputs  []tensor.Tensor // all of the signature, in its order
	Outputs []tensor.Tensor // those that are known, one or more
}

// maxCases bounds how many requests one golden file makes.
const maxCases = 10_000

// Cases cuts golden arrays, which carry the names of inputs and outputs, into
// requests. Where the first dimension of every input is the batch, the arrays may
// have any number of rows: they go in batches of batch rows at most, or, where the
// model's batch is fixed, of exactly that many. Otherwise the arrays are one request.
//
// It fails with fault.Invalid, and all that is wrong with the arrays: a name that
// the model does not have, an input that is missing, no output, a type or a shape
// that does not fit, or numbers of rows that differ.
func Cases(g inference.Signature, arrays []tensor.Tensor, batch int) ([]Case, error) {
	const op = "gate.golden"
	inputs, outputs, err := assign(g, arrays)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "golden: %w", err)
	}
	if whole(g.Inputs, inputs) && !batched(g.Inputs) {
		return []Case{{Name: "the golden request", Inputs: inputs, Outputs: outputs}}, nil
	}
	size, err := batchOf(g.Inputs, inputs, batch)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "golden: %w", err)
	}
	rows := int(inputs[0].Shape[0])
	for _, t := range append(inputs[1:len(inputs):len(inputs)], outputs...) {
		if len(t.Shape) == 0 || t.Shape[0] != int64(rows) {
			return nil, fault.New(fault.Invalid, op, "golden: %q has shape %s, want %d rows as %q has", t.Name, inference.FormatShape(t.Shape), rows, inputs[0].Name)
		}
	}
	if n := (rows + size - 1) / size; rows == 0 || n > maxCases {
		return nil, fault.New(fault.Invalid, op, "golden: %d rows in batches of %d, want 1 to %d batches", rows, size, maxCases)
	}
	in, out := rowsOf(inputs), rowsOf(outputs)
	var cases []Case
	for begin := 0; begin < rows; begin += size {
		end := min(begin+size, rows)
		c := Case{Name: fmt.Sprintf("rows %d to %d", begin, end-1)}
		if end-begin == 1 {
			c.Name = fmt.Sprintf("row %d", begin)
		}
		for _, t := range in {
			c.Inputs = append(c.Inputs, t.Cut(begin, end))
		}
		for _, t := range out {
			c.Outputs = append(c.Outputs, t.Cut(begin, end))
		}
		cases = append(cases, c)
	}
	return cases, nil
}

// assign finds out what each array is, and checks its type.
func assign(g inference.Signature, arrays []tensor.Tensor) (inputs, outputs []tensor.Tensor, err error) {
	var errs []error
	inputs = make([]tensor.Tensor, len(g.Inputs))
	for _, t := range arrays {
		in, out := inference.Index(g.Inputs, t.Name), inference.Index(g.Outputs, t.Name)
		var spec inference.Spec
		switch {
		case in >= 0:
			spec, inputs[in] = g.Inputs[in], t
		case out >= 0:
			spec, outputs = g.Outputs[out], append(outputs, t)
		default:
			errs = append(errs, fmt.Errorf("%q is neither an input nor an output, the model has %v and %v", t.Name, g.Inputs, g.Outputs))
			continue
		}
		if t.DType != spec.DType {
			errs = append(errs, fmt.Errorf("%q is %s, want %s", t.Name, t.DType, spec.DType))
		}
	}
	for i, t := range inputs {
		if t.DType == tensor.Invalid {
			errs = append(errs, fmt.Errorf("input %q is missing", g.Inputs[i].Name))
		}
	}
	if len(outputs) == 0 {
		errs = append(errs, errors.New("it has no output"))
	}
	return inputs, outputs, errors.Join(errs...)
}

// whole reports whether the arrays are one request as they are.
func whole(specs []inference.Spec, inputs []tensor.Tensor) bool {
	for i, spec := range specs {
		if spec.CheckShape(inputs[i].Shape) != nil {
			return false
		}
	}
	return true
}

// batched reports whether every input's first dimension is dynamic.
func batched(specs []inference.Spec) bool {
	for _, spec := range specs {
		if len(spec.Shape) == 0 || spec.Shape[0] != -1 {
			return false
		}
	}
	return len(specs) > 0
}

// batchOf returns how many rows make one request, after checking the other
// dimensions of the inputs.
func batchOf(specs []inference.Spec, inputs []tensor.Tensor, batch int) (int, error) {
	size := max(batch, 1)
	for i, spec := range specs {
		got := inputs[i].Shape
		if len(got) == 0 || len(spec.Shape) == 0 {
			return 0, fmt.Errorf("input %q %w", spec.Name, spec.CheckShape(got))
		}
		fixed := int(spec.Shape[0])
		row := inference.Spec{Name: spec.Name, DType: spec.DType, Shape: append([]int64{-1}, spec.Shape[1:]...)}
		if err := row.CheckShape(got); err != nil {
			return 0, fmt.Errorf("input %q %w", spec.Name, err)
		}
		if fixed >= 0 && (fixed == 0 || int(got[0])%fixed != 0) {
			return 0, fmt.Errorf("input %q has %d rows, want a multiple of the model's batch of %d", spec.Name, got[0], fixed)
		}
		if fixed > 0 {
			size = fixed
		}
	}
	return size, nil
}

// rowsOf finds the rows of tensors whose data are checked.
func rowsOf(all []tensor.Tensor) []tensor.Rows {
	out := make([]tensor.Rows, len(all))
	for i, t := range all {
		out[i] = tensor.RowsOf(t)
	}
	return out
}

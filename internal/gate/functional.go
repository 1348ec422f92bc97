package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"verge/client"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Functional asks the candidate for one answer and checks that it has the outputs
// of the signature: their names and types. That a shape is another than the model's
// file declares is told, and no failure: a declaration promises nothing. With golden cases it asks for
// each of them instead, and compares the answers within the tolerance, which is
// absolute and relative as tensor.Agree says.
func Functional(ctx context.Context, e Env, t Target, golden []Case, tolerance float64) client.Verdict {
	v := e.verdict(GateFunctional)
	if len(golden) == 0 {
		v.How = "one request through the node's HTTP interface; " + t.Source
		outputs, err := t.ask(ctx, t.Inputs)
		v = judge(v, 1, err)
		if err == nil {
			v.Detail = t.otherShapes(outputs)
		}
		return v
	}
	v.How = fmt.Sprintf("%d golden requests through the node's HTTP interface, tolerance %g", len(golden), tolerance)
	wrong := 0
	first := ""
	for i, c := range golden {
		outputs, err := t.ask(ctx, c.Inputs)
		var bad *wrongError
		if err != nil && !errors.As(err, &bad) {
			v.Samples = i
			return failed(v, "%s: %s", c.Name, message(err))
		}
		if err == nil {
			err = compare(c.Outputs, outputs, tolerance)
		}
		if err != nil {
			if wrong++; first == "" {
				first = fmt.Sprintf("%s: %s", c.Name, message(err))
			}
		}
		e.progress(GateFunctional, i+1, len(golden), float64(wrong), "wrong")
	}
	v.Samples, v.Detail = len(golden), first
	return held(v, float64(wrong), 0, "wrong answers")
}

// judge is the verdict on one answer without a known one beside it.
func judge(v client.Verdict, samples int, err error) client.Verdict {
	var bad *wrongError
	v.Samples = samples
	switch {
	case err == nil:
		return held(v, 0, 0, "wrong answers")
	case errors.As(err, &bad):
		v.Detail = bad.Error()
		return held(v, 1, 0, "wrong answers")
	}
	v.Samples = 0
	return failed(v, "%s", message(err))
}

// wrongError says why an answer that came is not one to the signature.
type wrongError struct{ reason string }

func (e *wrongError) Error() string { return e.reason }

func wrong(format string, args ...any) error { return &wrongError{fmt.Sprintf(format, args...)} }

// ask sends one request and checks that the answer fits the signature.
func (t Target) ask(ctx context.Context, inputs []tensor.Tensor) ([]tensor.Tensor, error) {
	answer, err := t.infer(ctx, t.request(inputs))
	if err != nil {
		return nil, err
	}
	if answer.Model != t.Model {
		return nil, wrong("model %q answered, %q was asked", answer.Model, t.Model)
	}
	if len(answer.Outputs) != len(t.Signature.Outputs) {
		return nil, wrong("%d outputs, want %d", len(answer.Outputs), len(t.Signature.Outputs))
	}
	outputs := make([]tensor.Tensor, len(answer.Outputs))
	for i, spec := range t.Signature.Outputs {
		got := answer.Output(spec.Name)
		if got == nil {
			return nil, wrong("output %q is missing", spec.Name)
		}
		if got.Datatype != spec.DType.String() {
			return nil, wrong("output %q is %s, want %s", spec.Name, got.Datatype, spec.DType)
		}
		outputs[i] = tensor.Tensor{Name: spec.Name, DType: spec.DType, Shape: got.Shape, Data: got.Data}
	}
	return outputs, nil
}

// otherShapes tells of the outputs whose shapes are not the declared ones.
func (t Target) otherShapes(outputs []tensor.Tensor) string {
	in := make([]inference.Input, len(t.Inputs))
	for i := range t.Inputs {
		in[i].Shape = t.Inputs[i].Shape
	}
	var told []string
	for i, shape := range t.Signature.ResolveOutputs(in) {
		spec := t.Signature.Outputs[i]
		if spec.Shape = shape; shape != nil && spec.CheckShape(outputs[i].Shape) != nil {
			told = append(told, fmt.Sprintf("output %q has shape %s, the model's file declares %s", spec.Name, inference.FormatShape(outputs[i].Shape), inference.FormatShape(shape)))
		}
	}
	return strings.Join(told, "; ")
}

// compare says how the first output that is not as it should be differs, or nil.
func compare(want, got []tensor.Tensor, tolerance float64) error {
	for _, w := range want {
		for _, g := range got {
			if g.Name != w.Name {
				continue
			}
			if err := tensor.Agree(w, g, tolerance); err != nil {
				return fmt.Errorf("output %q: %w", w.Name, err)
			}
		}
	}
	return nil
}

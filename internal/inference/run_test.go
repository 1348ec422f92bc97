package inference_test

import (
	"context"
	"errors"
	"testing"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// echo is a slot that answers its inputs.
type echo struct {
	views  [][]byte
	refuse error
}

func (s *echo) Inputs(in []inference.Input) ([][]byte, error) {
	if s.refuse != nil {
		return nil, s.refuse
	}
	s.views = make([][]byte, len(in))
	for i := range in {
		s.views[i] = make([]byte, in[i].Bytes)
	}
	return s.views, nil
}

func (s *echo) Run(context.Context) ([]tensor.Tensor, error) {
	outputs := make([]tensor.Tensor, len(s.views))
	for i, v := range s.views {
		outputs[i].Data = v
	}
	return outputs, nil
}

func (s *echo) Close() error { return nil }

func pair() inference.Signature {
	return inference.Signature{Inputs: []inference.Spec{
		{Name: "a", DType: tensor.Uint8, Shape: []int64{-1}}, {Name: "b", DType: tensor.Uint8, Shape: []int64{-1}},
	}}
}

func bytesOf(name, data string) tensor.Tensor {
	return tensor.Tensor{Name: name, DType: tensor.Uint8, Shape: []int64{int64(len(data))}, Data: []byte(data)}
}

func TestRunBringsInputsIntoTheModelsOrder(t *testing.T) {
	for name, inputs := range map[string][]tensor.Tensor{
		"by name":  {bytesOf("b", "second"), bytesOf("a", "first")},
		"by order": {bytesOf("", "first"), bytesOf("", "second")},
	} {
		got, err := inference.Run(t.Context(), pair(), &echo{}, inputs)
		if err != nil || string(got[0].Data) != "first" || string(got[1].Data) != "second" {
			t.Errorf("%s: Run = %v, %v; want first, second", name, got, err)
		}
	}
}

func TestRunRefusesInputsByName(t *testing.T) {
	const all = "[a UINT8[-1] b UINT8[-1]]"
	other := bytesOf("b", "x")
	other.DType = tensor.Int8
	empty := bytesOf("b", "x")
	empty.Data = nil
	for want, inputs := range map[string][]tensor.Tensor{
		"got 1 inputs, want 2: " + all:            {bytesOf("", "x")},
		`unknown input "c", the model has ` + all: {bytesOf("a", "x"), bytesOf("c", "x")},
		`input "a" is given twice`:                {bytesOf("a", "x"), bytesOf("a", "x")},
		`input "b" is missing`:                    {bytesOf("a", "x")},
		`unknown input "", the model has ` + all:  {bytesOf("a", "x"), bytesOf("", "x")},
		`input "b" is INT8, want UINT8`:           {bytesOf("a", "x"), other},
		`input "b" has no data for 1 elements`:    {bytesOf("a", "x"), empty},
	} {
		_, err := inference.Run(t.Context(), pair(), &echo{}, inputs)
		if err == nil || fault.Message(err) != want || fault.KindOf(err) != fault.Invalid {
			t.Errorf("Run = %v, want %q", err, want)
		}
	}
	refuse := errors.New("no")
	if _, err := inference.Run(t.Context(), pair(), &echo{refuse: refuse}, []tensor.Tensor{bytesOf("a", "x"), bytesOf("b", "x")}); !errors.Is(err, refuse) {
		t.Errorf("Run = %v, want what the slot says", err)
	}
}

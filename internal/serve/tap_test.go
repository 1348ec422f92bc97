package serve_test

import (
	"fmt"
	"slices"
	"testing"

	"verge/internal/tensor"
)

func TestATapSeesWhatIsAnswered(t *testing.T) {
	v := add(t, newServer(small()), "m", 1, &session{add: 1}, nil)
	var seen []string
	stop := v.Tap(func(inputs, outputs []tensor.Tensor) {
		in, out := inputs[0], outputs[0]
		seen = append(seen, fmt.Sprintf("%s %s%v %v → %s %v", in.Name, in.DType, in.Shape, in.Data, out.Name, out.Data))
	})
	request := func(x byte) {
		call := begin(t, v)
		_, err := ask(call, x)
		call.End(err)
	}
	request(1)
	warm := tensor.Tensor{DType: tensor.Uint8, Shape: []int64{3}, Data: []byte{7, 7, 7}}
	check(t, "Warm", v.Warm(t.Context(), []tensor.Tensor{warm}, nil), 0, "")
	request(2)
	others := 0
	defer v.Tap(func([]tensor.Tensor, []tensor.Tensor) { others++ })()
	stop()
	request(3)
	if others != 1 {
		t.Errorf("the other tap has seen %d requests, want 1", others)
	}
	spec := v.Signature().Inputs[0]
	want := []string{
		fmt.Sprintf("%s UINT8[1] [1] → %s [2]", spec.Name, v.Signature().Outputs[0].Name),
		fmt.Sprintf("%s UINT8[1] [2] → %s [3]", spec.Name, v.Signature().Outputs[0].Name),
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
}

package dataset_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/dataset"
	"verge/internal/fault"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

func TestAFileIsOneString(t *testing.T) {
	for data, want := range map[string]string{
		"": "", "grüß\n": "grüß", "a\r\n": "a", "a\n\n": "a\n", "\r": "", "\xff\xd8jpeg\n": "\xff\xd8jpeg\n",
	} {
		for _, shape := range [][]int64{{}, {1}, {-1}, {-1, 1}} {
			got, err := dataset.Text([]byte(data), spec(tensor.Bytes, shape...))
			text := onnxmodel.Strings("image", want)
			text.Shape = make([]int64, len(shape))
			for k := range shape {
				text.Shape[k] = 1
			}
			if diff := cmp.Diff(text, got); diff != "" || err != nil {
				t.Errorf("Text of %q for %v: %v (-want +got):\n%s", data, shape, err, diff)
			}
		}
	}
	for want, shape := range map[string][]int64{
		"a file is one string, and input image BYTES[2] takes 2":    {2},
		"a file is one string, and input image BYTES[-1,0] takes 0": {-1, 0},
	} {
		_, err := dataset.Text(nil, spec(tensor.Bytes, shape...))
		checkFault(t, err, fault.Invalid, want, "Give a NumPy array of strings, as numpy.save writes array.astype(str).")
	}
}

package deployfile_test

import (
	"encoding/json"
	"testing"

	"verge/internal/deployfile"
)

func require(t *testing.T, text string) deployfile.Requirement {
	t.Helper()
	quoted, _ := json.Marshal(text)
	file, err := deployfile.Parse([]byte(`{"model": {"path": "a"}, "required_packages": [`+string(quoted)+`]}`), "d.json")
	if err != nil {
		t.Fatal(err)
	}
	return file.RequiredPackages[0]
}

func TestVersionConditionsCompareAsPythonDoes(t *testing.T) {
	for _, test := range []struct {
		requirement, version string
		want                 bool
	}{
		{"onnxruntime", "anything", true},
		{"onnxruntime>=1.20", "1.20.0", true},
		{"onnxruntime>=1.20", "1.9.9", false}, // numbers, not text
		{"onnxruntime>=1.20", "1.30.0rc1", true},
		{"onnxruntime>=1.20", "1.20rc1", false},
		{"onnxruntime>=1.20", "1.20.dev3", false},
		{"onnxruntime==1.20", "1.20.0+cpu", true},
		{"onnxruntime==1.20", "1.20.1", false},
		{"onnxruntime==1.20.*", "1.20.7", true},
		{"onnxruntime==1.20.*", "1.21", false},
		{"onnxruntime!=1.20.*", "1.20", false},
		{"onnxruntime!=1.20", "1.20.post1", true},
		{"onnxruntime<2", "1.99", true},
		{"onnxruntime<2", "2.0", false},
		{"onnxruntime>2", "2.0.1", true},
		{"onnxruntime>2", "2.0.0", false},
		{"onnxruntime<=1.2.3", "1.2.3", true},
		{"onnxruntime~=1.20", "1.35", true},
		{"onnxruntime~=1.20", "2.0", false},
		{"onnxruntime~=1.20.3", "1.20.2", false},
		{"onnxruntime~=1.20.3", "1.21", false},
		{"onnxruntime-gpu >= 1.20", "v1.21", true},
		{"onnxruntime>=1.20", "unknown", false},
		{"tensorflow>=2.10", "1.0", true}, // LiteRT has numbers of its own
	} {
		if got := require(t, test.requirement).Satisfied(test.version); got != test.want {
			t.Errorf("%s with %s = %v, want %v", test.requirement, test.version, got, test.want)
		}
	}
}

func TestEachKnownPackageStandsForACapability(t *testing.T) {
	for name, want := range map[string]string{
		"tensorflow": "runtime:litert", "tflite-runtime": "runtime:litert", "ai_edge_litert": "runtime:litert",
		"onnxruntime": "runtime:onnxruntime", "ONNXRuntime-GPU": "runtime:onnxruntime", "openvino": "runtime:openvino",
		"tensorrt": "runtime:tensorrt", "pycuda": "runtime:tensorrt", "pycoral": "runtime:edgetpu",
		"numpy": "builtin:numpy", "psutil": "builtin:psutil", "pillow": "builtin:pictures", "opencv-python": "builtin:pictures",
	} {
		if got := require(t, name).Capability(); got != want {
			t.Errorf("Capability of %s = %q, want %q", name, got, want)
		}
	}
}

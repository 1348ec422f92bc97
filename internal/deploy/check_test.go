package deploy_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/deploy"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

func TestCheckFindsEverythingThatNeedsNoLoad(t *testing.T) {
	const mib = 1 << 20
	installed := func(string) (string, error) { return "1.20.0", nil }
	onlyOpenVINO := func(name string) (string, error) {
		if name == "openvino" {
			return "2026.4.1", nil
		}
		return "", fault.New(fault.NotFound, "runtimes.find", "%s is not installed", name).WithHint("verge runtime install %s", name)
	}
	absent := func(name string) (string, error) {
		return "", fault.New(fault.NotFound, "runtimes.find", "%s is not installed", name).WithHint("verge runtime install %s", name)
	}
	big := machine{cpus: 4, memory: 4096 * mib}
	edgeTPU := tflitemodel.CustomOperator("edgetpu-custom-op", tensor.Uint8, 1)
	tests := map[string]struct {
		spec      string
		model     []byte
		machine   machine
		libraries deploy.Libraries
		threads   int
		kind      fault.Kind
		problems  fault.Problems
		warnings  []string
	}{
		"nothing": {spec: `{"model":{"path":"m.onnx"}}`, machine: big, threads: 4},
		"the format contradicts the bytes": {
			spec: `{"model":{"path":"m.tflite","format":"tflite"}}`, machine: big, threads: 4, kind: fault.Invalid,
			problems: fault.Problems{{Path: "model.format", Message: "the file says tflite, but the bytes are onnx", Hint: "Correct model.format, or leave it out."}},
		},
		"only another runtime is here": {
			spec: `{"model":{"path":"m.onnx"}}`, machine: big, threads: 4, kind: fault.NotFound, libraries: onlyOpenVINO,
			problems: fault.Problems{{
				Path: "deployment.runtime", Message: "onnxruntime is not installed",
				Hint: "verge runtime install onnxruntime; or set deployment.runtime to openvino, which is installed.",
			}},
		},
		"only another runtime is here, and it is measured": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"optimization_level":2}}`, machine: big, threads: 4, libraries: onlyOpenVINO,
			warnings: []string{"deployment.runtime: onnxruntime is not installed; openvino is what others are compared with"},
		},
		"a ladder of which nothing fits": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"ladder":["gpu","cpu int8"]}}`, machine: big, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{{
				Path: "deployment.ladder", Message: "no rung fits: gpu: no gpu on this machine; cpu int8: no file is int8, m.onnx is fp32",
				Hint: "Add a rung that this device and these files have, such as cpu.",
			}},
		},
		"a ladder with a rung that does not fit": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"ladder":["gpu","cpu"]}}`, machine: big, threads: 4,
			warnings: []string{"deployment.ladder: nothing is tried on gpu: no gpu on this machine"},
		},
		"a model that keeps values": {
			spec: `{"model":{"path":"m.tflite"}}`, model: tflitemodel.Sum(0), machine: big, threads: 4,
			warnings: []string{"model.path: the model keeps values from one request to the next: all clients share them, and one request is computed at a time"},
		},
		"a model for a processor that no runtime reaches": {
			spec: `{"model":{"path":"m.tflite"}}`, model: tflitemodel.CustomOperator("ethos-u", tensor.Uint8, 1), machine: big, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{{
				Path: "model.path", Message: "the model is compiled for an Ethos-U, which runs beside a microcontroller and has no runtime here",
				Hint: "Deploy the model that Vela was given.",
			}},
		},
		"a runtime that does not run the format": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"runtime":"litert"}}`, machine: big, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{{
				Path: "deployment.runtime", Message: "litert does not run onnx models; onnxruntime or openvino does", Hint: "Leave deployment.runtime out.",
			}},
		},
		"a model over the limit of the device": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"device_type":"embedded"}}`, machine: big, threads: 1, kind: fault.TooLarge,
			model: bytes.Repeat([]byte{0}, 64*mib+1),
			problems: fault.Problems{
				{
					Path: "model.path", Message: "the model has 67108865 bytes, the limit of device_type embedded is 67108864",
					Hint: "Deploy a smaller model, or another deployment.device_type.",
				},
				{Path: "model.path", Message: "*"},
			},
		},
		"a library that is not here": {
			spec: `{"model":{"path":"m.onnx"}}`, machine: big, libraries: absent, threads: 4, kind: fault.NotFound,
			problems: fault.Problems{{Path: "deployment.runtime", Message: "onnxruntime is not installed", Hint: "verge runtime install onnxruntime"}},
		},
		"packages that are not here, and built in ones that are": {
			spec: `{"model":{"path":"m.onnx"},"required_packages":["numpy","onnxruntime"]}`, machine: big, libraries: absent, threads: 4, kind: fault.NotFound,
			problems: fault.Problems{{
				Path: "required_packages[1]", Message: "onnxruntime is not here: onnxruntime is not installed", Hint: "verge runtime install onnxruntime",
			}},
		},
		"a package of another version": {
			spec: `{"model":{"path":"m.onnx"},"required_packages":["onnxruntime>=1.25"]}`, machine: big, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{{
				Path: "required_packages[0]", Message: "onnxruntime>=1.25 wants >=1.25, onnxruntime 1.20.0 is installed",
				Hint: "Install a version that fits, or change required_packages.",
			}},
		},
		"what runs on an Edge TPU alone, without one": {
			spec: `{"model":{"path":"m.tflite"},"deployment":{"device_type":"tpu","fallback":"cpu"}}`, model: edgeTPU, machine: big, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{{
				Path: "deployment.device_type", Message: "no tpu on this machine (looked for /dev/tpu*)",
				Hint: "Deploy it where such a device is, or deploy the model that it was made from.",
			}},
		},
		"an engine of another version, without a GPU": {
			spec: `{"model":{"path":"m.plan"},"deployment":{"device_type":"gpu","fallback":"cpu"}}`, machine: big, threads: 4, kind: fault.Unsupported,
			model:    append([]byte("ftrt\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x06\x01\x00"), make([]byte, 100)...),
			warnings: []string{"model.path: the engine was built by TensorRT 8.6.1.0, and 1.20.0 is installed: it loads only if it was built to be version-compatible"},
			problems: fault.Problems{{
				Path: "deployment.device_type", Message: "no gpu on this machine (looked for /dev/gpu*)",
				Hint: "Deploy it where such a device is, or deploy the model that it was made from.",
			}},
		},
		"a device that is not there": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"device_type":"gpu"}}`, machine: big, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{{
				Path: "deployment.device_type", Message: "no gpu on this machine (looked for /dev/gpu*)",
				Hint: `Set deployment.device_type to "cpu", or deployment.fallback to "cpu".`,
			}},
		},
		"a device that is not there, with the CPU to fall back to": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"device_type":"npu","fallback":"cpu"}}`, machine: big, threads: 4,
			warnings: []string{"deployment.device_type: no npu on this machine (looked for /dev/npu*); the CPU is used instead"},
		},
		"a model of the Edge TPU elsewhere": {
			spec: `{"model":{"path":"m.tflite"}}`, model: edgeTPU, machine: big, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{{
				Path: "model.path", Message: "the model is compiled for the Edge TPU, and deployment.device_type is cpu",
				Hint: "Set deployment.device_type to tpu, or deploy the model that it was compiled from.",
			}},
		},
		"another model on an Edge TPU": {
			spec: `{"model":{"path":"m.tflite"},"deployment":{"device_type":"tpu"}}`, model: tflitemodel.Join(), machine: big, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{
				{
					Path: "model.path", Message: "the model is not compiled for the Edge TPU, which deployment.device_type asks for",
					Hint: "Compile it with edgetpu_compiler, which takes models of int8; or set deployment.device_type to cpu.",
				},
				{
					Path: "deployment.device_type", Message: "no tpu on this machine (looked for /dev/tpu*)",
					Hint: `Set deployment.device_type to "cpu", or deployment.fallback to "cpu".`,
				},
			},
		},
		"a device that is there and that no runtime uses": {
			spec:    `{"model":{"path":"m.onnx"},"deployment":{"device_type":"gpu"}}`,
			machine: machine{cpus: 4, memory: 4096 * mib, gpus: []string{"Bare GPU", "Other GPU"}}, threads: 4,
			warnings: []string{"deployment.device_type: Bare GPU is there, but CUDAExecutionProvider lacks: libcuda.so.1 not found; Other GPU is there, but onnxruntime is not made for it; the CPU is used instead"},
		},
		"the same without a fallback": {
			spec:    `{"model":{"path":"m.onnx"},"deployment":{"device_type":"gpu","fallback":"none"}}`,
			machine: machine{cpus: 4, memory: 4096 * mib, gpus: []string{"Other GPU"}}, threads: 4, kind: fault.Unsupported,
			problems: fault.Problems{{
				Path: "deployment.device_type", Message: "Other GPU is there, but onnxruntime is not made for it",
				Hint: `Set deployment.device_type to "cpu", or deployment.fallback to "cpu".`,
			}},
		},
		"more memory than is free": {
			spec:    `{"model":{"path":"m.onnx"},"deployment":{"memory_limit_mb":512}}`,
			machine: machine{cpus: 4, memory: 100 * mib}, threads: 4, kind: fault.Exhausted,
			problems: fault.Problems{{
				Path: "deployment.memory_limit_mb", Message: "512 MB must be free before the load, 100 MB are",
				Hint: "Lower the limit, undeploy a model that is no longer needed, or, to replace a version that serves, set deployment.strategy to stop-then-start.",
			}},
		},
		"memory that cannot be read": {
			spec:    `{"model":{"path":"m.onnx"}}`,
			machine: machine{cpus: 4, err: errors.New("no /proc")}, threads: 4,
			warnings: []string{"deployment.memory_limit_mb: free memory could not be read: no /proc"},
		},
		"more threads than processors": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"cpu_threads":9}}`, machine: big, threads: 4,
			warnings: []string{"deployment.cpu_threads: 9 asked for, this machine has 4: 4 used"},
		},
		"fewer threads than processors": {spec: `{"model":{"path":"m.onnx"},"deployment":{"cpu_threads":2}}`, machine: big, threads: 2},
		"half the processors on a mobile": {
			spec: `{"model":{"path":"m.onnx"},"deployment":{"device_type":"mobile"}}`, machine: big, threads: 2,
		},
		"several problems at once": {
			spec:    `{"model":{"path":"m.onnx","format":"openvino"},"deployment":{"device_type":"tpu","memory_limit_mb":256}}`,
			machine: machine{cpus: 1, memory: 10 * mib}, threads: 1, kind: fault.Invalid,
			problems: fault.Problems{
				{Path: "model.format", Message: "the file says openvino, but the bytes are onnx", Hint: "Correct model.format, or leave it out."},
				{
					Path: "deployment.device_type", Message: "no tpu on this machine (looked for /dev/tpu*)",
					Hint: `Set deployment.device_type to "cpu", or deployment.fallback to "cpu".`,
				},
				{
					Path: "deployment.memory_limit_mb", Message: "256 MB must be free before the load, 10 MB are",
					Hint: "Lower the limit, undeploy a model that is no longer needed, or, to replace a version that serves, set deployment.strategy to stop-then-start.",
				},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file, err := deployfile.Parse([]byte(test.spec), "deployment.json")
			if err != nil {
				t.Fatal(err)
			}
			data := test.model
			if data == nil {
				data = model(t, "digits.onnx")
			}
			libraries := test.libraries
			if libraries == nil {
				libraries = installed
			}
			f := deploy.Check(file, modelfile.File{Bytes: bytes.NewReader(data), Size: int64(len(data))}, nil, test.machine, libraries)
			for i, p := range test.problems {
				if p.Message == "*" && i < len(f.Problems) { // another package's words
					f.Problems[i].Message, f.Problems[i].Hint = "*", ""
				}
			}
			if diff := cmp.Diff(test.problems, f.Problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.warnings, f.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if f.Threads != test.threads {
				t.Errorf("%d threads, want %d", f.Threads, test.threads)
			}
			if err := f.Err(); (err != nil) != (len(test.problems) > 0) || err != nil && fault.KindOf(err) != test.kind {
				t.Errorf("Err = %v (%v), want kind %v", err, fault.KindOf(err), test.kind)
			}
		})
	}
}

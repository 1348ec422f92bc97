package deploy

import (
	"fmt"
	"slices"
	"strings"

	"verge/internal/deployfile"
	"verge/internal/device"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

// RuntimesOf are the runtimes that run a format, the one that does so by default
// first.
func RuntimesOf(format modelfile.Format) []string {
	switch format {
	case modelfile.ONNX:
		return []string{"onnxruntime", "openvino"}
	case modelfile.TFLite:
		return []string{"litert", "tflite", "openvino"}
	case modelfile.OpenVINO:
		return []string{"openvino"}
	case modelfile.TensorRT:
		return []string{"tensorrt"}
	}
	return []string{string(format)}
}

// runtimeOf is the runtime that the deployment file asks for, where it runs the format of
// one of its models, else the default one.
func runtimeOf(file *deployfile.File, info *modelfile.Info) string {
	if asked := file.Deployment.Runtime; slices.Contains(RuntimesOf(info.Format), asked) {
		return asked
	}
	name, _ := defaultRuntime(file, info)
	return name
}

// defaultRuntime is the runtime of a model where the file names none, and why it is that
// one. Only the classic library drives an Edge TPU and opens delegates by path; and a
// library that would serve a model as something else than its file says is passed over.
func defaultRuntime(file *deployfile.File, info *modelfile.Info) (name, why string) {
	all := RuntimesOf(info.Format)
	why = "runs " + string(info.Format) + " by default"
	delegate := func(p deployfile.Provider) bool { return strings.Contains(p.Name, "/") }
	if info.Format == modelfile.TFLite {
		switch {
		case file.Deployment.DeviceType == device.TPU:
			return "tflite", "drives the Edge TPU"
		case slices.ContainsFunc(file.Deployment.Providers, delegate):
			return "tflite", "opens delegates by path"
		}
	}
	for i, name := range all {
		if unfit(name, info) == "" {
			if i > 0 {
				why = unfit(all[0], info)
			}
			return name, why
		}
	}
	return all[0], why
}

// unfit says why a runtime cannot serve a model as its file means it, or "".
func unfit(runtime string, info *modelfile.Info) string {
	model := info.TFLite
	switch {
	case model == nil:
		return ""
	case runtime == "litert":
		return model.OnlyClassic()
	case model.ServedSubgraph != 0:
		return fmt.Sprintf("the first signature of the model is of subgraph %d, and %s serves subgraph 0", model.ServedSubgraph, runtime)
	case runtime == "openvino" && model.HasStrings():
		return "the model takes or gives strings, which OpenVINO cannot carry"
	}
	return ""
}

// fitting are the runtimes that can serve a model, the default one first.
func fitting(info *modelfile.Info) []string {
	return slices.DeleteFunc(RuntimesOf(info.Format), func(name string) bool { return unfit(name, info) != "" })
}

// asDeclared refuses a model that a runtime loads as another than its file declares: a
// library may find fewer inputs than there are, where two have one name, or take another
// graph of the file.
func asDeclared(info *modelfile.Info, loaded inference.Signature, runtime string) error {
	if info == nil || len(info.Signature.Inputs)+len(info.Signature.Outputs) == 0 {
		return nil // only the library can read it
	}
	why := contradiction(info.Signature, loaded)
	if why == "" {
		return nil
	}
	return fault.New(fault.Unsupported, "deploy.load", "%s loads the model with %s", runtime, why).
		WithHint("Give each input and output a name of its own, and list it once.")
}

// contradiction says what two signatures of a model differ in, or "".
func contradiction(declared, loaded inference.Signature) string {
	if why := contradictionOf("input", declared.Inputs, loaded.Inputs); why != "" {
		return why
	}
	return contradictionOf("output", declared.Outputs, loaded.Outputs)
}

// contradictionOf compares one side. Where a library has another name for a tensor, only
// their number tells.
func contradictionOf(side string, declared, loaded []inference.Spec) string {
	if len(declared) != len(loaded) {
		ending := "s"
		if len(loaded) == 1 {
			ending = ""
		}
		return fmt.Sprintf("%d %s%s, its file declares %d", len(loaded), side, ending, len(declared))
	}
	for _, want := range declared {
		i := inference.Index(loaded, want.Name)
		if i < 0 {
			continue
		}
		got := loaded[i]
		open := len(want.Shape) == 0 || len(got.Shape) == 0 // of any rank, as far as one of them knows
		if want.DType != tensor.Invalid && want.DType != got.DType || !open && !compatible(want.Shape, got.Shape) {
			return fmt.Sprintf("the %s %s, its file declares %s", side, got, want)
		}
	}
	return ""
}

// compatible says whether two shapes, in which -1 is any size, may be of one tensor.
func compatible(a, b []int64) bool {
	return slices.EqualFunc(a, b, func(m, n int64) bool { return m == n || m < 0 || n < 0 })
}

package provider

// OnCPU returns the provider by which a runtime runs a model on the CPU, at an
// optimisation level of the deployment file; "" for a runtime that has none.
func OnCPU(runtime string, level int) string {
	switch runtime {
	case "onnxruntime":
		return "CPUExecutionProvider"
	case "litert", "tflite":
		if level == 0 {
			return "Builtin" // operator by operator
		}
		return "XNNPACK"
	case "openvino":
		return "CPU"
	}
	return ""
}

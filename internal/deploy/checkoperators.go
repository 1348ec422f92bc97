package deploy

import (
	"strings"

	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/modelfile"
)

// checkOperators tells what the runtime's library, as it comes, will refuse of the model.
// It is no problem: another build of the library may have it, or a delegate. What OpenVINO
// has for files of other formats is not known here.
func (f *Findings) checkOperators(file *deployfile.File, info *modelfile.Info) {
	var foreign []string
	switch {
	case len(file.Deployment.Providers) > 0: // they may bring what is missing
	case f.Runtime == "litert" || f.Runtime == "tflite":
		if info.TFLite == nil {
			return // it does not run the format
		}
		foreign = info.TFLite.Foreign(f.Runtime == "tflite")
		if why := info.TFLite.OnlyClassic(); f.Runtime == "litert" && why != "" {
			f.problem(fault.Unsupported, "deployment.runtime", "Set deployment.runtime to tflite, or leave it out.", "%s", why)
		}
	case f.Runtime == "onnxruntime" && info.ONNX != nil:
		foreign = operatorsOf(info.ONNX.CustomDomains())
	case info.OpenVINO != nil:
		foreign = operatorsOf(info.OpenVINO.CustomOpsets())
	}
	if len(foreign) > 0 {
		f.warn("model.path: %s does not have %s: the load will fail unless an extension brings it", f.Runtime, strings.Join(foreign, ", "))
	}
}

// operatorsOf names the operators of domains.
func operatorsOf(domains []string) (all []string) {
	for _, domain := range domains {
		all = append(all, "operators of "+fault.Clip(domain))
	}
	return all
}

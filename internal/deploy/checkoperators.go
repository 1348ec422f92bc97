package deploy

import (
	"fmt"
	"strings"

	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/modelfile"
)

// checkOperators tells what the runtime's library, as it comes, will refuse of the model.
// It is no problem: another build of the library may have it, or a delegate. What OpenVINO
// has for files of other formats is not known here.
func (f *Findings) checkOperators(file *deployfile.File, info *modelfile.Info) {
	if why := unfit(f.Runtime, info); why != "" {
		hint := "Convert the model so that its first signature is of its main subgraph, or without what LiteRT does not serve."
		if others := fitting(info); len(others) > 0 {
			hint = fmt.Sprintf("Set deployment.runtime to %s, or leave it out.", others[0])
		}
		f.problem(fault.Unsupported, "deployment.runtime", hint, "%s", why)
	}
	var foreign []string
	switch {
	case len(file.Deployment.Providers) > 0: // they may bring what is missing
	case f.Runtime == "litert" || f.Runtime == "tflite":
		if info.TFLite == nil {
			return // it does not run the format
		}
		foreign = info.TFLite.Foreign(f.Runtime == "tflite")
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

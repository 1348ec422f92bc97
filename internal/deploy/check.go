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
)

// Machine is what a check must know of this device.
type Machine interface {
	// CPUs is how many logical processors this process may use.
	CPUs() int
	// AvailableMemory is what a new process could take, in bytes.
	AvailableMemory() (int64, error)
	// Devices returns the accelerators of a kind ("gpu", "npu", "tpu") that are
	// there, each with the runtimes that are made for it and what they lack here,
	// and the paths that were looked at.
	Devices(kind string) (found []device.Accelerator, lookedFor []string)
}

// Libraries finds an installed native library by runtime name. It fails with a
// *fault.Error whose hint says how to install it.
type Libraries func(runtime string) (version string, err error)

// Findings is what can be said about a deployment without loading the model.
type Findings struct {
	Model    *modelfile.Info   // nil where the file could not be read
	Variants []*modelfile.Info // of the other files of the model, in the deployment file's order; nil as Model
	Runtime  string            // that would run it
	Threads  int               // that it would get
	Warnings []string
	Problems fault.Problems // empty: it may be loaded
	Kind     fault.Kind     // of the first problem
}

// Err returns the problems as one error, or nil.
func (f *Findings) Err() error {
	if len(f.Problems) == 0 {
		return nil
	}
	hint := ""
	for _, p := range f.Problems {
		if hint == "" {
			hint = p.Hint
		}
	}
	return &fault.Error{Kind: f.Kind, Op: "deploy.check", Hint: hint, Err: f.Problems}
}

func (f *Findings) problem(kind fault.Kind, path, hint, format string, args ...any) {
	if len(f.Problems) == 0 {
		f.Kind = kind
	}
	f.Problems = append(f.Problems, fault.Problem{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (f *Findings) fault(path string, err error) {
	f.problem(fault.KindOf(err), path, fault.HintOf(err), "%s", fault.Message(err))
}

func (f *Findings) warn(format string, args ...any) {
	f.Warnings = append(f.Warnings, fmt.Sprintf(format, args...))
}

// Check finds everything that is wrong with deploying file on this machine and
// that can be found without loading the model: its packages, device, memory
// and threads, the bytes of the model and of its variants, and the shapes of its inputs.
func Check(file *deployfile.File, model modelfile.File, variants []modelfile.File, machine Machine, libraries Libraries) *Findings {
	f := &Findings{Runtime: file.Deployment.Runtime}
	f.checkModel(file, model)
	f.checkVariants(file, variants)
	f.checkPackages(file, libraries)
	f.checkShapes(file)
	f.checkDevice(file, machine)
	f.checkResources(file, machine)
	f.checkLadder(file, machine, libraries)
	for _, note := range file.Notes() {
		f.warn("%s: %s", note.Path, note.Message)
	}
	return f
}

// CheckFiles finds what keeps the model or one of its variants from being read, or
// contradicts model.format. No machine is needed to know that.
func CheckFiles(file *deployfile.File, model modelfile.File, variants []modelfile.File) error {
	f := &Findings{Runtime: file.Deployment.Runtime}
	f.checkModel(file, model)
	f.checkVariants(file, variants)
	if f.Model != nil && !slices.Contains(f.Variants, nil) && f.ofFormat(file) {
		return nil
	}
	return f.Err()
}

// ofFormat says whether the model is of the format that the file says, if any.
func (f *Findings) ofFormat(file *deployfile.File) bool {
	return file.Model.Format == "" || strings.EqualFold(file.Model.Format, string(f.Model.Format))
}

// checkModel reads the model file as far as Go can.
func (f *Findings) checkModel(file *deployfile.File, model modelfile.File) {
	const key = "model.path"
	f.checkSize(file, key, model)
	info, err := modelfile.Inspect(model, modelfile.DefaultLimits())
	if err != nil {
		f.fault(key, err)
		return
	}
	f.Model = info
	if !f.ofFormat(file) {
		f.problem(fault.Invalid, "model.format", "Correct model.format, or leave it out.",
			"the file says %s, but the bytes are %s", file.Model.Format, info.Format)
	}
	f.checkEdgeTPU(file, info)
	f.checkState(info)
	if info.TFLite != nil && len(info.TFLite.MissingFiles) > 0 {
		f.warn("model.path: the metadata name %s, which is not behind the model: the end of the file may be cut off", fault.Clip(strings.Join(info.TFLite.MissingFiles, ", ")))
	}
	if info.OpenVINO != nil && info.OpenVINO.UnusedBytes > 0 {
		f.warn("model.path: the .bin file has %d bytes behind the last one that the .xml file uses: it may be another model's", info.OpenVINO.UnusedBytes)
	}
	if info.Format == modelfile.TensorRT && file.Deployment.DeviceType != device.GPU && len(file.Deployment.Ladder) == 0 {
		f.problem(fault.Unsupported, "deployment.device_type", "Set deployment.device_type to gpu.",
			"a TensorRT engine runs on the GPU that it was built for, and deployment.device_type is %s", file.Deployment.DeviceType)
	}
	runtimes := RuntimesOf(info.Format)
	if f.Runtime == "" {
		f.Runtime, _ = defaultRuntime(file, info)
	}
	if !slices.Contains(runtimes, f.Runtime) {
		f.problem(fault.Unsupported, "deployment.runtime", "Leave deployment.runtime out.",
			"%s does not run %s models; %s does", f.Runtime, info.Format, strings.Join(runtimes, " or "))
	}
	f.checkOperators(file, info)
}

// checkSize refuses a file of the model that is too large for the kind of device.
func (f *Findings) checkSize(file *deployfile.File, key string, model modelfile.File) {
	size := model.Size + model.Weights
	if limit := file.ModelSizeLimit(); limit > 0 && size > limit {
		f.problem(fault.TooLarge, key, "Deploy a smaller model, or another deployment.device_type.",
			"the model has %d bytes, the limit of device_type %s is %d", size, file.Deployment.DeviceType, limit)
	}
}

// checkEdgeTPU refuses a model that is compiled for the Edge TPU anywhere else, and any
// other model there. A library would say so only when it first runs the model.
func (f *Findings) checkEdgeTPU(file *deployfile.File, info *modelfile.Info) {
	if info.TFLite == nil {
		return // checkDevice has a word on it
	}
	compiled, there := info.TFLite.EdgeTPU, file.Deployment.DeviceType == device.TPU
	switch {
	case len(file.Deployment.Ladder) > 0 || compiled == there:
	case compiled:
		f.problem(fault.Unsupported, "model.path", "Set deployment.device_type to tpu, or deploy the model that it was compiled from.",
			"the model is compiled for the Edge TPU, and deployment.device_type is %s", file.Deployment.DeviceType)
	case file.Deployment.Fallback == "cpu":
		f.warn("model.path: the model is not compiled for the Edge TPU; the CPU is used instead")
	default:
		f.problem(fault.Unsupported, "model.path", "Compile it with edgetpu_compiler, which takes models of int8; or set deployment.device_type to cpu.",
			"the model is not compiled for the Edge TPU, which deployment.device_type asks for")
	}
}

// checkState tells who deploys a model that keeps values what that means here, and
// refuses one for a processor that no runtime reaches.
func (f *Findings) checkState(info *modelfile.Info) {
	if info.TFLite != nil && info.TFLite.Stateful || info.OpenVINO != nil && info.OpenVINO.Stateful {
		f.warn("model.path: the model keeps values from one request to the next: all clients share them, and one request is computed at a time")
	}
	if info.TFLite != nil && info.TFLite.EthosU {
		f.problem(fault.Unsupported, "model.path", "Deploy the model that Vela was given.",
			"the model is compiled for an Ethos-U, which runs beside a microcontroller and has no runtime here")
	}
}

// checkPackages looks for each of required_packages, and for the runtime's library.
func (f *Findings) checkPackages(file *deployfile.File, libraries Libraries) {
	for i, requirement := range file.RequiredPackages {
		key := fmt.Sprintf("required_packages[%d]", i)
		name, isRuntime := strings.CutPrefix(requirement.Capability(), "runtime:")
		if !isRuntime {
			continue // built in
		}
		version, err := libraries(name)
		if err != nil {
			f.problem(fault.KindOf(err), key, fault.HintOf(err), "%s is not here: %s", requirement.Raw, fault.Message(err))
			continue
		}
		if !requirement.Satisfied(version) {
			f.problem(fault.Unsupported, key, "Install a version that fits, or change required_packages.",
				"%s wants %s%s, %s %s is installed", requirement.Raw, requirement.Operator, requirement.Version, name, version)
		}
	}
	if f.Model == nil || len(f.Problems) > 0 {
		return
	}
	f.checkLibrary(file, libraries)
}

// checkLibrary looks for the library of the model's runtime. Where another one that is
// here runs the format, it is taken where runtimes are to be measured, and named else.
func (f *Findings) checkLibrary(file *deployfile.File, libraries Libraries) {
	const key = "deployment.runtime"
	version, err := libraries(f.Runtime)
	if err == nil {
		f.checkEngine(version)
		return
	}
	d, other := file.Deployment, f.otherRuntime(libraries)
	switch {
	case other != "" && d.OptimizationLevel >= levelMeasured && d.Runtime == "" && len(d.Providers) == 0:
		f.warn("%s: %s is not installed; %s is what others are compared with", key, f.Runtime, other)
		f.Runtime = other
	case f.variantRuns(file, libraries):
		f.warn("%s: %s is not installed: model.path itself is not tried", key, f.Runtime)
	case other == "":
		f.fault(key, err)
	default:
		f.problem(fault.KindOf(err), key, orRuntime(fault.HintOf(err), other), "%s", fault.Message(err))
	}
}

// variantRuns says whether the file names a variant that a runtime which is here runs.
func (f *Findings) variantRuns(file *deployfile.File, libraries Libraries) bool {
	return slices.ContainsFunc(f.Variants, func(info *modelfile.Info) bool {
		if info == nil {
			return false
		}
		_, err := libraries(runtimeOf(file, info))
		return err == nil
	})
}

// otherRuntime is the first other runtime that is here and runs the model's format, or
// "". What is bound to a device has one runtime only.
func (f *Findings) otherRuntime(libraries Libraries) string {
	if f.bound() != "" {
		return ""
	}
	for _, name := range RuntimesOf(f.Model.Format) {
		if _, err := libraries(name); err == nil && name != f.Runtime && unfit(name, f.Model) == "" {
			return name
		}
	}
	return ""
}

// orRuntime is a hint that names another runtime too.
func orRuntime(hint, other string) string {
	const also = "et deployment.runtime to %s, which is installed."
	if hint == "" {
		return fmt.Sprintf("S"+also, other)
	}
	return strings.TrimSuffix(hint, ".") + fmt.Sprintf("; or s"+also, other)
}

// elsewhere is the error of a load that the runtime refused, with a hint to another one
// that is here, for the CPU: what it can do with a device or with named providers is
// another question. What contradicts itself, no other one loads either.
func (f *Findings) elsewhere(err error, file *deployfile.File, libraries Libraries) error {
	if len(file.Deployment.Providers) > 0 || !inference.OnCPU(file.Deployment.DeviceType) {
		return err
	}
	other, hint := f.otherRuntime(libraries), fault.HintOf(err)
	if other == "" || fault.KindOf(err) != fault.Unsupported || strings.Contains(hint, "deployment.runtime") { // it names one already
		return err
	}
	return &fault.Error{Kind: fault.Unsupported, Op: "deploy.load", Err: err, Hint: orRuntime(hint, other)}
}

// checkEngine tells of an engine that another version of TensorRT has built than the one
// that is installed, where both are known.
func (f *Findings) checkEngine(installed string) {
	engine := f.Model.TensorRT
	if engine == nil || engine.TensorRT == "" || installed == "" || strings.HasPrefix(engine.TensorRT+".", installed+".") {
		return
	}
	f.warn("model.path: the engine was built by TensorRT %s, and %s is installed: it loads only if it was built to be version-compatible", engine.TensorRT, installed)
}

// checkDevice refuses a device that is not there, unless the file allows the CPU.
func (f *Findings) checkDevice(file *deployfile.File, machine Machine) {
	kind := file.Deployment.DeviceType
	if inference.OnCPU(kind) || len(file.Deployment.Ladder) > 0 {
		return
	}
	found, lookedFor := machine.Devices(kind)
	state := fmt.Sprintf("no %s on this machine (looked for %s)", kind, strings.Join(lookedFor, ", "))
	if len(found) > 0 {
		if state = f.unusable(found); state == "" || len(file.Deployment.Providers) > 0 {
			return // whether it really works, loading will show
		}
	}
	if f.fallsBack(file, found) {
		f.warn("deployment.device_type: %s; the CPU is used instead", state)
		return
	}
	hint := `Set deployment.device_type to "cpu", or deployment.fallback to "cpu".`
	switch {
	case f.bound() == "":
	case len(found) > 0:
		hint = "Give the device what it lacks here, or deploy the model that it was made from."
	default:
		hint = "Deploy it where such a device is, or deploy the model that it was made from."
	}
	f.problem(fault.Unsupported, "deployment.device_type", hint, "%s", state)
}

// bound is the one kind of device that the model can run on at all, or "": an engine, and
// what was compiled for the Edge TPU, run nowhere else.
func (f *Findings) bound() string {
	switch {
	case f.Model == nil:
		return ""
	case f.Model.Format == modelfile.TensorRT:
		return device.GPU
	case f.Model.TFLite != nil && f.Model.TFLite.EdgeTPU:
		return device.TPU
	}
	return ""
}

// fallsBack says whether the CPU may do for a device that cannot be used: one that is
// there but has no provider unless that is forbidden, one that is not there only
// where that is asked for. It does for no model that is bound to a device.
func (f *Findings) fallsBack(file *deployfile.File, found []device.Accelerator) bool {
	if f.bound() != "" {
		return false
	}
	return file.Deployment.Fallback == "cpu" || len(found) > 0 && file.Deployment.Fallback != "none"
}

// usable returns the first device that the runtime lacks nothing for, and by which
// of its providers.
func (f *Findings) usable(found []device.Accelerator) (device.Accelerator, device.Candidate, bool) {
	for _, a := range found {
		for _, c := range a.Candidates {
			if c.Runtime == f.Runtime && len(c.Missing) == 0 {
				return a, c, true
			}
		}
	}
	return device.Accelerator{}, device.Candidate{}, false
}

// unusable says why none of the devices can be used by the runtime, or "".
func (f *Findings) unusable(found []device.Accelerator) string {
	if _, _, ok := f.usable(found); ok {
		return ""
	}
	var reasons []string
	for _, a := range found {
		lacks := fmt.Sprintf("%s is not made for it", f.Runtime)
		for _, c := range a.Candidates {
			if c.Runtime == f.Runtime {
				lacks = fmt.Sprintf("%s lacks: %s", c.Provider, strings.Join(c.Missing, ", "))
				break // the one that serves it best
			}
		}
		reasons = append(reasons, fmt.Sprintf("%s is there, but %s", a.Label(), lacks))
	}
	return strings.Join(reasons, "; ")
}

// checkResources compares what the file asks for with what is free.
func (f *Findings) checkResources(file *deployfile.File, machine Machine) {
	const mib = 1 << 20
	limit := int64(file.Deployment.MemoryLimitMB) * mib
	if free, err := machine.AvailableMemory(); err != nil {
		f.warn("deployment.memory_limit_mb: free memory could not be read: %v", err)
	} else if limit > free {
		f.problem(fault.Exhausted, "deployment.memory_limit_mb",
			"Lower the limit, undeploy a model that is no longer needed, or, to replace a version that serves, set deployment.strategy to stop-then-start.",
			"%d MB must be free before the load, %d MB are", file.Deployment.MemoryLimitMB, free/mib)
	}
	if f.Model != nil && f.Model.MemoryEstimate > limit {
		f.warn("deployment.memory_limit_mb: the model is estimated to need %d MB, the limit is %d MB",
			(f.Model.MemoryEstimate+mib-1)/mib, file.Deployment.MemoryLimitMB)
	}
	f.Threads = f.threads(file, machine)
}

// threads is the budget that the file gets on this machine.
func (f *Findings) threads(file *deployfile.File, machine Machine) int {
	asked, cpus := file.Deployment.CPUThreads, machine.CPUs()
	switch {
	case asked > cpus:
		f.warn("deployment.cpu_threads: %d asked for, this machine has %d: %d used", asked, cpus, cpus)
		return cpus
	case asked > 0:
		return asked
	case file.Deployment.DeviceType == "embedded":
		return 1
	case file.Deployment.DeviceType == "mobile":
		return max(1, cpus/2)
	}
	return cpus
}

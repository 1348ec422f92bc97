package deploy

import (
	"fmt"
	"slices"
	"strings"

	"verge/internal/choice"
	"verge/internal/deployfile"
	"verge/internal/device"
	"verge/internal/device/provider"
	"verge/internal/fault"
	"verge/internal/modelfile"
)

// Choice is one thing that a deployment settles: what is taken, and why.
type Choice struct {
	Taken string `json:"taken"` // "" where nothing can be
	Why   string `json:"why"`
}

// Alternative is another way to run the same file, and what it lacks here.
type Alternative struct {
	Runtime  string   `json:"runtime"`
	Provider string   `json:"provider"`
	Device   string   `json:"device"` // "cpu", or the accelerator's name
	Missing  []string `json:"missing"`
	How      string   `json:"how,omitempty"` // the keys that ask for it; "" where it lacks something
}

// Explanation says what would be taken to run a model on a machine. Nothing was
// loaded for it: a library may refuse what it promises.
type Explanation struct {
	Format    Choice `json:"format"`
	Precision Choice `json:"precision"`
	Runtime   Choice `json:"runtime"`
	Device    Choice `json:"device"`
	Provider  Choice `json:"provider"`
	Threads   Choice `json:"threads"`
	Memory    Choice `json:"memory"`

	// Ways are what would be tried, in this order, where the file leaves something to
	// choose: variants, a ladder, or an optimization_level that measures.
	Ways []choice.Way `json:"ways,omitempty"`

	Alternatives []Alternative `json:"alternatives"`
}

// Explain says what Check has found, and why it would be taken.
func (f *Findings) Explain(file *deployfile.File, machine Machine, libraries Libraries) *Explanation {
	x := &Explanation{Alternatives: []Alternative{}}
	if f.Model == nil {
		why := "the model cannot be read"
		if len(f.Problems) > 0 {
			why += ": " + f.Problems[0].Message
		}
		x.Format = Choice{Why: why}
		return x
	}
	x.Format = Choice{string(f.Model.Format), "the file's bytes"}
	x.Precision = precision(f.Model)
	x.Runtime = f.explainRuntime(file, libraries)
	x.Device, x.Provider = f.explainDevice(file, machine)
	x.Threads = f.explainThreads(file, machine)
	const mib = 1 << 20
	x.Memory = Choice{
		fmt.Sprintf("about %d MB of %d MB", (f.Model.MemoryEstimate+mib-1)/mib, file.Deployment.MemoryLimitMB),
		"the model's file, parameters and values, of deployment.memory_limit_mb; the library takes more",
	}
	if chooses(file) {
		x.Ways = slices.Concat(f.plan(file, machine, libraries).Rungs...)
	}
	f.alternatives(x, file, machine, libraries)
	return x
}

// precision says in which numbers the model computes, as its file has it.
func precision(m *modelfile.Info) Choice {
	p, why := m.Precision()
	return Choice{p, why}
}

// explainRuntime says which library runs the model.
func (f *Findings) explainRuntime(file *deployfile.File, libraries Libraries) Choice {
	name, why := defaultRuntime(file, f.Model)
	if f.Runtime != name {
		why = "runs " + string(f.Model.Format) + " too, and the default one is not installed"
	}
	taken := f.Runtime + " " + why
	if file.Deployment.Runtime != "" {
		why = "deployment.runtime says so"
		taken = "deployment.runtime is " + f.Runtime
	}
	version, err := libraries(f.Runtime)
	switch {
	case err != nil:
		return Choice{"", fmt.Sprintf("%s, but %s", taken, fault.Message(err))}
	case version != "":
		return Choice{f.Runtime + " " + version, why}
	}
	return Choice{f.Runtime, why}
}

// explainDevice says where the model runs, and by which of the runtime's providers.
func (f *Findings) explainDevice(file *deployfile.File, machine Machine) (where, by Choice) {
	kind := file.Deployment.DeviceType
	if named := namedProviders(file); named != "" {
		return Choice{kind, "deployment.device_type is " + kind}, Choice{named, "deployment.providers names it; loading will show whether it works"}
	}
	if ladder := file.Deployment.Ladder; len(ladder) > 0 {
		return Choice{"the first that will do", "deployment.ladder is " + strings.Join(ladder, ", ")}, Choice{"that of the device", "deployment.ladder"}
	}
	cpu := Choice{provider.OnCPU(f.Runtime, file.Deployment.OptimizationLevel), "optimization_level " + fmt.Sprint(file.Deployment.OptimizationLevel)}
	if kind == "cpu" || kind == "mobile" || kind == "embedded" {
		return Choice{"cpu", "deployment.device_type is " + kind}, cpu
	}
	found, lookedFor := machine.Devices(kind)
	why := fmt.Sprintf("no %s on this machine (looked for %s)", kind, strings.Join(lookedFor, ", "))
	if len(found) > 0 {
		if a, c, ok := f.usable(found); ok {
			return Choice{a.Label(), "deployment.device_type is " + kind}, Choice{c.Provider, "nothing that it needs is missing; loading will show whether it works"}
		}
		why = f.unusable(found)
	}
	if !f.fallsBack(file, found) {
		return Choice{"", why}, Choice{"", "there is no device"}
	}
	if file.Deployment.Fallback == "cpu" {
		return Choice{"cpu", why + "; deployment.fallback is cpu"}, cpu
	}
	return Choice{"cpu", why + "; the CPU takes the place of a device that is there and cannot be used, unless deployment.fallback is none"}, cpu
}

// explainThreads says how many requests are computed at a time.
func (f *Findings) explainThreads(file *deployfile.File, machine Machine) Choice {
	why := fmt.Sprintf("this machine has %d", machine.CPUs())
	switch asked := file.Deployment.CPUThreads; {
	case asked > 0:
		why = fmt.Sprintf("deployment.cpu_threads is %d, %s", asked, why)
	case file.Deployment.DeviceType == "embedded" || file.Deployment.DeviceType == "mobile":
		why = "deployment.device_type is " + file.Deployment.DeviceType + ", " + why
	}
	how := "; so many requests are computed at a time, on one thread each"
	if file.Deployment.OptimizationLevel >= levelMeasured && f.Threads > 1 {
		how = "; so many requests are computed at a time on one thread each, or one on all of them, as it is measured"
	}
	return Choice{fmt.Sprint(f.Threads), why + how}
}

// alternatives lists the other runtimes on the CPU, and every accelerator with the
// runtimes that run the format.
func (f *Findings) alternatives(x *Explanation, file *deployfile.File, machine Machine, libraries Libraries) {
	runtimes := RuntimesOf(f.Model.Format)
	for _, name := range runtimes {
		if name == f.Runtime && x.Device.Taken == "cpu" {
			continue
		}
		a := Alternative{Runtime: name, Provider: provider.OnCPU(name, file.Deployment.OptimizationLevel), Device: "cpu", Missing: []string{}, How: f.keys(file, "cpu", name)}
		if a.Provider == "" || f.bound() != "" {
			continue // it has none, or the model needs more
		}
		if why := unfit(name, f.Model); why != "" {
			a.Missing, a.How = append(a.Missing, why), ""
		} else if _, err := libraries(name); err != nil {
			a.Missing, a.How = append(a.Missing, name+" is not installed"), ""
		} else if a.How == "" {
			continue // no key stands against it: it is what is tried
		}
		x.Alternatives = append(x.Alternatives, a)
	}
	for _, kind := range device.Kinds() {
		found, _ := machine.Devices(kind)
		for _, accelerator := range found {
			for _, c := range accelerator.Candidates {
				taken := c.Runtime == f.Runtime && accelerator.Label() == x.Device.Taken && c.Provider == x.Provider.Taken
				if taken || !slices.Contains(runtimes, c.Runtime) {
					continue
				}
				a := Alternative{Runtime: c.Runtime, Provider: c.Provider, Device: accelerator.Label(), Missing: c.Missing}
				if why := unfit(c.Runtime, f.Model); why != "" {
					a.Missing = append(slices.Clone(c.Missing), why)
				}
				if len(a.Missing) == 0 {
					a.How = f.keys(file, kind, c.Runtime)
				}
				x.Alternatives = append(x.Alternatives, a)
			}
		}
	}
}

// keys are those that would have to be set to run the model on that kind of device by
// that runtime.
func (f *Findings) keys(file *deployfile.File, kind, runtime string) string {
	var keys []string
	if asked := file.Deployment.DeviceType; asked != kind && (kind != "cpu" || asked != "mobile" && asked != "embedded") {
		keys = append(keys, "deployment.device_type: "+kind)
	}
	if runtime != f.Runtime {
		keys = append(keys, "deployment.runtime: "+runtime)
	}
	return strings.Join(keys, ", ")
}

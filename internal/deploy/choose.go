package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"verge/client"
	"verge/internal/choice"
	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/device"
	"verge/internal/device/provider"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

// What a choice may cost, and how far its answers may be off.
const (
	choiceBudget  = 60 * time.Second
	choiceProbes  = 4    // seeded requests, where there are no golden ones
	leastCosine   = 0.99 // of answers in another precision than the model's own
	levelMeasured = 2    // the optimization_level that measures
)

// chooses says whether there is anything to choose for a deployment file: other files,
// a ladder, or a level that measures.
func chooses(file *deployfile.File) bool {
	return len(file.Model.Variants) > 0 || len(file.Deployment.Ladder) > 0 || file.Deployment.OptimizationLevel >= levelMeasured
}

// rung is a device, and the precision that is wanted there or "" for any.
type rung struct{ device, precision string }

// rungs are those of the deployment file: without a ladder, its own device type alone.
func rungs(file *deployfile.File) []rung {
	if len(file.Deployment.Ladder) == 0 {
		return []rung{{file.Deployment.DeviceType, ""}}
	}
	all := make([]rung, len(file.Deployment.Ladder))
	for i, text := range file.Deployment.Ladder {
		all[i].device, all[i].precision, _ = strings.Cut(text, " ")
	}
	return all
}

// plan lists the ways to run the files of a deployment on this machine.
func (f *Findings) plan(file *deployfile.File, machine Machine, libraries Libraries) choice.Plan {
	d := file.Deployment
	p := choice.Plan{
		Fastest: d.OptimizationLevel >= levelMeasured, Budget: choiceBudget, LatencyMS: d.MaxLatencyMS, MemoryMB: d.MemoryLimitMB,
		Tolerance: max(file.Tests.Functional.Tolerance, 1e-4), Cosine: leastCosine,
		Golden: hasGolden(file), Ladder: len(d.Ladder) > 0,
	}
	ways := waysOf{findings: f, file: file, machine: machine, libraries: libraries}
	for _, r := range rungs(file) {
		all := ways.ofAll(r)
		if len(all) == 0 && !p.Ladder && d.Fallback != "none" { // checkDevice has warned of it
			all = ways.ofAll(rung{"cpu", ""})
		}
		p.Rungs = append(p.Rungs, all)
	}
	p.Reference = ways.reference(p.Rungs)
	return p
}

// reference is the way whose answers count as right: the model's own file on the CPU, in
// the runtime that the deployment file names, else in the default one. Where that cannot
// be, it is the first way to run that file, or else the first way of all.
func (w waysOf) reference(rungs [][]choice.Way) choice.Way {
	runtime, all := w.findings.Runtime, slices.Concat(rungs...)
	_, missing := w.libraries(runtime)
	if missing != nil || provider.OnCPU(runtime, 1) == "" || w.findings.bound() != "" {
		if i := slices.IndexFunc(all, func(way choice.Way) bool { return way.Variant == 0 }); i >= 0 {
			return all[i]
		}
		if len(all) > 0 {
			return all[0]
		}
	}
	return w.on(0, rung{"cpu", ""}, runtime, "", 1, 1)
}

// ofAll returns the ways to run each of the files on a rung.
func (w waysOf) ofAll(r rung) (all []choice.Way) {
	for i := range w.findings.files() {
		all = append(all, w.of(i, r)...)
	}
	return all
}

// files are the model's own file and its variants, of which those are nil that could
// not be read.
func (f *Findings) files() []*modelfile.Info {
	return append([]*modelfile.Info{f.Model}, f.Variants...)
}

// waysOf makes the ways of a deployment.
type waysOf struct {
	findings  *Findings
	file      *deployfile.File
	machine   Machine
	libraries Libraries
}

// of returns the ways to run one file on a rung.
func (w waysOf) of(variant int, r rung) []choice.Way {
	info := w.findings.files()[variant]
	if info == nil {
		return nil
	}
	if precision, _ := info.Precision(); r.precision != "" && r.precision != precision {
		return nil
	}
	var all []choice.Way
	for _, runtime := range w.runtimes(info) {
		provider, ok := w.provider(r.device, runtime)
		if !ok {
			continue
		}
		for _, shape := range w.shapes() {
			way := w.on(variant, r, runtime, provider, shape[0], shape[1])
			way.Named = len(w.file.Deployment.Providers) > 0
			all = append(all, way)
		}
	}
	return all
}

// runtimes are those that are tried for a file, of those that are installed: the one that
// the file asks for, else the default one, and where it is to be measured all.
func (w waysOf) runtimes(info *modelfile.Info) []string {
	d := w.file.Deployment
	all := []string{runtimeOf(w.file, info)} // a runtime that is asked for may be of another format than the model's own
	if d.Runtime == "" && d.OptimizationLevel >= levelMeasured && len(d.Providers) == 0 {
		all = fitting(info)
	}
	return slices.DeleteFunc(all, func(name string) bool {
		_, err := w.libraries(name)
		return err != nil || unfit(name, info) != ""
	})
}

// provider returns the provider by which a runtime uses a kind of device, and whether
// it can be tried here.
func (w waysOf) provider(kind, runtime string) (name string, ok bool) {
	if named := namedProviders(w.file); named != "" {
		return named, true
	}
	if inference.OnCPU(kind) {
		return "", provider.OnCPU(runtime, 1) != ""
	}
	found, _ := w.machine.Devices(kind)
	_, c, ok := (&Findings{Runtime: runtime}).usable(found)
	return c.Provider, ok
}

// namedProviders are the names of deployment.providers, "" for none.
func namedProviders(file *deployfile.File) string {
	var names []string
	for _, p := range file.Deployment.Providers {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// checkLadder tells the rungs with which nothing can be tried, and why. One that can be
// is needed.
func (f *Findings) checkLadder(file *deployfile.File, machine Machine, libraries Libraries) {
	if f.Model == nil || len(file.Deployment.Ladder) == 0 {
		return
	}
	ways := waysOf{findings: f, file: file, machine: machine, libraries: libraries}
	var empty []string
	for i, r := range rungs(file) {
		if len(ways.ofAll(r)) == 0 {
			empty = append(empty, fmt.Sprintf("%s: %s", file.Deployment.Ladder[i], ways.why(r)))
		}
	}
	if len(empty) == len(file.Deployment.Ladder) {
		f.problem(fault.Unsupported, "deployment.ladder", "Add a rung that this device and these files have, such as cpu.",
			"no rung fits: %s", strings.Join(empty, "; "))
		return
	}
	for _, text := range empty {
		f.warn("deployment.ladder: nothing is tried on %s", text)
	}
}

// why says why there is no way on a rung.
func (w waysOf) why(r rung) string {
	var found []device.Accelerator
	if !inference.OnCPU(r.device) {
		if found, _ = w.machine.Devices(r.device); len(found) == 0 {
			return fmt.Sprintf("no %s on this machine", r.device)
		}
	}
	var files []string
	for i, info := range w.findings.files() {
		if info == nil {
			continue
		}
		precision, _ := info.Precision()
		if r.precision == "" || precision == r.precision {
			files = nil
			break
		}
		files = append(files, fmt.Sprintf("%s is %s", w.on(i, r, "", "", 1, 1).File, precision))
	}
	if files != nil {
		return fmt.Sprintf("no file is %s, %s", r.precision, strings.Join(files, ", "))
	}
	if why := w.findings.unusable(found); why != "" {
		return why
	}
	return "no runtime that is here runs these files there"
}

// shapes are how a budget of threads may be spent: threads of one run, runs at a time.
// Only where it is to be measured, one run on all threads is among them.
func (w waysOf) shapes() [][2]int {
	n := w.findings.Threads
	if n == 1 || w.file.Deployment.OptimizationLevel < levelMeasured {
		return [][2]int{{1, n}}
	}
	return [][2]int{{1, n}, {n, 1}}
}

// on is one way.
func (w waysOf) on(variant int, r rung, runtime, provider string, threads, parallel int) choice.Way {
	info := w.findings.files()[variant]
	path := w.file.Model.Path
	if variant > 0 {
		path = w.file.Model.Variants[variant-1].Path
	}
	precision, _ := info.Precision()
	return choice.Way{
		Variant: variant, File: path, Format: string(info.Format), Precision: precision, Runtime: runtime,
		Device: r.device, Provider: provider, Threads: threads, Parallel: parallel,
	}
}

// choose finds the way to run the model, where the file leaves something to choose:
// one that is remembered for the same files on the same machine, else by trying.
func (r *run) choose(ctx context.Context) error {
	if !chooses(r.file) {
		return nil
	}
	plan := r.findings.plan(r.file, r.m.host.Machine, r.m.host.Libraries)
	key := r.choiceKey(plan)
	if known, err := r.m.store.choice(key); err == nil && known != nil {
		r.way, r.remembered = &known.Taken, key
		r.verdict(r.choiceVerdict(client.OutcomePass, fmt.Sprintf("%s, as measured on %s", known.Taken, known.Time.Format(time.DateOnly))))
		return nil
	}
	return r.chooseAnew(ctx, plan, key)
}

// chooseAnew finds the way to run the model by trying. It is remembered when the version
// that runs so is activated.
func (r *run) chooseAnew(ctx context.Context, plan choice.Plan, key string) error {
	result, err := choice.Choose(ctx, r.choiceEnv(), plan)
	for _, note := range result.Notes {
		r.warn(note)
	}
	r.tell(result)
	if err != nil {
		return err
	}
	r.way, r.chosen = &result.Taken, key
	return nil
}

// rememberChoice keeps the way that was found by trying.
func (r *run) rememberChoice() {
	if r.chosen == "" {
		return
	}
	if err := r.m.store.remember(r.chosen, remembered{Taken: *r.way, Time: r.m.host.Now()}); err != nil {
		r.m.host.Log.Warn("a choice was not remembered", "deployment_id", r.d.ID, "err", err)
	}
}

// forgetChoice forgets the remembered choice that this deployment followed: the next one
// chooses anew.
func (r *run) forgetChoice() {
	if r.remembered == "" {
		return
	}
	if err := r.m.store.unchoose(r.remembered); err != nil {
		r.m.host.Log.Warn("a choice was not forgotten", "deployment_id", r.d.ID, "err", err)
	}
	r.remembered = ""
}

// tell reports every way that was tried, the one that was taken first.
func (r *run) tell(result choice.Result) {
	trials := slices.Clone(result.Trials)
	slices.SortStableFunc(trials, func(a, b choice.Trial) int { return rank(a.Outcome) - rank(b.Outcome) })
	for _, t := range trials {
		outcome := client.OutcomeFail
		switch t.Outcome {
		case choice.Taken:
			outcome = client.OutcomePass
		case choice.Slower, choice.Untried:
			outcome = client.OutcomeSkipped
		case choice.Refused, choice.Failed:
		}
		v := r.choiceVerdict(outcome, fmt.Sprintf("%s: %s", t.Way, t.Reason))
		if f := t.Figures; f != nil {
			v.Figures = map[string]float64{"p50_ms": f.P50MS, "p95_ms": f.P95MS, "peak_mb": f.PeakMB, "load_ms": f.LoadMS}
			v.Figure, v.Unit = &f.P95MS, "ms"
			if f.Throughput > 0 {
				v.Figures["throughput_rps"] = f.Throughput
				v.Figure, v.Unit = &f.Throughput, "requests/s"
			}
		}
		r.verdict(v)
	}
}

func rank(o choice.Outcome) int {
	return slices.Index([]choice.Outcome{choice.Taken, choice.Slower, choice.Refused, choice.Failed, choice.Untried}, o)
}

func (r *run) choiceVerdict(outcome client.Outcome, detail string) client.Verdict {
	return client.Verdict{
		Gate: gate.GateChoice, Outcome: outcome, Time: r.m.host.Now(), Device: r.m.host.Device, Detail: detail,
		How: "loaded beside what serves, asked inside the node, one at a time and as many at a time as it runs",
	}
}

// choiceEnv is this node for a choice.
func (r *run) choiceEnv() choice.Env {
	return choice.Env{
		Name: r.version(), Load: r.loadWay, Probes: r.choiceInputs, Now: r.m.host.Now,
		Peak: func(s inference.Session) (int64, error) {
			used, err := r.m.host.memory(s)
			return used.PeakBytes, err
		},
		Progress: func(_ choice.Way, number, of int) {
			r.progress(client.Progress{Step: gate.GateChoice, Done: int64(number), Total: int64(of)})
		},
	}
}

// version returns "digits@3".
func (r *run) version() string { return fmt.Sprintf("%s@%d", r.d.Model, r.d.Version) }

// loadWay loads one way, in a process of its own whatever the file's isolation is: one
// that crashes is refused, and hurts nobody.
func (r *run) loadWay(ctx context.Context, w choice.Way) (choice.Loaded, error) {
	files, err := r.m.open(r.req.Artifacts, w.Variant)
	if err != nil {
		return choice.Loaded{}, err
	}
	rel := &release{Version: r.d.Version, Way: &w}
	rt, err := r.m.host.Runtime(w.Runtime, deployfile.IsolationProcess)
	var session inference.Session
	if err == nil {
		o := r.m.options(r.file, rel, r.d.Model, r.threads)
		o.Profile, o.Fallback = "", "none" // a way that is not what it says is none
		session, err = rt.Load(ctx, files.named(r.version()), o)
	}
	if err == nil {
		if err = asDeclared(r.findings.files()[w.Variant], session.Signature(), w.Runtime); err != nil {
			session.Close() //nolint:errcheck,gosec // it is refused
		}
	}
	if err != nil {
		files.close() //nolint:errcheck,gosec // only read
		return choice.Loaded{}, err
	}
	return choice.Loaded{Session: session, Close: func() error { return errors.Join(session.Close(), files.close()) }}, nil
}

// choiceInputs are the requests that ways are asked: the golden cases, else seeded
// inputs.
func (r *run) choiceInputs(g inference.Signature) ([]choice.Probe, error) {
	cases, err := r.m.golden(r.file, r.req.Artifacts[roleGolden], g)
	if err != nil {
		return nil, err
	}
	metadata := r.findings.metadata()
	first, _, err := probe(r.file, g, metadata, cases)
	if err != nil {
		return nil, err
	}
	all := []choice.Probe{{Inputs: first}}
	if len(cases) > 0 {
		for _, c := range cases[:min(len(cases), choiceProbes)] {
			all = append(all, choice.Probe{Inputs: c.Inputs, Outputs: c.Outputs})
		}
		return all, nil
	}
	shapes, err := requestShapes(r.file, g, metadata)
	if err != nil {
		return nil, err
	}
	for seed := 1; seed < choiceProbes; seed++ {
		var inputs []tensor.Tensor
		for i, spec := range g.Inputs {
			inputs = append(inputs, dataset.Seeded(spec, shapes[i], uint64(seed)))
		}
		all = append(all, choice.Probe{Inputs: inputs})
	}
	return all, nil
}

// choiceKey is a digest of all that a choice depends on: the files, the plan with its
// limits, the versions of the libraries, and the machine.
func (r *run) choiceKey(plan choice.Plan) string {
	versions := map[string]string{}
	for _, way := range slices.Concat(plan.Rungs...) {
		version, err := r.m.host.Libraries(way.Runtime)
		if err == nil {
			versions[way.Runtime] = version
		}
	}
	text, err := json.Marshal(struct {
		Artifacts map[string]string
		Plan      choice.Plan
		Versions  map[string]string
		Device    string
		Batch     int
		Shapes    map[string][]int64
		Providers []deployfile.Provider
	}{r.req.Artifacts, plan, versions, r.m.host.Device, r.file.Deployment.BatchSize, r.file.Model.InputShapes, r.file.Deployment.Providers})
	if err != nil {
		return "" // never: it is plain data
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// remembered is a choice as the state file keeps it.
type remembered struct {
	Taken choice.Way `json:"taken"`
	Time  time.Time  `json:"time"`
}

package deploy

import (
	"context"

	"verge/client"
	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
)

// samplesKey is where a deployment file names a data set.
const samplesKey = "accuracy.dataset"

// accuracy measures how right the candidate answers, where the file says on what; beside
// the version that serves now, which is nil where none does.
func (r *run) accuracy(ctx context.Context, serving gate.Version) ([]client.Verdict, error) {
	a := r.file.Accuracy
	if a == nil {
		return nil, nil
	}
	data := map[string][]byte{}
	for _, role := range []string{roleSamples, roleClasses} {
		if digest := r.req.Artifacts[role]; digest != "" {
			memory, err := r.m.data(role, digest)
			if err != nil {
				return nil, err
			}
			defer memory.Close() //nolint:errcheck // only read
			data[role] = memory.Bytes()
		}
	}
	g := r.candidate.Version.Signature()
	set, err := readSamples(r.file, data[roleSamples], dataset.SamplesFor{
		Signature: g, Preprocess: preprocessFor(r.file, g, r.candidate.Preprocess), Classes: r.candidate.Labels, Labels: data[roleClasses],
	})
	if err != nil {
		return nil, &fault.Error{Kind: fault.KindOf(err), Op: "deploy.accuracy", Subject: samplesKey, Hint: fault.HintOf(err), Err: err}
	}
	return gate.Accuracy(ctx, r.env(), r.candidate.Version, serving, set, gate.AccuracyPlan{
		Metric: a.Metric, Min: a.Min, Max: a.Max, MaxDrop: a.MaxDrop, Tolerance: a.Tolerance,
	}), nil
}

// readSamples reads a data set, which must know what the metric compares with.
func readSamples(file *deployfile.File, data []byte, f dataset.SamplesFor) (*dataset.Samples, error) {
	set, err := dataset.ReadSamples(data, f)
	if err != nil {
		return nil, err
	}
	classes, outputs := set.Known()
	metric, want := file.Accuracy.Metric, "outputs"
	has := outputs
	if metric == gate.MetricTop1 || metric == gate.MetricTop5 {
		has, want = classes, "classes"
	}
	if !has {
		return nil, fault.New(fault.Invalid, "deploy.accuracy", "the metric %s compares with known %s, and the data set has none", metric, want).
			WithHint("Give such a data set, or another accuracy.metric.")
	}
	return set, nil
}

// preprocessFor says how pictures become inputs: as the deployment file says, else as the
// model's own file does.
func preprocessFor(file *deployfile.File, g inference.Signature, embedded map[string]client.Preprocess) map[string]*deployfile.Preprocess {
	all := map[string]*deployfile.Preprocess{}
	for _, spec := range g.Inputs {
		switch p, ok := embedded[spec.Name]; {
		case file.Model.Preprocess != nil:
			all[spec.Name] = file.Model.Preprocess
		case ok:
			all[spec.Name] = &deployfile.Preprocess{Mean: p.Mean, Scale: p.Scale}
		}
	}
	return all
}

package deploy

import (
	"fmt"

	"verge/internal/choice"
	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

// CheckDigests holds the digests of the model's files, by their parts, against those
// that the file asks for, where it does.
func (f *Findings) CheckDigests(file *deployfile.File, artifacts map[string]string) {
	check := func(key, want, digest string) {
		if want != "" && "sha256:"+want != digest {
			f.problem(fault.Corrupt, key, fmt.Sprintf("Correct %s, or deploy the file that it names.", key), "the model's bytes have %s", digest)
		}
	}
	check("model.sha256", file.Model.SHA256, artifacts[roleModel])
	for i, v := range file.Model.Variants {
		role, _ := rolesOf(i + 1)
		check(fmt.Sprintf("model.variants[%d].sha256", i), v.SHA256, artifacts[role])
	}
}

// checkVariants reads the variants' files as far as Go can. One of another signature is
// told: nothing would take it. With OpenVINO names are not those of every file.
func (f *Findings) checkVariants(file *deployfile.File, variants []modelfile.File) {
	for i, v := range variants {
		key := fmt.Sprintf("model.variants[%d].path", i)
		f.checkSize(file, key, v)
		info, err := modelfile.Inspect(v, modelfile.DefaultLimits())
		if err != nil {
			f.fault(key, err)
		}
		f.Variants = append(f.Variants, info) // nil with the error
		if info == nil || f.Model == nil || file.Deployment.Runtime == "openvino" ||
			len(info.Signature.Inputs) == 0 || len(f.Model.Signature.Inputs) == 0 { // an engine declares none
			continue
		}
		if reason := choice.Differs(f.Model.Signature, info.Signature); reason != "" {
			f.warn("%s: %s will not be taken: %s", key, file.Model.Variants[i].Path, reason)
		}
	}
}

// CheckData reads the files beside the model, by their part, and holds the golden cases
// and the data set against what the model's file declares, where it does.
func (f *Findings) CheckData(file *deployfile.File, data map[string][]byte) {
	names := f.checkLabels(data[roleLabels])
	g, declared := f.declared(file)
	for _, output := range g.Outputs {
		declared = declared && output.DType != tensor.Invalid
	}
	if golden := data[roleGolden]; golden != nil {
		f.checkGolden(file, golden, g, declared)
	}
	if samples := data[roleSamples]; samples != nil && declared {
		plan := dataset.SamplesFor{Signature: g, Preprocess: preprocessFor(file, g, nil), Classes: names, Labels: data[roleClasses]}
		if _, err := readSamples(file, samples, plan); err != nil {
			f.fault(samplesKey, err)
		}
	}
}

// checkLabels reads the names of classes, nil for none.
func (f *Findings) checkLabels(labels []byte) []string {
	if labels == nil {
		return nil
	}
	names, err := dataset.ReadLabels(labels)
	if err != nil {
		f.fault("model.labels", err)
	} else if output, values := f.scores(); values > 1 && values != len(names) {
		f.warn("model.labels: it has %d names, and output %q has %d values: no class will be named", len(names), output, values)
	}
	return names
}

// checkGolden reads golden cases for a model of signature g, if that is declared.
func (f *Findings) checkGolden(file *deployfile.File, golden []byte, g inference.Signature, declared bool) {
	var err error
	if declared {
		_, err = goldenCases(g, golden, file.Deployment.BatchSize)
	} else {
		_, err = dataset.ReadNPZ(golden)
	}
	if err != nil {
		f.fault(goldenKey, err)
	}
}

// scores returns the first output and how many values it has for one sample, where the
// model's file says so in one row; else 0.
func (f *Findings) scores() (name string, values int) {
	if f.Model == nil || len(f.Model.Signature.Outputs) == 0 {
		return "", 0
	}
	output := f.Model.Signature.Outputs[0]
	for k, dim := range output.Shape {
		if last := k == len(output.Shape)-1; last {
			return output.Name, int(max(dim, 0))
		} else if dim != 1 && (k > 0 || dim >= 0) {
			break
		}
	}
	return "", 0
}

// goldenKey is where a deployment file names golden cases.
const goldenKey = "tests.functional_test.golden"

// goldenCases reads golden cases for a model of signature g.
func goldenCases(g inference.Signature, data []byte, batch int) ([]gate.Case, error) {
	arrays, err := dataset.ReadNPZ(data)
	if err != nil {
		return nil, err
	}
	cases, err := gate.Cases(g, arrays, batch)
	if err != nil {
		return nil, &fault.Error{
			Kind: fault.KindOf(err), Op: "deploy.golden", Err: err,
			Hint: "Name the arrays of the npz file as the model's inputs and outputs; verge inspect shows them.",
		}
	}
	return cases, nil
}

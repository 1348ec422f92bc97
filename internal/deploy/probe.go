package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/gate"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// hasGolden says whether a deployment file names golden cases that count.
func hasGolden(file *deployfile.File) bool {
	return file.Tests.Functional.Enabled && file.Tests.Functional.Golden != ""
}

// golden reads the golden cases of a deployment, where it has any. Warm-up, gates
// and health checks ask what they hold, since a model need not take what is made
// up: an index may be out of its range, a divisor zero.
func (m *Manager) golden(file *deployfile.File, digest string, g inference.Signature) ([]gate.Case, error) {
	if digest == "" || !hasGolden(file) {
		return nil, nil
	}
	memory, err := m.host.Artifacts.Load(digest)
	if err != nil {
		return nil, err
	}
	defer memory.Close() //nolint:errcheck // only read
	cases, err := goldenCases(g, memory.Bytes(), file.Deployment.BatchSize)
	if err != nil {
		return nil, &fault.Error{Kind: fault.KindOf(err), Op: "deploy.golden", Subject: goldenKey, Hint: fault.HintOf(err), Err: err}
	}
	return cases, nil
}

// probe returns one request of the promised batch size, and where it comes from:
// the first golden case, its rows repeated where they are fewer, else seeded inputs.
// It fails as requestShapes does.
func probe(file *deployfile.File, g inference.Signature, metadata map[string]string, cases []gate.Case) (inputs []tensor.Tensor, source string, err error) {
	shapes, err := requestShapes(file, g, metadata)
	if err != nil {
		return nil, "", err
	}
	if len(cases) > 0 {
		var repeated bool
		if inputs, repeated = repeat(cases[0].Inputs, shapes); inputs != nil {
			source = "golden inputs, " + cases[0].Name
			if repeated {
				source += ", repeated"
			}
			return inputs, source, nil
		}
	}
	for i, spec := range g.Inputs {
		inputs = append(inputs, dataset.Seeded(spec, shapes[i], 0))
	}
	return inputs, "seeded inputs (seed 0)", nil
}

// question returns a digest of a probe: an answer that was kept is known only to the
// probe that it was given to, and another version of this program may ask another.
func question(inputs []tensor.Tensor) string {
	sum := sha256.New()
	for _, t := range inputs {
		fmt.Fprintf(sum, "%q %s %v %d\n", t.Name, t.DType, t.Shape, len(t.Data))
		_, _ = sum.Write(t.Data) // never fails
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// repeat copies inputs to the given shapes, and says whether their rows had to be
// repeated for that. It returns nil where more than the number of rows differs.
func repeat(inputs []tensor.Tensor, shapes [][]int64) (copied []tensor.Tensor, repeated bool) {
	for i, t := range inputs {
		want := shapes[i]
		if slices.Equal(t.Shape, want) {
			copied = append(copied, tensor.Tensor{Name: t.Name, DType: t.DType, Shape: want, Data: bytes.Clone(t.Data)})
			continue
		}
		if len(t.Shape) != len(want) || len(want) == 0 || !slices.Equal(t.Shape[1:], want[1:]) || t.Shape[0] == 0 {
			return nil, false
		}
		row := len(t.Data) / int(t.Shape[0])
		data := make([]byte, 0, row*int(want[0]))
		for range want[0] {
			at := len(data) % len(t.Data)
			data = append(data, t.Data[at:at+row]...)
		}
		copied = append(copied, tensor.Tensor{Name: t.Name, DType: t.DType, Shape: want, Data: data})
		repeated = true
	}
	return copied, repeated
}

// warmUp says that it was the probe that failed.
func (s *Served) warmUp(err error) error {
	e := &fault.Error{Kind: fault.KindOf(err), Op: "deploy.warm", Subject: "warm up", Err: err}
	if e.Kind == fault.Invalid && fault.HintOf(err) == "" {
		e.Hint = fmt.Sprintf("It was asked with %s; where it does not take them, give it some that it takes: tests.functional_test.golden.", s.source)
	}
	return e
}

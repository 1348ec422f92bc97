package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/native"
)

// The files that a deployment may bring, by their part in it.
const (
	roleModel   = "model"
	roleWeights = "weights" // of a model whose format keeps them apart: the .bin of an OpenVINO model
	roleLabels  = "labels"
	roleGolden  = "golden"
	roleSamples = "accuracy.dataset"
	roleClasses = "accuracy.labels" // of the rows of an npy file
)

// DataFile is a file that a deployment brings beside its model.
type DataFile struct {
	Role string // its part in the deployment
	Key  string // that names it in the deployment file
	Path string // as it is there; "" for none
}

// DataFiles are those of a deployment file, used or not.
func DataFiles(file *deployfile.File) []DataFile {
	golden := ""
	if hasGolden(file) {
		golden = file.Tests.Functional.Golden
	}
	all := []DataFile{{roleLabels, "model.labels", file.Model.Labels}, {roleGolden, goldenKey, golden}}
	samples, classes := "", ""
	if a := file.Accuracy; a != nil {
		samples, classes = a.Dataset, a.Labels
	}
	return append(all, DataFile{roleSamples, samplesKey, samples}, DataFile{roleClasses, "accuracy.labels", classes})
}

// rolesOf are the parts of a file of the model: of its own where variant is 0, of one of
// its variants, which count from 1.
func rolesOf(variant int) (model, weights string) {
	if variant == 0 {
		return roleModel, roleWeights
	}
	model = fmt.Sprintf("variants.%d", variant-1)
	return model, model + "." + roleWeights
}

// memory holds the verified files of a model.
type memory struct {
	model   *native.Memory // nil where nothing is held
	weights *native.Memory // nil where the model has none
	digest  string         // of model, in hexadecimal
}

// open brings the files of a model, or of one of its variants, into memory.
func (m *Manager) open(artifacts map[string]string, variant int) (files memory, err error) {
	model, weights := rolesOf(variant)
	if files.model, err = m.host.Artifacts.Load(artifacts[model]); err != nil {
		return memory{}, err
	}
	files.digest = strings.TrimPrefix(artifacts[model], "sha256:")
	if digest := artifacts[weights]; digest != "" {
		if files.weights, err = m.host.Artifacts.Load(digest); err != nil {
			return memory{}, errors.Join(err, files.close())
		}
	}
	return files, nil
}

// reopen is open for a version that has served before. What the system does not give at
// once, such as a file for want of descriptors, it is asked for a few times more: nobody is
// there to ask for that version again.
func (m *Manager) reopen(ctx context.Context, artifacts map[string]string, variant int) (memory, error) {
	const (
		tries = 6
		first = 100 * time.Millisecond // doubles: 3 seconds in all
	)
	for try, pause := 1, first; ; try, pause = try+1, 2*pause {
		files, err := m.open(artifacts, variant)
		switch kind := fault.KindOf(err); {
		case err == nil, kind == fault.Corrupt, kind == fault.NotFound, kind == fault.Invalid, try == tries:
			return files, err
		}
		m.host.Log.Warn("stored model was not read, and is tried again", "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return memory{}, ctx.Err()
		}
	}
}

// data brings a file beside the model into memory, where that has a bound. It fails with
// fault.TooLarge before it reads what is beyond it.
func (m *Manager) data(role, digest string) (*native.Memory, error) {
	size, err := m.host.Artifacts.Size(digest)
	if err != nil {
		return nil, err
	}
	if limit := dataLimits[role]; size > limit {
		return nil, fault.New(fault.TooLarge, "deploy.data", "the %s file has %d bytes, the limit is %d", role, size, limit)
	}
	return m.host.Artifacts.Load(digest)
}

// dataLimits are the most bytes of files beside the model, by their part.
var dataLimits = map[string]int64{ //nolint:gochecknoglobals // a constant table
	roleLabels: dataset.MaxLabelBytes, roleGolden: dataset.MaxNPZBytes, roleSamples: dataset.MaxNPZBytes, roleClasses: dataset.MaxLabelBytes,
}

// DataLimit returns the most bytes of a file that a deployment brings beside its model, by
// its part in it, or 0 for no limit.
func DataLimit(role string) int64 { return dataLimits[role] }

// close gives the memory back. It is safe to repeat.
func (f memory) close() error {
	var errs []error
	for _, m := range []*native.Memory{f.model, f.weights} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(errs...)
}

// file is the model for a look at it.
func (f memory) file() modelfile.File {
	file := modelfile.File{Bytes: bytes.NewReader(f.model.Bytes()), Size: int64(len(f.model.Bytes()))}
	if f.weights != nil {
		file.Weights = int64(len(f.weights.Bytes()))
	}
	return file
}

// named is the model for a runtime.
func (f memory) named(name string) inference.Model {
	model := inference.Model{Name: name, Data: f.model.Bytes(), FD: f.model.FD(), Digest: f.digest}
	if f.weights != nil {
		model.Weights = &inference.Memory{Data: f.weights.Bytes(), FD: f.weights.FD()}
	}
	return model
}

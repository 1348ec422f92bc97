package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"unicode/utf8"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// order is what the node asks of a new worker.
type order struct {
	Runtime string            `json:"runtime"`
	Library string            `json:"library"`
	Model   string            `json:"model,omitempty"`   // its name
	Size    int64             `json:"size,omitempty"`    // bytes of the model
	Weights int64             `json:"weights,omitempty"` // bytes of its second file; 0 where it has none
	Digest  string            `json:"digest,omitempty"`
	Options inference.Options `json:"options,omitzero"`
}

// report is its answer.
type report struct {
	Library   inference.RuntimeInfo `json:"library"`
	Signature inference.Signature   `json:"signature"` // zero where only the library was asked about
	Session   inference.SessionInfo `json:"session"`
}

// encode returns v as JSON, bounded. What a model's own metadata makes too long
// goes without it.
func (r report) encode() ([]byte, error) {
	text, err := json.Marshal(r)
	if err == nil && len(text) > maxDocument && len(r.Session.Metadata) > 0 {
		r.Session.Metadata = nil
		text, err = json.Marshal(r)
	}
	if err == nil && len(text) > maxDocument {
		err = fault.New(fault.Unsupported, "worker.load", "the model's signature takes %d bytes, at most %d are allowed", len(text), maxDocument).
			WithHint("Give its inputs and outputs shorter names.")
	}
	return text, err
}

// parseReport reads a report and believes nothing in it.
func parseReport(text []byte) (*report, error) {
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("a report that is not as it should be: %w", err)
	}
	if err := errors.Join(checkSpecs("input", r.Signature.Inputs), checkSpecs("output", r.Signature.Outputs)); err != nil {
		return nil, err
	}
	s := &r.Session
	const most = 1 << 16
	if s.Threads < 0 || s.Threads > most || s.Parallel < 0 || s.Parallel > most || s.ModelBytes < 0 {
		return nil, fmt.Errorf("a report of %d threads, %d runs at a time, %d bytes", s.Threads, s.Parallel, s.ModelBytes)
	}
	for _, text := range []*string{&s.Runtime, &s.RuntimeVersion, &s.Device, &r.Library.Name, &r.Library.Version, &r.Library.Build} {
		*text = fault.Clean(*text)
	}
	for _, list := range [][]string{s.ProvidersRequested, s.Providers, s.Fallbacks, r.Library.Providers} {
		for i := range list {
			list[i] = fault.Clean(list[i])
		}
	}
	metadata := maps.Clone(s.Metadata)
	clear(s.Metadata)
	for key, value := range metadata {
		s.Metadata[fault.Clean(key)] = fault.Clean(value)
	}
	return &r, nil
}

func checkSpecs(kind string, specs []inference.Spec) error {
	if len(specs) > inference.MaxTensors {
		return fmt.Errorf("a report of %d %ss, at most %d are allowed", len(specs), kind, inference.MaxTensors)
	}
	for i, spec := range specs {
		switch {
		case spec.Name == "" || !utf8.ValidString(spec.Name) || len(spec.Name) > maxText:
			return fmt.Errorf("a report whose %s %d has a name of %d bytes, or not UTF-8", kind, i, len(spec.Name))
		case inference.Index(specs, spec.Name) != i:
			return fmt.Errorf("a report with two %ss named %q", kind, spec.Name)
		case spec.DType == tensor.Invalid:
			return fmt.Errorf("a report whose %s %q has no datatype", kind, spec.Name)
		case len(spec.Shape) > tensor.MaxRank || len(spec.Symbols) != 0 && len(spec.Symbols) != len(spec.Shape):
			return fmt.Errorf("a report whose %s %q has %d dimensions and %d names for them", kind, spec.Name, len(spec.Shape), len(spec.Symbols))
		}
		for _, d := range spec.Shape {
			if d < -1 {
				return fmt.Errorf("a report whose %s %q has shape %s", kind, spec.Name, inference.FormatShape(spec.Shape))
			}
		}
	}
	return nil
}

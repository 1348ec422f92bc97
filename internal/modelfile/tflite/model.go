package tflite

import (
	"cmp"
	"slices"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Model is what a TensorFlow Lite file says about itself.
type Model struct {
	SchemaVersion     int64               `json:"schema_version"`
	Description       string              `json:"description,omitempty"`
	MinRuntimeVersion string              `json:"min_runtime_version,omitempty"` // of TensorFlow Lite, such as "1.5.0"
	Signature         inference.Signature `json:"-"`                             // of the first signature, else of the first subgraph
	SignatureKeys     []string            `json:"signature_keys,omitempty"`      // of all signatures, in the file's order; the first is served
	Subgraphs         int                 `json:"subgraphs"`
	ServedSubgraph    int                 `json:"served_subgraph"` // index of the one that Signature is of

	Operators []OperatorCount `json:"operators"` // most frequent first, then by name and version
	Nodes     int             `json:"nodes"`     // sum of Operators
	EdgeTPU   bool            `json:"edge_tpu"`  // compiled for the Edge TPU: cannot run without it
	EthosU    bool            `json:"ethos_u"`   // compiled by Vela for an Ethos-U: cannot run without it
	Stateful  bool            `json:"stateful"`  // keeps values from one run to the next, in tensors or in variables

	// VariableTensors says that tensors keep values, as those of the older operators of
	// recurrent networks do.
	VariableTensors bool `json:"variable_tensors,omitempty"`

	// SharedTensors says that one tensor is an output twice, or an input and an output.
	SharedTensors bool `json:"shared_tensors,omitempty"`

	Parameters     int64 `json:"parameters"`      // elements of all constant tensors; those that share a buffer count once
	ParameterBytes int64 `json:"parameter_bytes"` // size of their buffers

	// ActivationBytes is the most that the values of the served subgraph take at
	// one time, when its operators run in the file's order, each value lives from
	// the operator that makes it to the last one that reads it, and a dynamic
	// dimension is 1. Inputs, outputs and variables live throughout; constants
	// and strings count nothing. UnsizedValues counts the outputs of operators
	// whose size the file does not tell, which are left out.
	ActivationBytes int64 `json:"activation_bytes"`
	UnsizedValues   int   `json:"unsized_values"`

	Metadata *Metadata      `json:"metadata,omitempty"` // nil where the file has none, or none that can be read
	Files    []AppendedFile `json:"files,omitempty"`    // in the archive that is appended to the model
	// MissingFiles are those that the metadata name and the archive does not have: the end of
	// the file may be cut off.
	MissingFiles []string `json:"missing_files,omitempty"`

	Notes []string `json:"notes,omitempty"` // facts that a person should know, one sentence each
}

// OperatorCount says how often an operator is written in the file. The
// operators of a subgraph count once each, however often it runs.
type OperatorCount struct {
	Name    string `json:"name"` // of BuiltinOperator, such as CONV_2D, or of the custom operator
	Custom  bool   `json:"custom,omitempty"`
	Version int64  `json:"version"`
	Count   int    `json:"count"`
}

// compare orders operators: most frequent first, then by name and version.
func (o OperatorCount) compare(other OperatorCount) int {
	return cmp.Or(cmp.Compare(other.Count, o.Count), cmp.Compare(o.Name, other.Name), cmp.Compare(o.Version, other.Version))
}

// CustomOperators returns the names of the operators that are not in the
// schema, sorted.
func (m *Model) CustomOperators() []string {
	var custom []string
	for _, o := range m.Operators {
		if o.Custom {
			custom = append(custom, o.Name)
		}
	}
	slices.Sort(custom)
	return slices.Compact(custom)
}

// missingFiles returns the label files that the metadata name and that are not appended.
func (m *Model) missingFiles() (missing []string) {
	if m.Metadata == nil {
		return nil
	}
	for _, o := range m.Metadata.Outputs {
		for _, name := range o.Labels {
			there := slices.ContainsFunc(m.Files, func(f AppendedFile) bool { return clean(f.Name) == clean(name) })
			if !there && !slices.Contains(missing, name) {
				missing = append(missing, name)
			}
		}
	}
	return missing
}

// HasStrings says whether the model takes or gives strings.
func (m *Model) HasStrings() bool {
	strings := func(spec inference.Spec) bool { return spec.DType == tensor.Bytes }
	return slices.ContainsFunc(m.Signature.Inputs, strings) || slices.ContainsFunc(m.Signature.Outputs, strings)
}

// OnlyClassic says why LiteRT cannot serve the model as the classic TensorFlow Lite library
// can, or "".
func (m *Model) OnlyClassic() string {
	switch {
	case m.VariableTensors:
		return "the model has variable tensors, which LiteRT refuses"
	case m.HasStrings():
		return "the model takes or gives strings, which LiteRT cannot carry"
	case m.SharedTensors:
		return "one tensor of the model is an input and an output, or two outputs, which LiteRT answers wrongly"
	}
	return ""
}

// Foreign returns the operators, "operator Levitate", that LiteRT does not have, or the
// classic TensorFlow Lite library: they need a delegate, or another build. What a
// compiler for an accelerator has put there is not among them.
func (m *Model) Foreign(classic bool) []string {
	var all []string
	for _, name := range m.CustomOperators() {
		switch {
		case name == edgeTPUOperator, name == ethosUOperator, slices.Contains(bundled, name):
		case slices.Contains(onlyLiteRT, name) && !classic:
		default:
			all = append(all, "operator "+fault.Clip(name))
		}
	}
	return all
}

const (
	edgeTPUOperator = "edgetpu-custom-op"
	ethosUOperator  = "ethos-u" // of Vela, Arm's compiler
	flexPrefix      = "Flex"    // of TensorFlow's own operators (tensorflow/lite/delegates/flex)
)

// bundled are the custom operators that TensorFlow Lite has itself
// (tensorflow/lite/core/kernels/register.cc).
var bundled = []string{"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"} //nolint:gochecknoglobals // a constant table

// onlyLiteRT are those that LiteRT has besides.
var onlyLiteRT = []string{"Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D"} //nolint:gochecknoglobals // a constant table

// note adds what a person should know before the model is deployed.
func (p *parser) note() {
	if v := p.m.SchemaVersion; v > schemaVersion {
		p.addNote("Schema version %d is newer than %d, the newest that this version knows: a library may refuse it.", v, schemaVersion)
	}
	p.m.VariableTensors = p.variables
	p.m.MissingFiles = p.m.missingFiles()
	for _, name := range p.m.MissingFiles {
		p.addNote("The metadata name the file %s, which is not behind the model: the end may be cut off.", fault.Clip(name))
	}
	if p.m.Stateful = p.stateful(); p.m.Stateful {
		p.addNote("The model keeps values from one run to the next: an answer depends on the requests before it.")
	}
	for _, name := range p.m.CustomOperators() {
		switch {
		case name == edgeTPUOperator:
			p.m.EdgeTPU = true
			p.addNote("The model is compiled for the Edge TPU: it runs only with that device and its delegate.")
		case name == ethosUOperator:
			p.m.EthosU = true
			p.addNote("The model is compiled by Vela for an Arm Ethos-U: it runs only with that device and its delegate. Without, use the file that Vela was given.")
		case slices.Contains(bundled, name):
		case slices.Contains(onlyLiteRT, name):
			p.addNote("Custom operator %s is in LiteRT, but not in the classic TensorFlow Lite library.", name)
		case strings.HasPrefix(name, flexPrefix):
			p.addNote("Operator %s needs the Flex delegate, which runs operators of TensorFlow.", fault.Clip(name))
		default:
			p.addNote("Custom operator %s needs an extension of the library.", fault.Clip(name))
		}
	}
	for _, o := range p.m.Operators {
		if number, newer := strings.CutPrefix(o.Name, newerPrefix); newer && !o.Custom {
			p.addNote("Operator number %s is newer than this version: a library may refuse it.", number)
		}
	}
}

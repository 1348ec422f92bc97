package openvino

import (
	"slices"

	"verge/internal/inference"
)

// Model is what an OpenVINO IR file says about itself.
type Model struct {
	IRVersion int64  `json:"ir_version"`          // 10 or 11
	Name      string `json:"name"`                // of the network
	Converter string `json:"converter,omitempty"` // version of the program that wrote the file
	Framework string `json:"framework,omitempty"` // where the model came from, such as "tf" or "onnx"

	// Signature has the Parameter layers and the Result layers, each in the
	// file's order. A name is the one that ov_port_get_any_name gives, the first
	// of a tensor's names in the order of their bytes. A tensor without names is
	// called input_0, output_0 and so on. A name that another one of the same side has
	// gets ":1" and so on. The library serves a file of IR version 10 with other
	// element types than it declares (FP16 inputs as FP32, integer outputs as
	// INT32, other outputs as FP32): those stand here. The shape of an input of
	// any rank is nil. See Notes where a shape or a type is not declared.
	Signature inference.Signature `json:"-"`

	Operators []OperatorCount `json:"operators"` // most frequent first, then by operator set and name
	Layers    int             `json:"layers"`    // sum of Operators
	Stateful  bool            `json:"stateful"`  // keeps values from one run to the next, in variables

	Parameters     int64 `json:"parameters"`      // elements of all Const layers; those with the same data count once
	ParameterBytes int64 `json:"parameter_bytes"` // bytes of the .bin file that Const layers use

	// UnusedBytes is how many bytes of the .bin file lie behind the last one that a Const
	// layer uses. A file that was written with this graph has none.
	UnusedBytes int64 `json:"unused_bytes,omitempty"`

	// ConvertedBytes is what Const layers that a Convert layer turns into another
	// element type take after that: weights that are kept in FP16 and used in FP32.
	ConvertedBytes int64 `json:"converted_bytes,omitempty"`

	// ActivationBytes is the most that the values of the main graph take at one
	// time, when its layers run in the file's order, each value lives from the
	// layer that makes it to the last one that reads it, and a dynamic dimension
	// is 1. Inputs and outputs live throughout; constants, converted or not, are
	// not in it. UnsizedValues counts the outputs of layers whose size the file
	// does not tell, which are left out.
	ActivationBytes int64 `json:"activation_bytes"`
	UnsizedValues   int   `json:"unsized_values"`

	Notes []string `json:"notes,omitempty"` // facts that a person should know, one sentence each
}

// OperatorCount says how often an operator is written in the file. The layers
// of bodies count once each, however often they run.
type OperatorCount struct {
	Opset string `json:"opset"` // "opset1" and up, or the name of an extension's set
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// String returns the operator as people write it: "Convolution", "acme.Own".
func (o OperatorCount) String() string {
	if _, standard := o.standard(); standard {
		return o.Name
	}
	return o.Opset + "." + o.Name
}

// CustomOpsets returns the operator sets that are not OpenVINO's own, sorted. A
// library needs an extension to run their operators.
func (m *Model) CustomOpsets() []string {
	var custom []string
	for _, o := range m.Operators {
		if _, standard := o.standard(); !standard && !slices.Contains(custom, o.Opset) {
			custom = append(custom, o.Opset)
		}
	}
	slices.Sort(custom)
	return custom
}

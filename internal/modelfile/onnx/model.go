package onnx

import (
	"slices"

	"verge/internal/inference"
)

// Model is what an ONNX file says about itself.
type Model struct {
	IRVersion    int64               `json:"ir_version"`
	Producer     string              `json:"producer,omitempty"` // name and version of the program that wrote the file
	Domain       string              `json:"domain,omitempty"`   // reverse domain name of whoever owns the model
	ModelVersion int64               `json:"model_version,omitempty"`
	Graph        string              `json:"graph"` // name of the main graph
	Opsets       []Opset             `json:"opsets"`
	Signature    inference.Signature `json:"-"` // see Notes where a shape or a type is not declared

	Operators []OperatorCount `json:"operators"`           // most frequent first, then by domain and name
	Functions []Function      `json:"functions,omitempty"` // model-local functions, in the file's order
	Nodes     int             `json:"nodes"`               // sum of Operators

	Parameters     int64 `json:"parameters"`      // elements of all tensors in the file, those of attributes (Constant) included
	ParameterBytes int64 `json:"parameter_bytes"` // their size when loaded; a sparse tensor counts as the dense one that a library makes of it

	// ActivationBytes is the most that the values of the main graph take at one
	// time, when its nodes run in the file's order, each value lives from the
	// node that makes it to the last one that reads it, and a dynamic dimension
	// is 1. Inputs and outputs live throughout. UnsizedValues counts the node
	// outputs whose shape the file does not declare, which are left out.
	ActivationBytes int64 `json:"activation_bytes"`
	UnsizedValues   int   `json:"unsized_values"`

	Metadata map[string]string `json:"metadata,omitempty"` // the model's own keys; nil when there are none
	Notes    []string          `json:"notes,omitempty"`    // facts that a person should know, one sentence each
}

// Opset says which version of an operator set the model was written for.
type Opset struct {
	Domain  string `json:"domain"` // "ai.onnx" for the standard set
	Version int64  `json:"version"`
}

// OperatorCount says how often an operator is written in the file. The nodes of
// sub-graphs and of function bodies count once each, however often they run.
type OperatorCount struct {
	Domain string `json:"domain,omitempty"` // "" for the standard set
	Name   string `json:"name"`
	Count  int    `json:"count"`
}

// String returns the operator as people write it: "Conv", "com.microsoft.QAttention".
func (o OperatorCount) String() string {
	if o.Domain == "" {
		return o.Name
	}
	return o.Domain + "." + o.Name
}

// Function is an operator whose body is part of the model.
type Function struct {
	Domain string `json:"domain"`
	Name   string `json:"name"`
	Nodes  int    `json:"nodes"`
}

// StandardDomain is the name of the operator set whose domain is written "".
const StandardDomain = "ai.onnx"

// CustomDomains returns the domains of operators that are neither standard nor
// known to ONNX Runtime as it is built by default nor functions of the model,
// sorted. A library needs an extension to run them.
func (m *Model) CustomDomains() []string {
	known := map[string]bool{
		"": true, "ai.onnx.ml": true, "ai.onnx.training": true, "ai.onnx.preview": true, "ai.onnx.preview.training": true,
		"com.microsoft": true, "com.microsoft.experimental": true, "com.microsoft.nchwc": true, "com.ms.internal.nhwc": true,
	}
	for _, f := range m.Functions {
		known[f.Domain] = true
	}
	var custom []string
	for _, o := range m.Operators {
		if !known[o.Domain] {
			known[o.Domain] = true
			custom = append(custom, o.Domain)
		}
	}
	slices.Sort(custom)
	return custom
}

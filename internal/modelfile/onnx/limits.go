package onnx

// Limits caps what one file may cost. Every field must be positive; a file that
// goes over one is refused with fault.TooLarge.
type Limits struct {
	FileBytes int64 // size of the file; protobuf itself ends at 2 GiB - 1
	Fields    int64 // protobuf fields that are looked at, which bounds the time
	Nodes     int   // nodes, those of sub-graphs and functions included
	Tensors   int   // tensors, graph inputs and outputs, and declared values, those of sub-graphs included
	Kinds     int   // different operators, and different functions, opsets, metadata keys
	Depth     int   // sub-graphs (the bodies of If, Loop and Scan) inside each other
	NameBytes int   // length of one name; longer metadata values are cut instead
	TextBytes int64 // all text that is kept
}

// DefaultLimits suits any model that runs on one machine: a file at a limit
// takes about a second and some tens of megabytes.
func DefaultLimits() Limits {
	return Limits{
		FileBytes: 1<<31 - 1,
		Fields:    1 << 26,
		Nodes:     1 << 20,
		Tensors:   1 << 18,
		Kinds:     1 << 12,
		Depth:     32,
		NameBytes: 1 << 10,
		TextBytes: 1 << 25,
	}
}

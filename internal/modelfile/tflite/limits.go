package tflite

// Limits caps what one file may cost. Every field must be positive; a file that
// goes over one is refused with fault.TooLarge.
type Limits struct {
	FileBytes int64 // size of the file; weights may lie after the first 2 GiB
	Work      int64 // numbers that are read, and pageCost for each page of the file, which bounds the time
	Nodes     int   // operators, those of all subgraphs
	Tensors   int   // tensors, those of all subgraphs; also inputs or outputs of one subgraph
	Buffers   int   // buffers
	Kinds     int   // operator codes, subgraphs, signatures, metadata entries, scales of one input, appended files
	Depth     int   // subgraphs (the bodies of IF, WHILE and CALL_ONCE) that call each other
	NameBytes int   // length of one name; text for people is cut instead
	TextBytes int64 // all text that is kept

	DirectoryBytes int64 // bytes that are read to list the appended files
	LabelBytes     int64 // size of the label file
	Labels         int   // its lines
	LineBytes      int   // length of one line
}

// DefaultLimits suits any model that runs on one machine: a file at a limit
// takes some seconds and some tens of megabytes.
func DefaultLimits() Limits {
	return Limits{
		FileBytes: 1 << 36,
		Work:      1 << 27,
		Nodes:     1 << 20,
		Tensors:   1 << 18,
		Buffers:   1 << 19,
		Kinds:     1 << 12,
		Depth:     32,
		NameBytes: 1 << 10,
		TextBytes: 1 << 22,

		DirectoryBytes: 1 << 20,
		LabelBytes:     1 << 22,
		Labels:         1 << 17,
		LineBytes:      1 << 12,
	}
}

package openvino

// Limits caps what one file may cost. Every field must be positive; a file that
// goes over one is refused with fault.TooLarge.
type Limits struct {
	FileBytes  int64 // size of the .xml file
	TokenBytes int   // size of one tag with its attributes, of one comment, or of the text between two tags
	Elements   int   // XML elements
	Attributes int   // attributes of one element
	Depth      int   // elements inside each other; a body of If, Loop or TensorIterator takes three
	Layers     int   // layers, those of bodies included
	Ports      int   // ports of layers, those of bodies included
	Edges      int   // edges between layers, those of bodies included
	Kinds      int   // different operators
	NameBytes  int   // length of one name; longer texts for people are cut instead
	TextBytes  int64 // all text that is kept
}

// DefaultLimits suits any model that runs on one machine: a file at a limit
// takes some ten seconds and some hundred megabytes.
func DefaultLimits() Limits {
	return Limits{
		FileBytes:  256 << 20,
		TokenBytes: 1 << 20,
		Elements:   1 << 22,
		Attributes: 64,
		Depth:      128,
		Layers:     1 << 18,
		Ports:      1 << 20,
		Edges:      1 << 20,
		Kinds:      1 << 12,
		NameBytes:  1 << 10,
		TextBytes:  1 << 25,
	}
}

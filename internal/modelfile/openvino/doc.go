// Package openvino reads what an OpenVINO IR file (.xml) says about its model
// without loading the model: versions, operators, inputs, outputs and the size
// of the weights in the .bin file beside it.
//
// It exists so that bytes of unknown origin meet a parser written in Go before
// a native library sees them. The reader walks the document once, in a window
// of a few kilobytes. Document types, entities other than XML's own five, and
// processing instructions are refused; nesting, the number and the size of
// elements, and all text that is kept are capped by Limits. Of the .bin file
// only the size is needed: every range that a Const layer claims is checked
// against it.
//
// Names, shapes and element types of inputs and outputs are those that the
// library gives to a file that it has read (xml_deserialize_util.cpp and
// model_reader.cpp of OpenVINO 2026.4): see Model.Signature.
//
// The reader does not run the model's type inference and does not know which
// operators a library has: a file that passes can still fail to load.
// Read may be called from many goroutines.
package openvino

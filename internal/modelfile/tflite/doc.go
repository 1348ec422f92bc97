// Package tflite reads what a TensorFlow Lite file says about its model without
// loading the model: operators, inputs, outputs, the size of the weights, the
// TFLite metadata and the files that are appended to it.
//
// It exists so that bytes of unknown origin meet a parser written in Go before
// a native library sees them. The library trusts a file: it follows offsets and
// uses indices as they come. So every table, vector and string that it would
// touch is checked here against the file (FlatBuffers, "Internals"), the options
// of operators included, and so are the facts that TensorFlow Lite's own
// verifier looks at (tensorflow/lite/core/tools/verifier.cc), which the library
// does not run by itself. The schema is tensorflow/lite/schema/schema.fbs,
// version 3 with its revisions a to c.
//
// The file is read through a few windows of some kilobytes over an io.ReaderAt,
// so that a file of gigabytes is not loaded. FlatBuffers may share: a short file
// can claim a billion tables. What is looked at is counted, and Limits caps it.
// Alignment is not checked.
//
// The reader does not run the model's shape inference and does not know which
// operators a library has: a file that passes can still fail to load.
// Read and Labels may be called from many goroutines.
package tflite

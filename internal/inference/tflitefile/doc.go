// Package tflitefile reads what runtimes need of a TensorFlow Lite file and their
// libraries do not tell, such as the names that requests use:
//
//	inputs, outputs := tflitefile.Names(data)
//
// It reads single fields, checks nothing, and never panics: package modelfile has
// checked the file before. The numbers of fields are those of schema.fbs, version 3.
package tflitefile

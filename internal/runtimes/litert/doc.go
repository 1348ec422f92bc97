// Package litert runs TensorFlow Lite models: with LiteRT, through its C interface,
// or with the classic TensorFlow Lite library, through its own. Open finds out by the
// library's functions which of the two it is. It implements inference.Runtime:
//
//	rt, err := litert.Open("/…/libLiteRt.so.2.3.0", log)
//	session, err := rt.Load(ctx, model, inference.Options{Threads: 1, Parallel: 2})
//
// A session has runners: LiteRT's compiled models, the classic library's
// interpreters. A runner takes one request at a time, so each slot has one of its
// own; a slot that closes leaves its runner to the next. A dimension that the file
// leaves open is set before a request whose shapes differ from the one before.
//
// With LiteRT, tensors are not copied: a slot makes the library's buffer objects over
// the memory of its arena, and keeps them while shapes and memory stay what they are.
// The library tells the shapes of the outputs beforehand, but for those that follow
// from values. Where such an output comes out larger than the memory that it was
// given, the library refuses the run, says the shape, and the run is made again with
// enough. An output that an operator makes in a shape of its own choice, straight
// from values, cannot be had through this interface; Load succeeds then, and the
// first run fails with fault.Unsupported.
//
// The classic library is slower, copies every tensor, and can do five things more:
// strings, outputs of any shape, tensors without elements, tensors that keep values,
// and delegates. A delegate
// takes operators over: one in a library of its own, whose path is the provider's
// name, or libedgetpu for an Edge TPU. What it leaves runs on the CPU, and the
// library does not tell how much that is. Version 2.9 cannot be interrupted: a run
// whose context ends goes on to its end, and then fails. Nor does it check every
// value: GATHER reads whatever an index points to. Delegates, libedgetpu's too, were
// run as stand-ins that tests compile; no real Edge TPU was.
//
// A model is never run unread: modelfile has seen the file before any of its bytes
// come this way. All that is read here is what the libraries do not tell: a
// signature's names, open dimensions, and whether values stay. A fault in the library
// ends the process, which is why worker exists.
//
// Each file holds one thing. Of LiteRT: the table of functions, the environment, the
// model, the compiled model, its buffers; layouts and constants are those of the C
// headers litert/c/*.h of LiteRT 2.2 and of the library 2.3.0. Of the classic
// library: the table, the model, the interpreter, its tensors, delegates; they are
// those of tensorflow/lite/c/c_api.h and common.h of 2.9.
package litert

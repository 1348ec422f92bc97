// Package litert runs TensorFlow Lite models with LiteRT, through its C interface.
// It implements inference.Runtime:
//
//	rt, err := litert.Open("/…/libLiteRt.so.2.3.0", log)
//	session, err := rt.Load(ctx, model, inference.Options{Threads: 1, Parallel: 2})
//
// The library's compiled model runs one request at a time, so each slot has one of
// its own; a slot that closes leaves its compiled model to the next. Tensors are not
// copied: a slot makes the library's buffer objects over the memory of its arena,
// and keeps them while shapes and memory stay what they are.
//
// A dimension that the file leaves open is set before a request whose shapes differ
// from the one before. The library then tells the shapes of the outputs, but for
// those that follow from values. Where such an output comes out larger than the
// memory that it was given, the library refuses the run, says the shape, and the
// run is made again with enough. An output that an operator makes in a shape of its
// own choice, straight from values, cannot be had through this interface; Load
// succeeds then, and the first run fails with fault.Unsupported.
//
// A model is never parsed here; that is modelfile's, before any of its bytes come
// this way. A fault in the library ends the process, which is why worker exists.
//
// Each file holds one native object: the table of functions, the environment, the
// model, the compiled model, its buffers. Functions, layouts and constants are those
// of the C headers litert/c/*.h of LiteRT 2.2 and of the library 2.3.0.
package litert

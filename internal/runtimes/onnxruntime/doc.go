// Package onnxruntime runs models with ONNX Runtime, through its C interface, on
// the CPU. It implements inference.Runtime:
//
//	rt, err := onnxruntime.Open("/…/libonnxruntime.so.1.30.0", log)
//	session, err := rt.Load(ctx, model, inference.Options{Threads: 2})
//
// Tensors are not copied: a slot makes the library's tensor objects over the
// memory of its arena, keeps them while shapes and memory stay what they are, and
// then costs one native call for each request. Two things are copied, because the
// library owns their memory: strings, and the outputs of a model with an output
// whose shape does not follow from the inputs.
//
// A model is never parsed here; that is modelfile's, before any of its bytes come
// this way. A fault in the library ends the process, which is why worker exists.
//
// Each file holds one native object: the table of functions, the environment, the
// session, the slot, the value. The functions and constants are those of the C
// header onnxruntime_c_api.h of the releases named in index.go.
package onnxruntime

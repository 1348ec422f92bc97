// Package onnxruntime runs models with ONNX Runtime, through its C interface. It
// implements inference.Runtime:
//
//	rt, err := onnxruntime.Open("/…/libonnxruntime.so.1.30.0", log)
//	session, err := rt.Load(ctx, model, inference.Options{Threads: 2})
//
// On the CPU the library has kernels of its own. Other devices are driven by its
// execution providers, which a build may have, or a plug-in library. That a provider
// is there says little: it is proved with a model of one operator before a model is
// given to it, and said to be used only where it took an operator of the model. What
// it does not take runs on the CPU, unless Options.Fallback is "none". Providers go by
// the library's names, "CUDAExecutionProvider" or "CUDA"; one whose name is a path, or
// that has the option "library", is a plug-in.
//
// Tensors are not copied: a slot makes the library's tensor objects over the
// memory of its arena, keeps them while shapes and memory stay what they are, and
// then costs one native call for each request. Two things are copied, because the
// library owns their memory: strings, and the outputs of a model with an output
// whose shape does not follow from the inputs.
//
// A model is never parsed here; that is modelfile's, before any of its bytes come
// this way. What the library writes of a prepared model is read here, to lay its
// weights out again. A fault in the library ends the process, which is why worker
// exists.
//
// Each file holds one native object: the table of functions, the environment, the
// session, the slot, the value; or one question: where to run, what a plug-in has,
// whether a provider works. The functions and constants are those of the C
// header onnxruntime_c_api.h of the releases named in index.go.
package onnxruntime

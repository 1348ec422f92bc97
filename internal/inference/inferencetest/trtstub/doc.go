// Package trtstub builds stand-ins for libnvinfer.so and libcuda.so.1 from the C and
// C++ source beside it, and engine files for them: what the tests of package tensorrt
// run on, since no GPU is needed.
//
// The stand-in for TensorRT has the virtual functions of the real headers, in their
// order, of major version 10 or 11. It and the driver keep watch over the rules of
// their interfaces, and Stub tells what was broken or left behind:
//
//	lib := trtstub.Build(tb, folder, trtstub.Variant{Major: 10})
//	rt, err := … open lib.TensorRT with the driver lib.CUDA …
//	lib.Check(tb, 1)
//
// What the stand-ins are given, and what they answer to a call in the right order, is
// what the headers say. What a real engine does on a real GPU they cannot show.
package trtstub

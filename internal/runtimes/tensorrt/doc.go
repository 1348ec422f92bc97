// Package tensorrt runs engine files of TensorRT (.plan, .engine) on an NVIDIA GPU.
// It implements inference.Runtime:
//
//	rt, err := tensorrt.Open("/…/libnvinfer.so.10", log)
//	session, err := rt.Load(ctx, engine, inference.Options{Device: "gpu", Parallel: 2})
//
// TensorRT has no C interface. Its headers turn each call into a call of a virtual
// function, by a position in a table, of an object of the library. This package does
// the same without a compiler: slots.go has the positions, for the versions whose
// headers were read and no others. Every object is looked at before it is used: its
// tables have to lie in memory of the process, what they point to has to be code, the
// runtime has to return the logger that it was given. What fails there is refused.
//
// The driver is called through libcuda.so.1, which every system with an NVIDIA GPU has,
// and not through the CUDA runtime, which it may lack. The library shares the primary
// context of the first device (CUDA_VISIBLE_DEVICES chooses it). A context belongs to a
// thread, so whoever calls the driver or the library holds a thread (device.enter).
// Without a driver the library returns a runtime that is none; so the driver is
// initialised first, and an error that is logged while a runtime is made counts.
//
// Each slot has an execution context, a stream, and device memory for its tensors. A
// run copies the inputs from the arena, computes, copies the outputs to the arena and
// waits. It cannot be interrupted: a context that ends during a run is noticed after it.
//
// An engine is made for one kind of GPU and one version of the library. One that is
// for others is refused with what it was built for, and what is here.
//
// Each file holds one native object or one concern. A fault in the library ends the
// process, which is why worker exists.
package tensorrt

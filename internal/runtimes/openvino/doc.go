// Package openvino runs models with OpenVINO, through its C interface, on the CPU,
// and on the GPU or NPU where the library finds one. It implements inference.Runtime:
//
//	rt, err := openvino.Open("/…/libopenvino_c.so.2641", log)
//	session, err := rt.Load(ctx, model, inference.Options{Threads: 2})
//
// Models are OpenVINO IR, whose weights come in inference.Model.Weights, ONNX, or
// TensorFlow Lite. IR and ONNX are read from memory. TensorFlow Lite the library
// reads by path only; it gets a link to the memory file, in the directory for
// temporary files, while it reads.
//
// Inputs are not copied, nor outputs of a model all of whose outputs have a fixed
// shape: a slot makes the library's tensors over the memory of its arena, and keeps
// them while shapes and memory stay. Outputs of another model the library makes, and
// the slot copies them.
//
// Variables of a model keep their values from one run of a slot to the next, as they do
// in the library. A run that failed or was canceled loses them: the next one of its slot
// begins with the initial values.
//
// What is compiled of a model of 1 MiB or more is kept in Options.Cache, by the library
// itself, in an entry of package prepared, which notices a bit that a disk has lost.
//
// After such a run, a model with shapes that are not fixed is compiled again, when a
// slot is used next; compiled.spoiled says why. That takes as long as the first time,
// and all of the session's slots wait for it. Where several run at the same time, those
// that a failure fell into are run again.
//
// What the library does not do, as tried with 2026.4.1:
//
//   - A run is canceled between two nodes of the graph. A Loop is one node.
//   - A load is not canceled at all.
//   - Strings are not carried: models that have them at their border are refused.
//   - Integers are computed in 32 bits: values that need more are refused.
//   - Variables of a model are not cleared on demand.
//   - A failure is not forgotten: shapes of a failed run stay in the graph.
//   - There is one error message for the whole process: calls that fail at the same
//     moment may give each other's.
//
// A model is never parsed here; that is modelfile's, before any of its bytes come
// this way. A fault in the library ends the process, which is why worker exists.
//
// Each file holds one native object or one concern: the functions, the core with its
// log, the reader, the session, the compiled model, the infer request, the tensors. The functions
// and constants are those of the C headers openvino/c/*.h of release 2026.4.
package openvino

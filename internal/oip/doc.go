// Package oip holds the messages of the Open Inference Protocol (version 2, with
// Triton's extensions for binary tensors and classification) and the one check
// that a request passes before anything is done for it. It reads no socket and
// runs no model. A server uses it so:
//
//	request, err := oip.ParseRequest(text, limits)  // or oip.RawRequest(signature, size, limits)
//	plan, err := request.Match(signature, maxBatch) // against the version that serves
//	err = plan.CheckRest(rest, framed)              // where the length of the body is known
//	views, err := call.Inputs(plan.Inputs)
//	for _, part := range plan.Parts { // in the order of the wire
//		view := views[part.Index]
//		if part.Binary() {
//			read into part.Target(view), then part.Check(view)
//		} else {
//			part.Decode(view)
//		}
//	}
//	outputs, err := call.Run()
//	answer, err := plan.Answer(nil, about, outputs)
//	write answer.JSON, and then answer.Blobs
//
// Everything but the tensors' data is checked before Match returns, so that no
// memory is taken for a request that cannot be run. Every error is a *fault.Error:
// fault.Invalid for what is wrong, fault.TooLarge for what is over a limit, and
// fault.Unsupported for the parts of the protocol that this server lacks
// (sequences, shared memory). Its text names the tensor or the parameter, what it
// had and what was expected.
//
// Requests and plans are used by one goroutine at a time.
package oip

// Package client talks to a Verge node: it asks models for answers over the
// Open Inference Protocol, and deploys, watches and removes models over the
// node's management API.
//
//	node, err := client.New("http://127.0.0.1:8000") // or "unix:/run/verge/verge.sock"
//	answer, err := node.Infer(ctx, client.InferRequest{
//		Model:  "digits",
//		Inputs: []client.Tensor{client.FromFloat32s("", []int64{1, 1, 8, 8}, pixels)},
//	})
//	scores, err := answer.Outputs[0].Float32s()
//
// A Client keeps connections open between calls and is safe for concurrent
// use. Every call takes a context, which ends it. Every failure that the node
// reports, and every answer that breaks the protocol, is an *Error; a node that
// cannot be reached at all also matches ErrUnreachable.
//
// This is the one package of the module that is promised to importers: its
// exported signatures use the standard library and its own types only. Its
// types are the wire form of the management API; the node itself uses them.
package client

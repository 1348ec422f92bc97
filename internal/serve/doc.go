// Package serve keeps loaded models and runs requests on them. A Server maps
// names to Versions; a Version admits requests through a bounded queue, in the
// order of their arrival, and lends each a slot of its session until it ends:
//
//	call, err := serve.Admit(ctx, server, serve.Ask{Model: "digits"}, bind)
//	views, err := call.Inputs([]inference.Input{{Shape: []int64{1, 1, 28, 28}}})
//	// fill views[0]
//	outputs, err := call.Run() // valid until End
//	// write the answer
//	call.End(err)
//
// A version that was added is a candidate: only who holds it reaches it. Activate
// makes it the one that its name stands for, in one step; what is in flight ends
// on the version that it began on.
//
// The package parses no request, loads no model and measures nothing but the
// time of a call: it is handed sessions and recorders. Servers and Versions are
// safe for concurrent use, a Call belongs to one request. The package starts no
// goroutine. DESIGN.md holds the invariants and the failure table.
package serve

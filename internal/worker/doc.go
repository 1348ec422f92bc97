// Package worker runs models in processes of their own. Its Runtime implements
// the contract of package inference: Load starts a process that opens the
// inference library and loads the model, a Session is that process and whatever
// replaces it, and a Slot sends it one request at a time:
//
//	host, err := worker.NewHost(cfg, worker.Launch{Argv: []string{exe, "worker"}}, log)
//	session, err := host.Runtime("onnxruntime", path).Load(ctx, model, options)
//
// The started program calls Main, which is the other side.
//
// Tensors lie in memory files that both processes map; messages of bounded size
// carry everything else, and nothing in them is believed. A process that dies,
// hangs or lies is replaced, and fails only what it was running. DESIGN.md has the
// protocol, the invariants and the failure table.
//
// Everything exported is safe for concurrent use, but for a Slot.
package worker

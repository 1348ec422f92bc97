// Package app builds a node out of the packages below it, and owns the order in
// which its parts start and stop. It is the one importer of the runtime adapters:
// the table in runtimes.go says which library names there are.
//
//	node, err := app.Start(ctx, cfg, log)
//	<-ctx.Done()
//	err = node.Stop(stopCtx)
//
// Start returns when the node answers; committed models load behind it. The order
// of the parts: the state directory's lock, artifacts, workers, queues,
// deployments, health checks, listeners. Stop goes the other way round, after what
// was admitted has been answered.
package app

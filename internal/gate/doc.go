// Package gate holds the checks that a candidate passes before it serves. Each
// measures something on this device and returns a client.Verdict with the figures
// that it rests on; what a verdict means for the deployment is deploy's business.
//
//	env := gate.Env{Device: "board", Now: time.Now}
//	v := gate.Latency(ctx, env, version, inputs, gate.LatencyLimits{LimitMS: 50})
//	v = gate.Load(ctx, env, target, gate.LoadPlan{Clients: 10, RequestsPerClient: 20, MinSuccessRate: 0.95})
//
// Latency and memory are measured at the version itself and count as no requests.
// Performance, functional and load tests go through the front door that clients
// use, at an address that only the candidate answers.
//
// What was not measured is never passed: a check that could not run says error, one
// that cannot tell says inconclusive. A check whose context ends early returns a
// verdict that means nothing; the caller looks at its context first. Every check
// waits for the goroutines that it started.
package gate

// Package choice finds a way to run a model on this device, out of several: files of
// the same model in other formats or precisions, runtimes, devices, numbers of threads.
//
//	result, err := choice.Choose(ctx, env, plan)
//	result.Taken  // load the model so
//	result.Trials // what was tried, with figures, and why the others were not taken
//
// Ways stand on rungs, the preferred ones first. Each is loaded beside the others
// that are, asked what the reference was asked, and measured. A way has to load, to
// have the reference's inputs and outputs, to agree with its answers, and to stay
// within the limits on latency and memory. The first rung with such a way decides:
// by its first one, or where the plan asks for the fastest, by the one that answers
// the most requests a second; of those that are within 5 % of it, by the one with the
// lowest median latency.
//
// A budget of time bounds each way, and all of the measuring once there is a way to
// take. Until there is, the next one is tried however late it is.
//
// Nothing is taken uncompared. Where the reference gives no answers, ways are compared
// with the golden ones, and where there are none of those, the choice fails as the
// reference did.
//
// The package measures sessions that it is handed; it knows no runtime, no file and
// no device. It keeps nothing.
package choice

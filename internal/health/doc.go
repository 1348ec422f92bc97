// Package health asks a list of checks, every so often, whether the device and
// the models on it are well, and remembers the answers:
//
//	h := health.New(health.Default(), []health.Check{
//		health.Memory(90, readMemory),
//		health.Disk(95, stateDir, readDisk),
//	}, onChange, time.Now, log)
//	go h.Run(ctx)
//	h.Add(health.Model("digits", askDigits))
//	report := h.Report("digits") // the device's checks and the model's
//
// A check is a function: the package reads no device and runs no model, it is
// handed what does. Checks run one after the other in the goroutine of Run, each
// within a time limit; one that does not come back is reported and left alone,
// and the others go on. What was not measured yet is "unknown", never "healthy".
// All methods are safe for concurrent use.
package health

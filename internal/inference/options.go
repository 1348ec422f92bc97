package inference

import "log/slog"

// Options says how a model is to be loaded. The zero value of a field means the
// default that its comment names.
type Options struct {
	Threads           int                // threads that one Run may use; 0 means 1
	Parallel          int                // Runs that will go on at the same time; 0 means 1
	OptimizationLevel int                // 0 no graph optimisation; 1 and above: all of the runtime's own
	Device            string             // "cpu" (default), "gpu", "npu", "tpu", "mobile", "embedded"
	Fallback          string             // "" a provider that does not load falls back to the CPU, "cpu" a missing device too, "none" neither
	Providers         []Provider         // tried in this order, by the library's names; none means the device's own
	Profile           string             // absolute path prefix of profile files; "" means no profile
	Shapes            map[string][]int64 // input name → full shape, for warm-up and memory; may be nil
	BatchSize         int                // value of a dynamic first dimension in warm-up; 0 means 1
	MemoryLimit       int64              // bytes that the process of the model may take; 0 means no limit
	GPUMemoryFraction float64            // share of the accelerator's memory that may be taken, where the runtime can limit it; 0 means no limit
	Cache             string             // directory of the caller's for what a runtime prepares of models, to load them faster; "" means none
	Log               *slog.Logger       // where the library's own messages go; nil discards them
	LogLevel          slog.Level         // the library's messages below it are dropped
}

// Provider names an execution provider and its options. ONNX Runtime takes the path of
// a plug-in library as a name too, or as the option "library" beside a name.
type Provider struct {
	Name    string            `json:"name"`
	Options map[string]string `json:"options,omitempty"`
}

// OnCPU reports whether device is a kind of CPU: cpu, mobile or embedded.
func OnCPU(device string) bool {
	switch device {
	case "", "cpu", "mobile", "embedded":
		return true
	}
	return false
}

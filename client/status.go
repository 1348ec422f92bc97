package client

import (
	"encoding/json"
	"time"
)

// Status is everything that a node tells about itself.
type Status struct {
	Node            NodeStatus      `json:"node"`
	Models          []ModelStatus   `json:"models"`
	SystemResources SystemResources `json:"system_resources"`
	HealthStatus    HealthStatus    `json:"health_status"`
}

// NodeStatus is the node's own process.
type NodeStatus struct {
	Version       string    `json:"version"`
	PID           int       `json:"pid"`
	Started       time.Time `json:"started"`
	UptimeSeconds float64   `json:"uptime_seconds"`
}

// ModelStatus is one version of a model that the node serves, or would serve.
type ModelStatus struct {
	Model            string           `json:"model"`
	Version          int              `json:"version"`
	Stage            string           `json:"stage,omitempty"`
	State            string           `json:"state"`            // "loading", "ready", "restarting", "failed", "unloading"
	Reason           string           `json:"reason,omitempty"` // why it is not ready
	ModelLoaded      bool             `json:"model_loaded"`
	Config           json.RawMessage  `json:"config,omitempty"` // the deployment file with its defaults
	PerformanceStats PerformanceStats `json:"performance_stats"`
	HealthStatus     HealthStatus     `json:"health_status"`
	SystemResources  SystemResources  `json:"system_resources"`
	ModelInfo        ModelInfo        `json:"model_info"`
	Worker           *WorkerStatus    `json:"worker,omitempty"`     // nil where the model runs inside the node's process
	Deployment       string           `json:"deployment,omitempty"` // id of the deployment that it came from
	Digest           string           `json:"digest,omitempty"`
	PreviousVersion  int              `json:"previous_version,omitempty"` // that verge rollback returns to; 0 for none
	PinnedVersions   []int            `json:"pinned_versions,omitempty"`  // kept on request
	Labels           []string         `json:"labels,omitempty"`           // class names; only where one model was asked for

	// Preprocess says how pictures become inputs, by the input's name, where the
	// model's file says it and model.preprocess of Config does not. An input that
	// is not in it takes pixels from 0 to 255 where it is UINT8, and pixels / 255
	// where it is floating-point. Only where one model was asked for.
	Preprocess map[string]Preprocess `json:"preprocess,omitempty"`
}

// Preprocess says how each value of a picture, from 0 to 255, becomes an element
// of an input: (value - Mean) * Scale, rounded where the input has integers. Both
// have one number for all channels, or one for each, red, green and blue.
type Preprocess struct {
	Mean  []float64 `json:"mean"`
	Scale []float64 `json:"scale"`
}

// PerformanceStats is how a version answered. Latencies are milliseconds, over
// the last requests of a window (1,000 unless configured); counts are since the
// version was loaded.
type PerformanceStats struct {
	TotalRequests int64   `json:"total_requests"`
	ErrorCount    int64   `json:"error_count"`
	ErrorRate     float64 `json:"error_rate"` // ErrorCount / TotalRequests; 0 without requests
	AvgLatencyMS  float64 `json:"avg_latency_ms"`
	MinLatencyMS  float64 `json:"min_latency_ms"`
	MaxLatencyMS  float64 `json:"max_latency_ms"`
	P50LatencyMS  float64 `json:"p50_latency_ms"`
	P95LatencyMS  float64 `json:"p95_latency_ms"`
	P99LatencyMS  float64 `json:"p99_latency_ms"`
	ThroughputRPS float64 `json:"throughput_rps"` // answers a second over the last 60 s, or since the load
	UptimeSeconds float64 `json:"uptime_seconds"`

	// Lifetime and Minutes are mergeable histograms of the latency since the
	// version was loaded, and of each of the last minutes.
	Lifetime json.RawMessage `json:"lifetime,omitempty"`
	Minutes  json.RawMessage `json:"minutes,omitempty"`
}

// SystemResources is what the device has left.
type SystemResources struct {
	CPUUsagePercent    float64  `json:"cpu_usage_percent"`
	MemoryUsagePercent float64  `json:"memory_usage_percent"`
	AvailableMemoryMB  float64  `json:"available_memory_mb"` // 1 MB = 2^20 bytes
	DiskUsagePercent   float64  `json:"disk_usage_percent"`  // of the file system of the state directory
	Celsius            *float64 `json:"celsius,omitempty"`   // the processor's; nil without a sensor
}

// The health of a node, a model or a check.
const (
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
	Unknown   = "unknown" // before the first check
)

// HealthStatus is the last result of the health checks.
type HealthStatus struct {
	Status    string       `json:"status"`                           // Healthy, Unhealthy or Unknown
	LastCheck *time.Time   `json:"last_check" jsonschema:"nullable"` // null before the first check
	Checks    HealthChecks `json:"checks"`
}

// HealthChecks are the checks by name. One that this device cannot make (a
// temperature without a sensor) is absent.
type HealthChecks struct {
	Memory      *MemoryCheck      `json:"memory,omitempty"`
	Disk        *DiskCheck        `json:"disk,omitempty"`
	CPU         *CPUCheck         `json:"cpu,omitempty"`
	Temperature *TemperatureCheck `json:"temperature,omitempty"`
	Model       *ModelCheck       `json:"model,omitempty"`
}

// MemoryCheck is the device's memory.
type MemoryCheck struct {
	Status       string  `json:"status"`
	UsagePercent float64 `json:"usage_percent"`
	AvailableMB  float64 `json:"available_mb"`
	Message      string  `json:"message,omitempty"`
}

// DiskCheck is the file system that the node's state lies on.
type DiskCheck struct {
	Status       string  `json:"status"`
	UsagePercent float64 `json:"usage_percent"`
	FreeGB       float64 `json:"free_gb"` // 1 GB = 2^30 bytes
	Path         string  `json:"path,omitempty"`
	Message      string  `json:"message,omitempty"`
}

// CPUCheck is the device's processors.
type CPUCheck struct {
	Status       string    `json:"status"`
	UsagePercent float64   `json:"usage_percent"`
	LoadAverage  []float64 `json:"load_average"` // over 1, 5 and 15 minutes
	Message      string    `json:"message,omitempty"`
}

// TemperatureCheck is the processor's temperature.
type TemperatureCheck struct {
	Status  string  `json:"status"`
	Celsius float64 `json:"celsius"`
	Limit   float64 `json:"limit,omitempty"` // degrees Celsius
	Message string  `json:"message,omitempty"`
}

// ModelCheck is an inference with a known answer.
type ModelCheck struct {
	Status    string  `json:"status"`
	Message   string  `json:"message"`
	LatencyMS float64 `json:"latency_ms"`
}

// ModelInfo says what is loaded and where it runs.
type ModelInfo struct {
	Status             string            `json:"status,omitempty"` // "not_deployed" where nothing is
	Runtime            string            `json:"runtime,omitempty"`
	RuntimeVersion     string            `json:"runtime_version,omitempty"`
	Device             string            `json:"device,omitempty"`
	ProvidersRequested []string          `json:"providers_requested,omitempty"`
	Providers          []string          `json:"providers,omitempty"` // in effect
	Fallbacks          []string          `json:"fallbacks,omitempty"` // what was asked for and why it is not used
	Threads            int               `json:"threads,omitempty"`
	Parallel           int               `json:"parallel,omitempty"`
	InputDetails       []TensorDetail    `json:"input_details,omitempty"`
	OutputDetails      []TensorDetail    `json:"output_details,omitempty"`
	ModelSizeBytes     int64             `json:"model_size_bytes,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
	Profile            string            `json:"profile,omitempty"`
	File               *ModelFile        `json:"file,omitempty"` // in the status of one model; nil where it cannot be read without its library
}

// ModelFile is what the file of a model says about itself.
type ModelFile struct {
	Format     string         `json:"format"` // "onnx", "tflite", "openvino"
	SizeBytes  int64          `json:"size_bytes"`
	Precision  string         `json:"precision,omitempty"` // of the weights: "fp32", "fp16", "int8"
	Parameters int64          `json:"parameters,omitempty"`
	Operators  map[string]int `json:"operators,omitempty"` // how often each is in it
	Inputs     []TensorDetail `json:"inputs"`              // as the file declares them; a library may have other names
	Outputs    []TensorDetail `json:"outputs"`
}

// TensorDetail is one input or output of a model.
type TensorDetail struct {
	Name  string  `json:"name"`
	Shape []int64 `json:"shape"` // -1 is a dynamic dimension
	DType string  `json:"dtype"` // "FP32"

	// Quantization says which real numbers the integers stand for: with
	// {"scales": [s], "zero_points": [z]}, (integer - z) * s. There is one scale,
	// or one for each index of the dimension "axis". Absent where the values mean
	// themselves.
	Quantization json.RawMessage `json:"quantization,omitempty"`
}

// WorkerStatus is the process that holds a model.
type WorkerStatus struct {
	State         string       `json:"state"` // "starting", "ready", "restarting", "failed", "closed"
	PID           int          `json:"pid,omitempty"`
	Started       time.Time    `json:"started,omitzero"`
	Deaths        int          `json:"deaths"` // within the window that counts
	LastDeath     string       `json:"last_death,omitempty"`
	RestartInMS   float64      `json:"restart_in_ms,omitempty"`
	LastOutput    string       `json:"last_output,omitempty"` // the end of what it wrote on standard error
	Memory        WorkerMemory `json:"memory"`
	MemoryLimitMB int          `json:"memory_limit_mb,omitempty"`
}

// WorkerMemory is what a worker takes.
type WorkerMemory struct {
	CurrentBytes int64  `json:"current_bytes"`
	PeakBytes    int64  `json:"peak_bytes"`
	Enforced     string `json:"enforced"` // "cgroup2", "cgroup1" or "no"
}

// Runtime is an inference library that the node found.
type Runtime struct {
	Name    string `json:"name"` // "onnxruntime"
	Version string `json:"version,omitempty"`
	Path    string `json:"path,omitempty"`
	Source  string `json:"source,omitempty"` // where it was found: "installed", "system", "configured"
	SHA256  string `json:"sha256,omitempty"`
	Error   string `json:"error,omitempty"` // why it cannot be used
}

// ModelList is the body of GET /v1/models.
type ModelList struct {
	Models []ModelStatus `json:"models"`
}

// RuntimeList is the body of GET /v1/runtimes.
type RuntimeList struct {
	Runtimes []Runtime `json:"runtimes"`
}

package deployfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"verge/internal/document"
	"verge/internal/fault"
)

// The values of File.Isolation.
const (
	IsolationProcess = "process"
	IsolationNone    = "none"
)

// File is a deployment file with its defaults filled in. Marshalled as JSON it
// is a deployment file again, with the same meaning.
type File struct {
	Name             string             `json:"name,omitempty" jsonschema:"maxLength=128,pattern=^[A-Za-z0-9][A-Za-z0-9._-]*$" jsonschema_description:"Name of the served model; without it, the stem of model.path, or the folder of the deployment file where that stem is model."`
	Stage            string             `json:"stage" jsonschema:"enum=development,enum=testing,enum=staging,enum=production" jsonschema_description:"Stage that is deployed to; verge deploy --stage names another."`
	Stages           map[string]Overlay `json:"stages,omitempty" jsonschema_description:"What is otherwise at a stage: any keys of this file, by the name of the stage. Maps are merged, all else takes the place of what the file says."`
	Model            Model              `json:"model" jsonschema:"required" jsonschema_description:"The model file and what belongs to it."`
	Deployment       Deployment         `json:"deployment" jsonschema_description:"Device and limits."`
	Tests            Tests              `json:"tests" jsonschema_description:"What a version must pass before it serves: true, false, or an object with details."`
	Accuracy         *Accuracy          `json:"accuracy,omitempty" jsonschema_description:"How right the answers must be, on a data set whose right answers are known."`
	Shadow           *Shadow            `json:"shadow,omitempty" jsonschema_description:"How the version is compared, before it serves, with the one that clients ask, on what they ask. Without it, it is not."`
	Canary           *Canary            `json:"canary,omitempty" jsonschema_description:"How the version answers a share of what clients ask before it answers all of it, within the limits of observe. Without it, it does not."`
	Observe          *Observe           `json:"observe,omitempty" jsonschema_description:"How the version is watched after the switch, and within which limits: where one is broken, the version before serves again. Without it, it is not."`
	RequiredPackages []Requirement      `json:"required_packages" jsonschema:"maxItems=64" jsonschema_description:"What the environment must have, by the names of Python packages, each with at most one version condition."`
	Isolation        string             `json:"isolation" jsonschema:"enum=process,enum=none" jsonschema_description:"process: the model runs in a worker process; none: inside the node."`

	notes  []fault.Problem
	root   *document.Node // as it is at the stage, without the overlays
	ignore []string       // packages that are not looked for
}

// Model says which bytes to serve.
type Model struct {
	Path               string             `json:"path" jsonschema:"required,minLength=1,maxLength=4096" jsonschema_description:"Model file, relative to the deployment file."`
	Format             string             `json:"format,omitempty" anycase:"true" jsonschema:"enum=tflite,enum=onnx,enum=tensorrt,enum=openvino" jsonschema_description:"Format of the file; without it, what its bytes say."`
	SHA256             string             `json:"sha256,omitempty" jsonschema:"maxLength=64,pattern=^[0-9a-fA-F]{64}$" jsonschema_description:"Digest that the model's bytes must have, in hexadecimal."`
	Labels             string             `json:"labels,omitempty" jsonschema:"maxLength=4096" jsonschema_description:"Text file with the name of one class a line, relative to the deployment file."`
	InputShapes        map[string][]int64 `json:"input_shapes,omitempty" jsonschema:"minimum=1,maximum=2147483647,maxItems=16" jsonschema_description:"Full shape by input name, for dynamic dimensions other than the batch."`
	Preprocess         *Preprocess        `json:"preprocess,omitempty" jsonschema_description:"How a picture becomes the input."`
	Variants           []Variant          `json:"variants,omitempty" jsonschema:"maxItems=16" jsonschema_description:"Other files of the same model, in other formats or precisions; one of them may be taken in its place."`
	Optimize           bool               `json:"optimize" jsonschema_description:"Optimise the file first, and deploy the result only if it is better."`
	OptimizationConfig OptimizationConfig `json:"optimization_config" jsonschema_description:"How to optimise, and what the result must keep."`
}

// Variant is another file of the same model: its inputs and outputs have to be the
// same, and its answers have to agree with those of Model.Path.
type Variant struct {
	Path   string `json:"path" jsonschema:"required,minLength=1,maxLength=4096" jsonschema_description:"Model file, relative to the deployment file."`
	SHA256 string `json:"sha256,omitempty" jsonschema:"maxLength=64,pattern=^[0-9a-fA-F]{64}$" jsonschema_description:"Digest that its bytes must have, in hexadecimal."`
}

// Preprocess says how a picture becomes an input: it is scaled to Size, its
// channels are put in order, and each value becomes (value - mean) * scale.
type Preprocess struct {
	Size     [2]int    `json:"size" jsonschema:"required,minimum=1,maximum=16384" jsonschema_description:"Rows and columns."`
	Layout   string    `json:"layout" jsonschema:"enum=NCHW,enum=NHWC" jsonschema_description:"Order of the input's dimensions: batch, channels, rows, columns."`
	Channels string    `json:"channels" jsonschema:"enum=rgb,enum=bgr,enum=gray" jsonschema_description:"Order of the colours."`
	Mean     []float64 `json:"mean" jsonschema:"maxItems=3" jsonschema_description:"Subtracted from each value, which is 0 to 255: one number, or one for each channel."`
	Scale    []float64 `json:"scale" jsonschema:"maxItems=3" jsonschema_description:"Multiplied after that: one number, or one for each channel."`
	Type     string    `json:"type,omitempty" jsonschema:"enum=FP16,enum=BF16,enum=FP32,enum=FP64,enum=UINT8,enum=INT8,enum=UINT16,enum=INT16,enum=UINT32,enum=INT32,enum=UINT64,enum=INT64" jsonschema_description:"Element type; without it, the input's own."`
}

// OptimizationConfig says how model.optimize is to be done.
type OptimizationConfig struct {
	Quantize        Quantize `json:"quantize" jsonschema_description:"Whether and how to use smaller numbers; true leaves the choice to Verge."`
	Prune           float64  `json:"prune" jsonschema:"minimum=0,maximum=0.95" jsonschema_description:"Share of the weights to set to zero."`
	Calibration     string   `json:"calibration,omitempty" jsonschema:"maxLength=4096" jsonschema_description:"Data set to calibrate with, relative to the deployment file."`
	MaxAccuracyDrop float64  `json:"max_accuracy_drop" jsonschema:"minimum=0,maximum=100" jsonschema_description:"Most accuracy that may be lost, in points."`
	MinSpeedup      float64  `json:"min_speedup" jsonschema:"minimum=0,maximum=1000" jsonschema_description:"Least ratio of the original's latency to the result's."`
}

// Deployment says where the model runs and within which limits.
type Deployment struct {
	DeviceType        string     `json:"device_type" jsonschema:"enum=cpu,enum=gpu,enum=npu,enum=tpu,enum=mobile,enum=embedded" jsonschema_description:"Device to run on; mobile and embedded are a CPU with tighter limits."`
	Runtime           string     `json:"runtime,omitempty" jsonschema:"enum=onnxruntime,enum=litert,enum=tflite,enum=openvino,enum=tensorrt" jsonschema_description:"Native library to run in; without it, the one of the format."`
	Ladder            []string   `json:"ladder,omitempty" jsonschema:"maxItems=16,pattern=^(cpu|gpu|npu|tpu|mobile|embedded)( (int8|fp16|fp32))?$" jsonschema_description:"Devices, each with a precision or with any, in the order in which they are tried: the first one that has a file, loads, stays within the limits and agrees with the model's own file is taken."`
	Providers         []Provider `json:"providers,omitempty" jsonschema:"maxItems=8" jsonschema_description:"Providers of the runtime, or paths of its plug-ins and delegates, in the order in which they are tried, in place of those of the device type; each a name, or a name with options."`
	Strategy          string     `json:"strategy,omitempty" jsonschema:"enum=side-by-side,enum=stop-then-start" jsonschema_description:"side-by-side, which is what is done without it: a version is loaded and tested beside the one that serves; stop-then-start: that one is unloaded first, where memory does not hold both, so that none serves meanwhile."`
	Fallback          string     `json:"fallback,omitempty" jsonschema:"enum=cpu,enum=none" jsonschema_description:"Without it, a device that is not there is refused, and one whose provider fails is replaced by the CPU; cpu: both are replaced; none: neither."`
	BatchSize         int        `json:"batch_size" jsonschema:"minimum=1,maximum=4096" jsonschema_description:"Largest batch that the server may form; the gates measure this one."`
	MaxLatencyMS      float64    `json:"max_latency_ms" jsonschema:"exclusiveMinimum=0,maximum=3600000" jsonschema_description:"Limit on the 95th percentile of the latency, in milliseconds."`
	MaxLatencyRatio   float64    `json:"max_latency_ratio,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000" jsonschema_description:"Limit on the ratio of the median latency to that of the version that serves, measured in turn; without it, they are not compared."`
	MaxColdStartMS    float64    `json:"max_cold_start_ms,omitempty" jsonschema:"exclusiveMinimum=0,maximum=3600000" jsonschema_description:"Limit on the time from nothing to the first answer, in milliseconds; without it, it is only told."`
	MemoryLimitMB     int        `json:"memory_limit_mb" jsonschema:"minimum=1,maximum=1048576" jsonschema_description:"Memory that must be free before the load and that the worker must stay below; 1 MB is 2^20 bytes. 512, for mobile 256 and for embedded 128 where it is not given."`
	CPUThreads        int        `json:"cpu_threads" jsonschema:"minimum=0,maximum=1024" jsonschema_description:"Threads to run on; 0 lets Verge choose."`
	GPUMemoryFraction float64    `json:"gpu_memory_fraction" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"Share of the accelerator's memory that the runtime may take."`
	OptimizationLevel int        `json:"optimization_level" jsonschema:"minimum=0,maximum=3" jsonschema_description:"0: no graph optimisation; 1: all of the runtime's own; 2: also choose runtime and threads by measuring; 3: also try other precisions."`
	EnableProfiling   bool       `json:"enable_profiling" jsonschema_description:"Write a profile of each operator."`
	LogLevel          string     `json:"log_level" anycase:"true" jsonschema:"enum=DEBUG,enum=INFO,enum=WARNING,enum=ERROR,enum=CRITICAL" jsonschema_description:"Least severe records of this model that are logged."`
}

// defaults is a file that says nothing, for a device type.
func defaults(deviceType string) *File {
	f := &File{
		Stage: "testing",
		Model: Model{OptimizationConfig: OptimizationConfig{MaxAccuracyDrop: 2, MinSpeedup: 1.1}},
		Deployment: Deployment{
			DeviceType: "cpu", BatchSize: 1, MaxLatencyMS: 100, MemoryLimitMB: 512,
			GPUMemoryFraction: 0.8, OptimizationLevel: 1, LogLevel: "INFO",
		},
		Tests: Tests{
			Performance: PerformanceTest{Enabled: true, Runs: 50, Percentile: 95},
			Functional:  FunctionalTest{Enabled: true, Tolerance: 1e-4},
			Load:        LoadTest{Clients: 10, RequestsPerClient: 20, MinSuccessRate: 0.95},
		},
		RequiredPackages: []Requirement{},
		Isolation:        IsolationProcess,
	}
	switch deviceType {
	case "mobile":
		f.Deployment.MemoryLimitMB = 256
	case "embedded":
		f.Deployment.MemoryLimitMB = 128
	}
	return f
}

// Level is log_level as log/slog counts; CRITICAL is 12.
func (d Deployment) Level() slog.Level {
	const critical slog.Level = 12
	switch d.LogLevel {
	case "DEBUG":
		return slog.LevelDebug
	case "WARNING":
		return slog.LevelWarn
	case "ERROR":
		return slog.LevelError
	case "CRITICAL":
		return critical
	}
	return slog.LevelInfo
}

// ModelSizeLimit is how many bytes the model file may have on the device type
// that the file asks for, or 0 for no limit.
func (f *File) ModelSizeLimit() int64 {
	switch f.Deployment.DeviceType {
	case "mobile":
		return 256 << 20
	case "embedded":
		return 64 << 20
	}
	return 0
}

// ModelName is the name of the served model: the file's own, else the stem of
// model.path, or where that is "model" the folder that specPath, the path of the
// deployment file, lies in. CheckName has not seen it.
func (f *File) ModelName(specPath string) string {
	if f.Name != "" {
		return f.Name
	}
	stem := filepath.Base(filepath.ToSlash(f.Model.Path))
	stem = strings.TrimSuffix(stem, filepath.Ext(stem))
	if stem == "model" {
		if folder := filepath.Base(filepath.Dir(specPath)); folder != "." && folder != ".." && folder != string(filepath.Separator) {
			return folder
		}
	}
	return stem
}

// Resolved returns the file with its defaults as JSON.
func (f *File) Resolved() (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // ">=" stays as it was written
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(f); err != nil {
		return nil, fmt.Errorf("encode the deployment file: %w", err)
	}
	return b.Bytes(), nil
}

// Notes returns the keys that were given but have no effect, each with the
// reason.
func (f *File) Notes() []fault.Problem { return f.notes }

// Package inference defines what every native runtime looks like to the rest
// of the program. A Runtime loads a Model into a Session; a Session hands out
// Slots; a Slot runs one request at a time over memory that its owner gave it:
//
//	session, err := rt.Load(ctx, model, options)
//	slot, err := session.NewSlot(arena)
//	views, err := slot.Inputs([]inference.Input{{Shape: []int64{1, 1, 28, 28}}})
//	// fill views[0], for instance straight from a socket
//	outputs, err := slot.Run(ctx) // outputs[i].Data lies in the arena
//
// The package has no implementation of a runtime and imports only tensor and
// fault. Package inferencetest holds the tests that every implementation must
// pass; package worker implements the same contract across a process border, so
// that nothing above it knows whether a model runs in process.
package inference

import (
	"context"

	"verge/internal/tensor"
)

// Runtime is one loaded inference library, such as ONNX Runtime.
// All methods are safe for concurrent use.
type Runtime interface {
	// Info describes the library. It never changes.
	Info() RuntimeInfo

	// Load compiles a model for this device.
	//
	// It fails with fault.Corrupt when the bytes do not parse,
	// fault.Unsupported when the library lacks an operator, an element type, a
	// device or a provider, fault.Exhausted when memory runs out, and
	// fault.Invalid when the options contradict the model. The library's own
	// message is part of the error. When ctx ends first, it fails with
	// fault.Canceled or fault.Deadline, at the latest when the library returns.
	Load(ctx context.Context, m Model, o Options) (Session, error)
}

// RuntimeInfo describes a loaded library.
type RuntimeInfo struct {
	Name      string   `json:"name"`      // lower-case identifier: "onnxruntime"
	Version   string   `json:"version"`   // the library's own: "1.30.0"
	Library   string   `json:"library"`   // path of the file that was opened
	Providers []string `json:"providers"` // execution providers compiled in, by the library's names
	Build     string   `json:"build,omitempty"`
}

// Model is the verified bytes of one model version.
type Model struct {
	Name string // for messages and logs: "digits@3"
	// Data is the whole file. It is only read, and stays valid until the
	// Session that was loaded from it is closed.
	Data []byte
	// FD is a sealed memory file that holds exactly Data, or -1. A runtime that
	// crosses a process border passes it on instead of copying Data.
	FD int
	// Digest is the SHA-256 of Data, in hexadecimal, where the caller knows it; else "".
	Digest string
	// Weights is the second file of a format that keeps its weights apart, such as
	// the .bin of an OpenVINO model; nil for any other. It is valid as long as Data,
	// and only read.
	Weights *Memory
}

// Session is one model, compiled and ready to run. All methods are safe for
// concurrent use.
type Session interface {
	// Signature describes inputs and outputs, in the model's order. It never changes.
	Signature() Signature

	// Info describes what was loaded, and where it runs. It never changes.
	Info() SessionInfo

	// NewSlot prepares for requests whose tensors lie in memory of arena. The
	// arena is used by the Slot's calls only, never after the Slot's Close. It
	// fails with fault.Unavailable after Close.
	NewSlot(arena Arena) (Slot, error)

	// Close frees the model. Calls of Run that have begun are allowed to end
	// (end their contexts to hurry them); later ones fail with
	// fault.Unavailable. Slots need no Close of their own after it. Close is
	// safe to repeat.
	Close() error
}

// SessionInfo describes a loaded model.
type SessionInfo struct {
	Runtime            string            `json:"runtime"` // "onnxruntime"
	RuntimeVersion     string            `json:"runtime_version"`
	Device             string            `json:"device"`              // where it runs: "cpu"
	ProvidersRequested []string          `json:"providers_requested"` // in order of preference
	Providers          []string          `json:"providers"`           // in effect
	Fallbacks          []string          `json:"fallbacks,omitempty"` // one sentence each: what was asked for and why it was not used
	Threads            int               `json:"threads"`             // of one Run
	Parallel           int               `json:"parallel"`            // Runs at the same time
	Metadata           map[string]string `json:"metadata,omitempty"`  // producer, graph name, the model's own keys
	ModelBytes         int64             `json:"model_size_bytes"`    // size of the file
	Profile            string            `json:"profile,omitempty"`   // prefix of the profile files, where profiling is on
	// Stateful says that the model keeps values of its own from one Run to the next,
	// as models of streams do. Each Slot has its own, and a new Slot starts with the
	// model's initial ones.
	Stateful bool `json:"stateful,omitempty"`
}

// Input is the shape of one input of a request.
type Input struct {
	Shape []int64
	Bytes int // the tensor's size; required for tensor.Bytes, else 0 or exactly what follows from Shape
}

// Slot runs one request at a time. It keeps what the library needs for that
// (tensor objects over the arena's memory), so that a request costs one native
// call. A Slot is not safe for concurrent use; different Slots of a Session are.
type Slot interface {
	// Inputs lays out the inputs of the next request, in signature order, as
	// Layout does in one piece of the arena's input memory, and returns a view
	// of each, for the caller to fill before Run. It fails with fault.Invalid
	// when the count, a shape or a size does not fit the signature.
	Inputs(in []Input) ([][]byte, error)

	// Run computes the outputs from what the views hold. It returns every
	// output, in signature order, with its actual shape, which may be another than
	// the signature's, in rank too: models promise nothing. Their Data lies in the
	// arena's output memory and is valid until the next call of Inputs, Run or
	// Close. Run may be repeated with the same Inputs.
	//
	// When ctx ends, a run that has begun is interrupted where the library can
	// do so, and Run fails with fault.Canceled or fault.Deadline. It returns
	// only when nothing writes to the arena any more. Values that the library
	// refuses (an index out of range) are fault.Invalid, memory that ran out is
	// fault.Exhausted, the death of the process that ran it fault.Internal, and
	// a closed Session fault.Unavailable.
	Run(ctx context.Context) ([]tensor.Tensor, error)

	// Close frees the slot's native objects. It is safe to repeat.
	Close() error
}

// Memory is a region that tensors lie in.
type Memory struct {
	Data []byte
	// FD is a memory file, sealed against shrinking and growing, that Data maps
	// from its start, or -1 for plain process memory. A Slot that crosses a
	// process border needs one.
	FD int
}

// Arena provides the memory of one Slot. It is used by one goroutine at a time.
// The memory starts at a multiple of 64 bytes and does not move; what an earlier
// call returned may be gone after a later call of the same method. Align bytes
// behind what was asked for may be read, as kernels with vector instructions do.
type Arena interface {
	// Input returns memory for all inputs of a request: n bytes or more. Where
	// the earlier region is large enough, the same one comes back, contents kept.
	Input(n int) (Memory, error)
	// Output is the same for outputs. Sizes that the model decides arrive here
	// before anything is written, so this is where their limit is enforced: it
	// fails with fault.TooLarge.
	Output(n int) (Memory, error)
}

package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// ReportFormat is the number of the layout of a Report. A higher one may have members
// that this package does not know; those that it knows mean the same.
const ReportFormat = 1

// Report is everything that a node keeps of a deployment, for those who were not there.
// While the deployment goes on it holds what is known so far.
type Report struct {
	Format       int        `json:"format"`                  // ReportFormat
	Complete     bool       `json:"complete"`                // the deployment has ended
	VergeVersion string     `json:"verge_version,omitempty"` // of the node that ran it
	Deployment   Deployment `json:"deployment"`              // with its verdicts; Serves is empty
	AskedBy      *Actor     `json:"asked_by,omitempty"`      // nil where an earlier version of Verge ran it

	DurationMS float64         `json:"duration_ms"`       // from Created to the end, or to the last move so far
	Durations  []PhaseDuration `json:"durations"`         // of the phases that took time, in order
	FileName   string          `json:"file_name"`         // of the deployment file, as the request named it
	File       string          `json:"file"`              // the deployment file as it was given; as resolved it is Deployment.Spec
	Device     ReportDevice    `json:"device"`            //
	Runtime    *ReportRuntime  `json:"runtime,omitempty"` // nil where nothing was loaded
	This       *ReportVersion  `json:"this,omitempty"`    // the version of this deployment; nil where it was never loaded
	Before     *ReportVersion  `json:"before,omitempty"`  // the version that served before; nil for none
	Events     []ReportEvent   `json:"events"`            //
	Log        []ReportRecord  `json:"log"`               // the last records about the model, the oldest first
	Cut        []string        `json:"cut,omitempty"`     // what was left out for the size of the report, one sentence each
}

// Actor is who asked for something.
type Actor struct {
	// Kind is "socket" for a process at the node's Unix socket, "process" for the node's
	// own process (verge run), and "node" for the node itself, which asked nobody.
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"` // the user's, where the machine knows it
	UID  *int   `json:"uid,omitempty"`  // of a socket's peer, as the kernel gave it (SO_PEERCRED)
	GID  *int   `json:"gid,omitempty"`
	PID  int    `json:"pid,omitempty"` // when the connection was made; the process may have ended since
}

// The kinds of actors.
const (
	ActorSocket  = "socket"
	ActorProcess = "process"
	ActorNode    = "node"
)

// PhaseDuration is how long a deployment was in a phase.
type PhaseDuration struct {
	Phase      Phase   `json:"phase"`
	DurationMS float64 `json:"duration_ms"`
}

// ReportDevice is what a deployment ran on. What the machine does not tell is empty.
type ReportDevice struct {
	Label          string   `json:"label"` // as verdicts name it
	Board          string   `json:"board,omitempty"`
	CPU            string   `json:"cpu,omitempty"`
	Architecture   string   `json:"architecture,omitempty"` // Go's name: "amd64", "arm64"
	Processors     int      `json:"processors,omitempty"`   // that it makes sense to use
	MemoryBytes    int64    `json:"memory_bytes,omitempty"` // that this node may use
	OS             string   `json:"os,omitempty"`           // "linux"
	Kernel         string   `json:"kernel,omitempty"`
	Libc           string   `json:"libc,omitempty"`
	Accelerators   []string `json:"accelerators,omitempty"`     // "gpu NVIDIA Orin", each
	CelsiusAtBegin *float64 `json:"celsius_at_begin,omitempty"` // the processor's; nil without a sensor
	CelsiusAtEnd   *float64 `json:"celsius_at_end,omitempty"`
}

// ReportRuntime is the library that ran the model, and how.
type ReportRuntime struct {
	Name               string   `json:"name"` // "onnxruntime"
	Version            string   `json:"version,omitempty"`
	Device             string   `json:"device,omitempty"`              // where it ran: "cpu"
	ProvidersRequested []string `json:"providers_requested,omitempty"` // in order of preference
	Providers          []string `json:"providers,omitempty"`           // in effect
	Fallbacks          []string `json:"fallbacks,omitempty"`           // what was asked for and why it was not used
	Threads            int      `json:"threads,omitempty"`             // of one run
	Parallel           int      `json:"parallel,omitempty"`            // runs at the same time
}

// ReportVersion is one side of the comparison of a version with the one before it. A
// figure that was not measured is nil.
type ReportVersion struct {
	Version         int            `json:"version"`
	Deployment      string         `json:"deployment,omitempty"`
	Digest          string         `json:"digest,omitempty"`
	ModelBytes      int64          `json:"model_bytes,omitempty"` // size of the model's file
	Runtime         *ReportRuntime `json:"runtime,omitempty"`
	MemoryPeakBytes *int64         `json:"memory_peak_bytes,omitempty"` // of its worker

	// What the latency gate of its own deployment measured, inside the node.
	GateP50MS *float64 `json:"gate_p50_ms,omitempty"`
	GateP95MS *float64 `json:"gate_p95_ms,omitempty"`

	// What clients saw, the tests of a version's own deployment not counted: of the version
	// before, up to the switch; of this one, from the switch to the end of its observation.
	// The percentiles are a sixteenth too high at most.
	Requests    *int64   `json:"requests,omitempty"`
	Errors      *int64   `json:"errors,omitempty"`
	ServedP50MS *float64 `json:"served_p50_ms,omitempty"`
	ServedP95MS *float64 `json:"served_p95_ms,omitempty"`
}

// ReportEvent is one thing that happened: a phase that began, a verdict, a warning.
// Progress is not among them.
type ReportEvent struct {
	Time    time.Time `json:"time"`
	Type    EventType `json:"type"`
	Phase   Phase     `json:"phase,omitempty"`
	Message string    `json:"message,omitempty"`
}

// ReportRecord is one record of the node's log.
type ReportRecord struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"` // "INFO"
	Message string    `json:"message"`
	Attrs   string    `json:"attrs,omitempty"` // what was logged with it, as key=value
}

// Histogram is how latencies were spread. Counts[i] of them were at most BoundsMS[i], and
// above the bound before it (the first: FromMS, which is among them).
type Histogram struct {
	FromMS   float64   `json:"from_ms"`
	BoundsMS []float64 `json:"bounds_ms"`
	Counts   []int     `json:"counts"`
}

// Report returns what the node keeps of a deployment.
func (c *Client) Report(ctx context.Context, id string) (*Report, error) {
	var r Report
	if err := c.call(ctx, http.MethodGet, route("v1", "deployments", id, "report"), nil, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// ReportDocument returns the same in one of its forms, "json", "text", "junit" (XML) or
// "html" (one page, which needs no other file), as the node writes it.
func (c *Client) ReportDocument(ctx context.Context, id, format string) ([]byte, error) {
	path := route("v1", "deployments", id, "report") + "?" + url.Values{"format": {format}}.Encode()
	resp, err := c.send(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return c.readAll(ctx, resp, documentLimit)
}

// GivenFile is the text of a deployment file as a request has it in Spec: the string
// that it is, or the object as it was written.
func GivenFile(spec json.RawMessage) string {
	var text string
	if json.Unmarshal(spec, &text) == nil {
		return text
	}
	return string(spec)
}

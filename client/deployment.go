package client

import (
	"encoding/json"
	"time"
)

// Phase is one step of a deployment. A deployment goes through the phases in
// the order of the constants until it is committed, or ends in one of the last
// three.
type Phase string

// The phases.
const (
	PhasePending    Phase = "pending"    // accepted, not begun
	PhaseChecking   Phase = "checking"   // the file, the packages, the device, the model file
	PhasePreparing  Phase = "preparing"  // the model goes into the store, hashed; optimised if asked
	PhaseLoading    Phase = "loading"    // a worker starts and loads the model
	PhaseGating     Phase = "gating"     // latency, memory, signature
	PhaseTesting    Phase = "testing"    // performance, functional and load tests
	PhaseCanary     Phase = "canary"     // the new version answers a share of the requests, where the file says so
	PhaseActivating Phase = "activating" // requests switch to the new version
	PhaseObserving  Phase = "observing"  // the new version is watched under real load
	PhaseCommitted  Phase = "committed"  // done: the new version serves
	PhaseRolledBack Phase = "rolled_back"
	PhaseFailed     Phase = "failed"
	PhaseCanceled   Phase = "canceled"
)

// Phases returns every phase, in order.
func Phases() []Phase {
	return []Phase{
		PhasePending, PhaseChecking, PhasePreparing, PhaseLoading, PhaseGating, PhaseTesting, PhaseCanary,
		PhaseActivating, PhaseObserving, PhaseCommitted, PhaseRolledBack, PhaseFailed, PhaseCanceled,
	}
}

// Final reports whether a deployment in this phase has ended.
func (p Phase) Final() bool {
	switch p {
	case PhaseCommitted, PhaseRolledBack, PhaseFailed, PhaseCanceled:
		return true
	case PhasePending, PhaseChecking, PhasePreparing, PhaseLoading, PhaseGating, PhaseTesting, PhaseCanary, PhaseActivating,
		PhaseObserving:
	}
	return false
}

// Outcome is what a gate says.
type Outcome string

// The outcomes.
const (
	OutcomePass         Outcome = "pass"
	OutcomeFail         Outcome = "fail"         // measured, and over the limit
	OutcomeError        Outcome = "error"        // the check itself could not run
	OutcomeInconclusive Outcome = "inconclusive" // measured, but not enough to say
	OutcomeSkipped      Outcome = "skipped"      // not asked for, or not available in this version
)

// Outcomes returns every outcome.
func Outcomes() []Outcome {
	return []Outcome{OutcomePass, OutcomeFail, OutcomeError, OutcomeInconclusive, OutcomeSkipped}
}

// Verdict is what one gate found, with the figures that it rests on.
type Verdict struct {
	Gate    string             `json:"gate"`             // "latency", "memory", "performance", "functional", "load", …
	Phase   Phase              `json:"phase,omitempty"`  // in which it was found
	Outcome Outcome            `json:"outcome"`          //
	Figure  *float64           `json:"figure,omitempty"` // what counts; nil where nothing was measured
	Limit   *float64           `json:"limit,omitempty"`  // what Figure was held against; nil where there is none
	Unit    string             `json:"unit,omitempty"`   // of Figure and Limit: "ms", "MB", "ratio"
	Samples int                `json:"samples"`          // measurements that Figure rests on
	How     string             `json:"how,omitempty"`    // how it was measured, one phrase
	Detail  string             `json:"detail,omitempty"` // what a person needs to know beside the figures
	Figures map[string]float64 `json:"figures,omitempty"`
	Device  string             `json:"device,omitempty"` // on which it was measured
	Time    time.Time          `json:"time,omitzero"`
	Celsius *float64           `json:"celsius,omitempty"` // the processor's temperature then; nil without a sensor

	Histogram *Histogram `json:"histogram,omitempty"` // of the latencies that Figure rests on; nil where none were measured
}

// PhaseRecord says when a deployment was in a phase.
type PhaseRecord struct {
	Phase   Phase     `json:"phase"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"` // zero while the phase lasts
}

// Problem is one thing that is wrong with a deployment file, or with what it
// asks of the device.
type Problem struct {
	Path    string `json:"path"`           // key path, such as "deployment.cpu_threads"; "" for the whole
	Line    int    `json:"line,omitempty"` // 1-based; 0 where lines mean nothing
	Message string `json:"message"`        // what was seen and what is allowed
	Hint    string `json:"hint,omitempty"` // what to do
}

// Failure says why a deployment ended without serving.
type Failure struct {
	Kind     string    `json:"kind"` // as Error.Kind
	Message  string    `json:"message"`
	Hint     string    `json:"hint,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
}

// Deployment is one attempt to put one version of a model into service.
type Deployment struct {
	ID      string `json:"id"` // "digits-20261123-7f3a"
	Model   string `json:"model"`
	Version int    `json:"version"`
	Stage   string `json:"stage"`
	Phase   Phase  `json:"phase"`
	Digest  string `json:"digest,omitempty"` // of the model file: "sha256:…"
	// Artifacts are the digests of all its files, by key as in DeploymentRequest; nil where an
	// earlier version of Verge ran it.
	Artifacts map[string]string `json:"artifacts,omitempty"`
	Created   time.Time         `json:"created"`
	Updated   time.Time         `json:"updated"`
	Reason    string            `json:"reason,omitempty"` // why it was asked for
	// NothingToDo says, in the answer to a request for a deployment, that the same files serve
	// with the same configuration already, by this deployment.
	NothingToDo bool `json:"nothing_to_do,omitempty"`

	// ForceReason is why the stage was to take what it would refuse; "" where it was not.
	ForceReason string `json:"force_reason,omitempty"`
	// PromotedFrom is the stage whose version it promotes; "" for none.
	PromotedFrom string `json:"promoted_from,omitempty"`

	RollsBack string          `json:"rolls_back,omitempty"` // the deployment that it rolls back, by its id; "" for none
	Phases    []PhaseRecord   `json:"phases"`
	Verdicts  []Verdict       `json:"verdicts"`
	Warnings  []string        `json:"warnings,omitempty"`
	Error     *Failure        `json:"error,omitempty"`
	Spec      json.RawMessage `json:"spec,omitempty"`   // the deployment file with its defaults, as JSON
	Serves    string          `json:"serves,omitempty"` // what answers for the model's name now: "digits@3", or ""
}

// DeploymentRequest asks a node to deploy. The files that it speaks of are
// uploaded first, with Client.PutArtifact; no path crosses.
type DeploymentRequest struct {
	Spec           json.RawMessage   `json:"spec"`                      // the deployment file: a JSON object, or a JSON string that holds the text of a YAML or JSON file
	SpecName       string            `json:"spec_name,omitempty"`       // its file name, for messages
	Artifacts      map[string]string `json:"artifacts"`                 // key ("model", "labels", "golden") → digest
	Name           string            `json:"name,omitempty"`            // the served name, where Spec has none
	Stage          string            `json:"stage,omitempty"`           // overrides Spec's
	Reason         string            `json:"reason,omitempty"`          // kept with the deployment
	ForceReason    string            `json:"force_reason,omitempty"`    // why a stage may be given what it would refuse: a verdict that cannot tell, bytes that staging has not seen; kept with the deployment
	IgnorePackages []string          `json:"ignore_packages,omitempty"` // required packages that are not checked
	Retry          bool              `json:"retry,omitempty"`           // deploy bytes that were rolled back before
	// Evidence is the report of a deployment of the same model on another node, which
	// production may take in the place of one on this device.
	Evidence *Report `json:"evidence,omitempty"`
	// AllowSignatureChange says that clients are ready for inputs and outputs that are not
	// those of the version that serves.
	AllowSignatureChange bool `json:"allow_signature_change,omitempty"`

	// Again deploys what serves already with the same files and the same configuration; else
	// nothing is done, and the answer is its deployment.
	Again bool `json:"again,omitempty"`

	Queue bool `json:"queue,omitempty"` // wait while another deployment of the model goes on
}

// RollbackRequest asks a node to serve an earlier version of a model again.
type RollbackRequest struct {
	To     int    `json:"to,omitempty"`     // version; 0 for the one before the one that serves
	Reason string `json:"reason,omitempty"` // kept with the deployments
}

// PromoteRequest asks a node to deploy the version of a lower stage to a higher one.
type PromoteRequest struct {
	To          string `json:"to"`                     // "staging" or "production"
	Reason      string `json:"reason,omitempty"`       // kept with the deployment
	ForceReason string `json:"force_reason,omitempty"` // as in DeploymentRequest
}

// ShadowRequest says how a version is compared with the one that clients ask.
type ShadowRequest struct {
	Sample       float64 `json:"sample"`        // share of the requests that are copied, above 0 and up to 1
	Seconds      float64 `json:"seconds"`       // how long, above 0 and up to 3600
	MinAgreement float64 `json:"min_agreement"` // least share of answers that agree, 0 to 1
	Tolerance    float64 `json:"tolerance"`     // how far floats may be off, absolute and relative; at the least that of the deployment's functional test
}

// PinRequest asks a node to keep a version with all its files, or no longer.
type PinRequest struct {
	Version int  `json:"version"`
	Remove  bool `json:"remove,omitempty"`
}

// DeploymentList is one page of deployments, the newest first.
type DeploymentList struct {
	Deployments []Deployment `json:"deployments"`
	Next        string       `json:"next,omitempty"` // pass as DeploymentQuery.After for the next page; "" at the end
}

// DeploymentQuery selects deployments.
type DeploymentQuery struct {
	Model string // only of this model; "" for all
	Limit int    // at most this many; 0 for the node's default
	After string // only those that are older than the deployment with this id
}

// EventType says what an Event tells.
type EventType string

// The types of events.
const (
	EventPhase    EventType = "phase"    // Phase has begun
	EventVerdict  EventType = "verdict"  // a gate has spoken: Verdict
	EventWarning  EventType = "warning"  // Message
	EventProgress EventType = "progress" // a step moved on: Progress; may be left out of a replay
	EventEnd      EventType = "end"      // the last one: Phase is final, Error says why where it failed
)

// Event is one thing that happened in a deployment.
type Event struct {
	Seq        uint64    `json:"seq"` // counts up within the deployment, from 1
	Time       time.Time `json:"time"`
	Deployment string    `json:"deployment"`
	Type       EventType `json:"type"`
	Phase      Phase     `json:"phase,omitempty"`
	Verdict    *Verdict  `json:"verdict,omitempty"`
	Progress   *Progress `json:"progress,omitempty"`
	Message    string    `json:"message,omitempty"`
	Error      *Failure  `json:"error,omitempty"`
}

// Progress is how far a step has come.
type Progress struct {
	Step   string   `json:"step"` // "latency", "load", "copy", …
	Done   int64    `json:"done"`
	Total  int64    `json:"total"`            // 0 where it is not known
	Figure *float64 `json:"figure,omitempty"` // the latest measurement
	Unit   string   `json:"unit,omitempty"`   // of Figure: "ms"
}

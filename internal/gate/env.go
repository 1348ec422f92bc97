package gate

import (
	"context"
	"fmt"
	"math"
	"time"

	"verge/client"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// The gates, by the names that their verdicts have.
const (
	GateLatency      = "latency"
	GateLatencyRatio = "latency_ratio" // to that of the version that serves
	GateMemory       = "memory"
	GateGap          = "gap"        // in which no version serves
	GateColdStart    = "cold_start" // from nothing to the first answer
	GateSignature    = "signature"
	GateEvidence     = "evidence"    // that staging has taken the bytes
	GateDeterminism  = "determinism" // the same answer to the same request
	GateNumbers      = "numbers"     // no NaN and no infinity in answers
	GateShadow       = "shadow"      // answers beside those that clients get
	GateCanary       = "canary"      // a share of what clients ask
	GateAccuracy     = "accuracy"
	GateAccuracyDrop = "accuracy_drop" // against the version that serves
	GateObservation  = "observation"
	GatePerformance  = "performance"
	GateFunctional   = "functional"
	GateLoad         = "load"
	GateChoice       = "choice" // of a way to run the model; package choice measures
)

// Env is what every check needs of the machine that it runs on.
type Env struct {
	Device   string                // what the machine is called in verdicts
	Now      func() time.Time      // the clock that latencies are read from
	Celsius  func() *float64       // nil, or the processor's temperature, which may be nil
	Progress func(client.Progress) // nil, or told after each measurement, by any goroutine
}

// Version is a loaded candidate as seen from inside. Warm runs one inference that
// no request count shows; *serve.Version implements it.
type Version interface {
	Signature() inference.Signature
	Warm(ctx context.Context, inputs []tensor.Tensor, use func(outputs []tensor.Tensor)) error
}

// Candidate is a loaded candidate as clients see it; *client.Client implements it.
type Candidate interface {
	Infer(ctx context.Context, req client.InferRequest) (*client.InferResponse, error)
}

// Target is a candidate with a request that it should answer.
type Target struct {
	Candidate Candidate
	Model     string
	Signature inference.Signature
	Inputs    []tensor.Tensor // of one request, of the batch size that is promised
	Source    string          // where Inputs come from: "seeded inputs (seed 0)"
}

// request is the inference that the tests repeat.
func (t Target) request(inputs []tensor.Tensor) client.InferRequest {
	req := client.InferRequest{Model: t.Model, Inputs: make([]client.Tensor, len(inputs))}
	for i, in := range inputs {
		req.Inputs[i] = client.Tensor{Name: in.Name, Datatype: in.DType.String(), Shape: in.Shape, Data: in.Data}
	}
	return req
}

// patience is how long a test waits for an answer. A node answers each request
// within its own limits, so one that has no answer by then is lost.
const patience = 2 * time.Minute

// infer sends one request.
func (t Target) infer(ctx context.Context, req client.InferRequest) (*client.InferResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return t.Candidate.Infer(ctx, req)
}

// verdict begins the verdict of a gate.
func (e Env) verdict(gate string) client.Verdict {
	v := client.Verdict{Gate: gate, Device: e.Device, Time: e.Now()}
	if e.Celsius != nil {
		v.Celsius = e.Celsius()
	}
	return v
}

func (e Env) progress(step string, done, total int, figure float64, unit string) {
	if e.Progress != nil && !math.IsNaN(figure) && !math.IsInf(figure, 0) { // JSON has no others
		e.Progress(client.Progress{Step: step, Done: int64(done), Total: int64(total), Figure: &figure, Unit: unit})
	}
}

// failed is the verdict of a check that could not run.
func failed(v client.Verdict, format string, args ...any) client.Verdict {
	v.Outcome, v.Detail = client.OutcomeError, fmt.Sprintf(format, args...)
	return v
}

// held compares the figure with its limit, which it may reach.
func held(v client.Verdict, figure, limit float64, unit string) client.Verdict {
	v.Figure, v.Limit, v.Unit, v.Outcome = &figure, &limit, unit, client.OutcomePass
	if figure > limit {
		v.Outcome = client.OutcomeFail
	}
	return v
}

// message is err for people, whichever of the two kinds it is.
func message(err error) string { return fault.Message(err) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Hint says what to do about a verdict that refused a deployment.
func Hint(gate string) string {
	switch gate {
	case GateLatency, GatePerformance:
		return "Deploy a faster model, or raise deployment.max_latency_ms."
	case GateMemory:
		return "Deploy a smaller model, or raise deployment.memory_limit_mb."
	case GateFunctional:
		return "Compare the model with tests.functional_test.golden; widen its tolerance where the difference is rounding."
	case GateLoad:
		return "Give the model more threads, or lower what tests.load_test asks for."
	case GateLatencyRatio:
		return "Deploy a faster model, or raise deployment.max_latency_ratio."
	case GateColdStart:
		return "Deploy a smaller model, or raise deployment.max_cold_start_ms."
	case GateNumbers:
		return "Look for a division by zero or an overflow in the model; where it means them, set tests.functional_test.allow_nan."
	case GateAccuracy:
		return "Deploy a better model, or change the limit of accuracy."
	case GateAccuracyDrop:
		return "Deploy a better model, give accuracy.dataset more samples, or raise accuracy.max_drop."
	case GateShadow:
		return "Look at what differs, or lower shadow.min_agreement."
	case GateCanary:
		return "Look at the log of the deployment, or change the limits of observe."
	case GateSignature:
		return "Deploy it under another name, or with --allow-signature-change where all clients are ready."
	}
	return ""
}

package gate

import (
	"fmt"
	"strings"

	"verge/client"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// Usage is what was measured of the process that holds a candidate.
type Usage struct {
	PeakBytes    int64  // the most that it took so far
	CurrentBytes int64  // that it takes now
	How          string // how that was measured, one phrase: "RssAnon+RssShmem of the worker, sampled"
}

// Memory holds the peak of the candidate's process against the limit. Where it
// could not be measured, why says the reason and the verdict is inconclusive: a
// model that runs inside the node has no memory of its own that could be read.
func Memory(e Env, used Usage, why error, limitMB int) client.Verdict {
	const mb = 1 << 20
	v := e.verdict(GateMemory)
	limit := float64(limitMB)
	if why != nil {
		v.Outcome, v.Limit, v.Unit, v.Detail = client.OutcomeInconclusive, &limit, "MB", message(why)
		return v
	}
	v.How, v.Samples = used.How, 1
	return held(v, float64(used.PeakBytes)/mb, limit, "MB")
}

// Signature compares the candidate's inputs and outputs with those of the version
// that serves now, which is nil where none does. What old clients ask stays
// answered when every input takes what it took and no output is gone or changed. Anything
// else fails, unless it is allowed.
func Signature(e Env, serving *inference.Signature, candidate inference.Signature, allowed bool) client.Verdict {
	v := e.verdict(GateSignature)
	v.How, v.Outcome = "compared with the version that serves now", client.OutcomePass
	if serving == nil {
		v.Outcome, v.Detail = client.OutcomeSkipped, "no version serves now"
		return v
	}
	changes := differences("input", serving.Inputs, candidate.Inputs, true)
	changes = append(changes, differences("output", serving.Outputs, candidate.Outputs, true)...)
	broken := 0
	texts := make([]string, len(changes))
	for i, c := range changes {
		texts[i] = c.text
		if c.breaks {
			broken++
		}
	}
	figure, limit := float64(broken), 0.0
	v.Figure, v.Limit, v.Unit, v.Samples = &figure, &limit, "changes", len(candidate.Inputs)+len(candidate.Outputs)
	v.Detail = strings.Join(texts, "; ")
	switch {
	case broken > 0 && allowed:
		v.Detail += "; allowed on request"
	case broken > 0:
		v.Outcome = client.OutcomeFail
		v.Detail += "; clients of the version that serves may not be ready for it"
	}
	return v
}

// SignatureBreaks says what clients of the version that serves now cannot survive, by the
// names and types of inputs and outputs alone: all that a model's file declares reliably.
func SignatureBreaks(serving, declared inference.Signature) (texts []string) {
	for _, c := range append(differences("input", serving.Inputs, declared.Inputs, false), differences("output", serving.Outputs, declared.Outputs, false)...) {
		if c.breaks {
			texts = append(texts, c.text)
		}
	}
	return texts
}

type change struct {
	text   string
	breaks bool // a client that knows the old signature may fail
}

// covers says whether all that has the shape and type of narrow has those of wide too.
func covers(wide, narrow inference.Spec) bool {
	if wide.DType != narrow.DType || (wide.Shape == nil) != (narrow.Shape == nil) || len(wide.Shape) != len(narrow.Shape) {
		return false
	}
	for k, dim := range wide.Shape {
		if dim >= 0 && dim != narrow.Shape[k] {
			return false
		}
	}
	return true
}

// differences tells what is other on one side, its shapes included where they count.
func differences(kind string, before, after []inference.Spec, shapes bool) []change {
	var all []change
	for _, old := range before {
		i := inference.Index(after, old.Name)
		switch {
		case i >= 0 && !shapes:
			if old.DType != after[i].DType && after[i].DType != tensor.Invalid {
				all = append(all, change{fmt.Sprintf("%s %q was %s, is %s", kind, old.Name, old.DType, after[i].DType), true})
			}
		case i < 0:
			all = append(all, change{fmt.Sprintf("%s %q is gone", kind, old.Name), true})
		case old.String() != after[i].String():
			narrow, wide := old, after[i] // an input may take more than before, an output be less
			if kind == "output" {
				narrow, wide = wide, narrow
			}
			all = append(all, change{fmt.Sprintf("%s %q was %s%s, is %s%s", kind, old.Name,
				old.DType, inference.FormatShape(old.Shape), after[i].DType, inference.FormatShape(after[i].Shape)), !covers(wide, narrow)})
		}
	}
	for _, fresh := range after {
		if inference.Index(before, fresh.Name) < 0 {
			all = append(all, change{fmt.Sprintf("%s %q is new", kind, fresh.Name), kind == "input"})
		}
	}
	return all
}

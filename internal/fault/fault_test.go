package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"verge/internal/fault"
)

func TestEveryKindHasANameThatLeadsBackToIt(t *testing.T) {
	want := []string{
		"internal", "invalid", "unauthenticated", "denied", "not_found", "conflict", "too_large",
		"quota", "unavailable", "deadline", "canceled", "unsupported", "corrupt", "exhausted",
	}
	kinds := fault.Kinds()
	if len(kinds) != len(want) {
		t.Fatalf("Kinds() has %d kinds, want %d", len(kinds), len(want))
	}
	for i, kind := range kinds {
		back, ok := fault.ParseKind(kind.String())
		if kind.String() != want[i] || back != kind || !ok {
			t.Errorf("kind %d is %q and parses to %v, %v; want %q", i, kind, back, ok, want[i])
		}
	}
	if kind, ok := fault.ParseKind("Invalid"); kind != fault.Internal || ok {
		t.Errorf(`ParseKind("Invalid") = %v, %v, want internal, false`, kind, ok)
	}
	if got := fault.Kind(200).String(); got != "kind(200)" {
		t.Errorf("Kind(200) = %q", got)
	}
}

func TestTheZeroKindIsInternal(t *testing.T) {
	if got := (&fault.Error{}).Error(); got != "internal" {
		t.Errorf("zero Error = %q, want internal", got)
	}
}

func TestErrorTextsForLogsAndForPeople(t *testing.T) {
	inner := fault.New(fault.Corrupt, "artifact.load", "its bytes have sha256:00").On("artifact sha256:11").WithHint("Deploy the model again.")
	tests := map[string]struct {
		err                 error
		log, message, hints string
		kind                fault.Kind
	}{
		"an operation and a cause": {
			fault.New(fault.Invalid, "serve.begin", "queue of %q is full", "m"),
			`serve.begin: queue of "m" is full`, `queue of "m" is full`, "", fault.Invalid,
		},
		"a subject stays for people": {
			inner, "artifact.load artifact sha256:11: its bytes have sha256:00",
			"artifact sha256:11: its bytes have sha256:00", "Deploy the model again.", fault.Corrupt,
		},
		"nested faults: the outer kind, the first hint, no operations": {
			&fault.Error{Kind: fault.Internal, Op: "deploy.load", Err: inner},
			"deploy.load: artifact.load artifact sha256:11: its bytes have sha256:00",
			"artifact sha256:11: its bytes have sha256:00", "Deploy the model again.", fault.Internal,
		},
		"the outer hint goes first": {
			(&fault.Error{Kind: fault.Invalid, Err: inner}).WithHint("Look at %s.", "it"),
			"artifact.load artifact sha256:11: its bytes have sha256:00",
			"artifact sha256:11: its bytes have sha256:00", "Look at it.", fault.Invalid,
		},
		"no cause: the kind": {
			&fault.Error{Kind: fault.NotFound, Op: "deploy.get", Subject: `model "m"`},
			`deploy.get model "m": not_found`, `model "m": not_found`, "", fault.NotFound,
		},
		"neither cause nor subject": {
			&fault.Error{Kind: fault.Quota, Op: "api.limit"}, "api.limit: quota", "quota", "", fault.Quota,
		},
		"another error is internal and stays as it is": {
			fs.ErrNotExist, "file does not exist", "file does not exist", "", fault.Internal,
		},
		"a wrapped fault keeps kind and hint": {
			fmt.Errorf("warm up: %w", inner), "warm up: artifact.load artifact sha256:11: its bytes have sha256:00",
			"warm up: artifact.load artifact sha256:11: its bytes have sha256:00", "Deploy the model again.", fault.Corrupt,
		},
		"a bare context error has a kind":   {context.Canceled, "context canceled", "context canceled", "", fault.Canceled},
		"a wrapped deadline has a kind too": {fmt.Errorf("ask: %w", context.DeadlineExceeded), "ask: context deadline exceeded", "ask: context deadline exceeded", "", fault.Deadline},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.err.Error(); got != test.log {
				t.Errorf("Error() = %q, want %q", got, test.log)
			}
			if got := fault.Message(test.err); got != test.message {
				t.Errorf("Message() = %q, want %q", got, test.message)
			}
			if got := fault.HintOf(test.err); got != test.hints {
				t.Errorf("HintOf() = %q, want %q", got, test.hints)
			}
			if got := fault.KindOf(test.err); got != test.kind {
				t.Errorf("KindOf() = %v, want %v", got, test.kind)
			}
		})
	}
	if fault.Message(nil) != "" || fault.HintOf(nil) != "" {
		t.Error("nil has a message or a hint")
	}
}

func TestTheCauseOfAFaultIsFound(t *testing.T) {
	err := fault.New(fault.NotFound, "x.open", "open: %w", fs.ErrNotExist)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("errors.Is does not find the wrapped cause")
	}
}

func TestProblemsAreAllTold(t *testing.T) {
	var ps fault.Problems
	if err := ps.Err(); err != nil {
		t.Errorf("no problem = %v, want nil", err)
	}
	ps.Add("deployment.cpu_threads", 3, "is %d, want 0 to %d", -1, 1024)
	ps.Add("", 0, "the file is empty")
	ps.Add("model", 0, "is missing")
	want := "line 3: deployment.cpu_threads: is -1, want 0 to 1024\nthe file is empty\nmodel: is missing"
	err := fault.Error{Kind: fault.Invalid, Op: "deployfile.parse", Err: ps.Err()}
	if got := fault.Message(&err); got != want {
		t.Errorf("Message() = %q, want %q", got, want)
	}
	var back fault.Problems
	if !errors.As(&err, &back) || len(back) != 3 {
		t.Errorf("errors.As gave %v", back)
	}
}

func TestProblemsBeyondAHundredAreNotListed(t *testing.T) {
	var ps fault.Problems
	for n := range 20_000 {
		ps.Add("key", n, "is unknown")
	}
	if last := ps[len(ps)-1].String(); len(ps) != 101 || last != "there are more problems than these 100" {
		t.Errorf("%d problems, the last is %q", len(ps), last)
	}
}

func TestOneErrorStaysWhatItIsWhenJoined(t *testing.T) {
	one, other := fault.New(fault.NotFound, "a.b", "one"), fault.New(fault.Invalid, "c.d", "other")
	if err := fault.Join(nil, nil); err != nil {
		t.Errorf("Join of nothing = %v, want nil", err)
	}
	if err := fault.Join(nil, one, nil); fault.Message(err) != "one" || fault.KindOf(err) != fault.NotFound {
		t.Errorf("Join of one = %q (%v), want one without the name of its operation", fault.Message(err), fault.KindOf(err))
	}
	if err := fault.Join(one, other); !errors.Is(err, one) || !errors.Is(err, other) {
		t.Errorf("Join of two = %v, want both in its tree", err)
	}
}

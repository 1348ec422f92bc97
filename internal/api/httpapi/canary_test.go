package httpapi_test

import (
	"context"
	"strings"
	"testing"

	"verge/internal/fault"
	"verge/internal/serve"
)

// canary adds version 2 of m, which answers what the share of a header's values says.
func (n *node) canary(t *testing.T, session *identity, header string, share float64) {
	t.Helper()
	session.inputs = models()["m"].inputs
	v, err := n.models.Add(serve.Spec{Model: "m", Version: 2, Session: session})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.version(t, "m").Split(serve.Canary{Version: v, Share: share, Header: header}))
}

func TestClientsMeetOneVersionByAHeader(t *testing.T) {
	n := start(t, config(), models(), nil)
	n.canary(t, &identity{}, "x-client", 0.5)
	met := map[string]int{}
	for range 64 { // in one of 2^63 runs all of them meet the same
		name := t.Name() + strings.Repeat("x", len(met))
		for range 3 {
			got := n.raw(t, post("m", good, "X-Client: "+name))
			want := strings.Replace(goodAnswer, `"model_version":"1"`, `"model_version":"2"`, 1)
			switch {
			case got.status == 200 && got.body == goodAnswer && met[name] != 2:
				met[name] = 1
			case got.status == 200 && got.body == want && met[name] != 1:
				met[name] = 2
			default:
				t.Fatalf("after version %d: %d %s", met[name], got.status, got.body)
			}
		}
	}
	both := map[int]bool{}
	for _, version := range met {
		both[version] = true
	}
	if len(both) != 2 {
		t.Errorf("all clients met %v", both)
	}
}

func TestWhatACanaryCannotAnswerIsAnswered(t *testing.T) {
	for name, session := range map[string]*identity{
		"a run that fails":           {run: func(context.Context) error { return fault.New(fault.Internal, "fake.run", "it broke") }},
		"a run that finds it wrong":  {run: func(context.Context) error { return fault.New(fault.Invalid, "fake.run", "index out of range") }},
		"NaN, which JSON cannot say": {nan: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, config(), models(), nil)
			n.canary(t, session, "", 1)
			for range 3 {
				if got := n.raw(t, post("m", good)); got.status != 200 || got.body != goodAnswer {
					t.Errorf("%d %s, want what version 1 answers", got.status, got.body)
				}
			}
			n.idle(t, "m")
		})
	}
}

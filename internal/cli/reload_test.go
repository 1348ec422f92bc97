package cli_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"verge/internal/cli"
)

// reader is an output that calls react with all that was written so far.
type reader struct {
	mu    sync.Mutex // guards text
	text  bytes.Buffer
	react func(all string)
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(p)
	r.react(r.text.String())
	return len(p), nil
}

func TestAWatchedFileIsDeployedAgainWhenItChanges(t *testing.T) {
	_, flags := withLibrary(t)
	path := spec(t)
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(bounded)
	first, second := sync.OnceFunc(func() { write("model: {path: digits.onnx}\ndeployment: {max_latency_ms: 0}\n") }),
		sync.OnceFunc(func() { write("model: {path: digits.onnx}\ndeployment: {max_latency_ms: 77}\n") })
	out := &reader{react: func(all string) {
		switch {
		case strings.Contains(all, "digits.development@2 serves"):
			interrupt(cli.Interrupted{Signal: os.Interrupt})
		case strings.Contains(all, "digits.development@1 serves"):
			first()
		}
	}}
	errs := &reader{react: func(all string) {
		if strings.Contains(all, "Hint: \"verge check --schema\" prints every key with its range.") {
			second()
		}
	}}
	r := vergeWith(ctx, t, cli.IO{Out: out, Err: errs}, append([]string{"run", path, "--watch"}, flags...)...)
	if r.status != 0 || !strings.Contains(out.text.String(), "digits.development@2 serves\n") ||
		!strings.Contains(errs.text.String(), "deployment.max_latency_ms: is 0, want a number above 0") {
		t.Errorf("status %d\n%s\n%s", r.status, out.text.String(), errs.text.String())
	}
}

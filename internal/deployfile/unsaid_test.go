package deployfile_test

import (
	"fmt"
	"slices"
	"testing"

	"verge/internal/deployfile"
)

func TestWhatAFileDoesNotSayIsTold(t *testing.T) {
	const text = "model: {path: m.onnx}\ndeployment: {batch_size: 4}\ntests: {load_test: true, performance_test: {runs: 7}}\nstages: {production: {deployment: {cpu_threads: 2}}}\n"
	spec := fmt.Appendf(nil, "%q", text)
	for stage, want := range map[string][]string{
		"testing":    {"deployment.max_latency_ms 100 ", "tests.performance_test.warmup 0 ", "tests.functional_test.tolerance 0.0001 "},
		"production": {"deployment.max_latency_ms 100 ", "observe.max_error_rate 0.05 production", "observe.duration \"5m0s\" production", "tests.performance_test.warmup 0 "},
	} {
		f, err := deployfile.ParseSpec(spec, "d.yaml", deployfile.Options{Stage: stage})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, u := range f.Unsaid() {
			all = append(all, fmt.Sprintf("%s %s %s", u.Key, u.Value, u.Stage))
		}
		for _, line := range want {
			if !slices.Contains(all, line) {
				t.Errorf("at %s it does not tell %q, but %q", stage, line, all)
			}
		}
		for _, key := range []string{"model.path", "deployment.batch_size", "tests.load_test", "tests.performance_test.runs", "stage"} {
			if slices.ContainsFunc(f.Unsaid(), func(u deployfile.Unsaid) bool { return u.Key == key }) {
				t.Errorf("at %s it tells %s, which is said", stage, key)
			}
		}
	}
}

package tensorrt_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/inference/inferencetest/trtstub"
	"verge/internal/runtimes/tensorrt"
)

// folder is where the stand-ins of all tests are built, since an open library stays.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "tensorrt"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(folder)
		os.Exit(code)
	}))
}

// majors are the major versions that have a layout.
var majors = []int{10, 11}

// build builds the stand-ins of a major version.
func build(tb testing.TB, major int) *trtstub.Stub {
	tb.Helper()
	return trtstub.Build(tb, folder, trtstub.Variant{Major: major})
}

// open opens the stand-in for a major version. When the test ends, after what it
// closes, the rules have to be kept and nothing may be left but the runtime. A test
// calls it once.
func open(tb testing.TB, major int) (inference.Runtime, *trtstub.Stub) {
	tb.Helper()
	stub := build(tb, major)
	rt, err := tensorrt.OpenWith(stub.TensorRT, stub.CUDA, nil)
	if err != nil {
		tb.Fatalf("Open = %v, want a runtime", err)
	}
	tb.Cleanup(func() { stub.Check(tb, 1) })
	return rt, stub
}

// onGPU presents a runtime to the contract suite, whose runtimes run on the CPU unless
// something else is asked for. An engine runs on the GPU always.
type onGPU struct{ inference.Runtime }

type sessionOnGPU struct{ inference.Session }

func (r onGPU) Load(ctx context.Context, m inference.Model, o inference.Options) (inference.Session, error) {
	session, err := r.Runtime.Load(ctx, m, o)
	if err != nil {
		return nil, err
	}
	return sessionOnGPU{session}, nil
}

func (s sessionOnGPU) Info() inference.SessionInfo {
	info := s.Session.Info()
	if info.Device == "gpu" {
		info.Device = "cpu"
	}
	return info
}

func TestContract(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprintf("TensorRT %d", major), func(t *testing.T) {
			suite := trtstub.Suite(major)
			opened := map[string]inference.Runtime{} // by test
			suite.Open = func(tb testing.TB) inference.Runtime {
				tb.Helper()
				rt, again := opened[tb.Name()]
				if !again {
					rt, _ = open(tb, major)
					opened[tb.Name()] = rt
				}
				return onGPU{rt}
			}
			inferencetest.Run(t, suite)
		})
	}
}

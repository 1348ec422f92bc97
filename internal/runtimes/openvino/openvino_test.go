package openvino_test

import (
	"testing"

	"go.uber.org/goleak"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/runtimes/openvino"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens the library, or skips the test where there is none.
func open(tb testing.TB) inference.Runtime {
	tb.Helper()
	rt, err := openvino.Open(inferencetest.Library(tb, openvino.Name), nil)
	if err != nil {
		tb.Fatalf("Open = %v, want a runtime", err)
	}
	return rt
}

func TestContract(t *testing.T) {
	suite := inferencetest.OpenVINO(t)
	suite.Open = open
	inferencetest.Run(t, suite)
}

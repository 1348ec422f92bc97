package litert_test

import (
	"testing"

	"go.uber.org/goleak"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/runtimes/litert"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens the library, or skips the test where there is none.
func open(tb testing.TB) inference.Runtime {
	tb.Helper()
	rt, err := litert.Open(inferencetest.Library(tb, litert.Name), nil)
	if err != nil {
		tb.Fatalf("Open = %v, want a runtime", err)
	}
	return rt
}

func TestContract(t *testing.T) {
	suite := inferencetest.TFLite(t)
	suite.Open = open
	inferencetest.Run(t, suite)
}

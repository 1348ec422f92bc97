package worker_test

import (
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/runtimes/onnxruntime"
)

func TestONNXRuntimeInWorkersKeepsTheContract(t *testing.T) {
	library := inferencetest.Library(t, onnxruntime.Name)
	suite := inferencetest.ONNX(t)
	cfg := quick()
	cfg.CancelGrace, cfg.PingTimeout = hold, hold // this machine may be slow
	suite.Open = func(tb testing.TB) inference.Runtime {
		tb.Helper()
		return newHost(tb, cfg, "honest", nil).Runtime(onnxruntime.Name, library)
	}
	inferencetest.Run(t, suite)
}

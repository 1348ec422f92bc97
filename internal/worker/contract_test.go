package worker_test

import (
	"testing"

	"verge/internal/inference"
	"verge/internal/inference/inferencetest"
	"verge/internal/runtimes/litert"
	"verge/internal/runtimes/onnxruntime"
	"verge/internal/runtimes/openvino"
	"verge/internal/tensor"
)

// keepsTheContract runs the suite through workers that open a library.
func keepsTheContract(t *testing.T, name string, suite func(testing.TB) inferencetest.Suite) {
	t.Helper()
	library := inferencetest.Library(t, name)
	s := suite(t)
	cfg := quick()
	cfg.CancelGrace, cfg.PingTimeout = hold, hold // this machine may be slow
	s.Open = func(tb testing.TB) inference.Runtime {
		tb.Helper()
		return newHost(tb, cfg, "honest", nil).Runtime(name, library)
	}
	inferencetest.Run(t, s)
}

func TestONNXRuntimeInWorkersKeepsTheContract(t *testing.T) {
	keepsTheContract(t, onnxruntime.Name, inferencetest.ONNX)
}

func TestLiteRTInWorkersKeepsTheContract(t *testing.T) {
	keepsTheContract(t, litert.Name, inferencetest.TFLite)
}

func TestTensorFlowLiteInWorkersKeepsTheContract(t *testing.T) {
	keepsTheContract(t, litert.ClassicName, func(tb testing.TB) inferencetest.Suite {
		tb.Helper()
		suite := inferencetest.TFLite(tb)
		suite.NoEmpty, suite.Loop, suite.Lookup = false, nil, nil // as runtimes/litert says
		delete(suite.Identity, tensor.BF16)
		return suite
	})
}

func TestOpenVINOInWorkersKeepsTheContract(t *testing.T) {
	keepsTheContract(t, openvino.Name, inferencetest.OpenVINO)
}

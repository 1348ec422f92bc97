// Package inferencetest checks that an implementation keeps the contract that is
// written on inference.Runtime, inference.Session and inference.Slot:
//
//	suite := inferencetest.ONNX(t)
//	suite.Open = func(tb testing.TB) inference.Runtime { … }
//	inferencetest.Run(t, suite)
//
// Every runtime passes it, and so does the worker client around one. The suite
// needs nothing but the contract: its models are bytes that code made, and its
// arenas hold sealed memory files, which cross a process border.
//
// Library finds the native library that a test needs, or skips the test.
package inferencetest

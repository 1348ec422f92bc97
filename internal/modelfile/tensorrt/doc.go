// Package tensorrt reads what a TensorRT engine file (.plan, .engine) says about itself
// without the library.
//
// That is little: the format is not published. Two facts are, by the code of trtexec,
// NVIDIA's own tool (printPlanVersion in samples/common/sampleEngines.cpp of
// github.com/NVIDIA/TensorRT, 10.3 to 11.1): a file begins with "ftrt" and the version
// of the serialization, 32 bits, little-endian; where that is 0, the bytes 24 to 27 are
// the version of TensorRT that built the engine, as 8.6 and later write it. Inputs,
// outputs and the GPU that the engine was built for are known to the library only.
//
// Files of older versions begin with "ptrt". Ultralytics writes a JSON text before the
// engine, and the text's length, 32 bits, before that.
//
// Read may be called from many goroutines.
package tensorrt

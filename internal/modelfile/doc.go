// Package modelfile says what a model file is, from its bytes: its format, its
// inputs and outputs, its size, and what it will take to run it. A file name
// counts for nothing. No native library is involved, so a file of unknown
// origin is looked at here before one is given it.
//
// ONNX, TensorFlow Lite and OpenVINO files are read in full, each by the package of
// its name. Of a TensorRT engine, only what NVIDIA has published of its head is.
// What people mistake for a model (an archive, a PyTorch checkpoint, a web page that
// was downloaded in its place) is named in the error.
//
// All functions may be called from many goroutines.
package modelfile

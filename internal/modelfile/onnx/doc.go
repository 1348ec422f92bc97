// Package onnx reads what an ONNX file says about its model without loading
// the model: versions, operators, inputs, outputs and the size of the weights.
//
// It exists so that bytes of unknown origin meet a parser written in Go before
// a native library sees them. The reader walks the protobuf encoding of a
// ModelProto (onnx.proto of ONNX 1.x, IR versions 3 and up) through a window of
// a few kilobytes over an io.ReaderAt. The payload of a tensor is stepped over,
// so a file that claims a large tensor costs as much as one that claims a small
// one. Every length is checked against the bytes that are left, and counts,
// names, nesting and the total work are capped by Limits.
//
// What a protobuf parser would accept is accepted: unknown fields are skipped,
// repeated scalars may be packed or not, a message field that is written twice
// is merged. Groups, which no version of onnx.proto has, are refused.
//
// The reader does not run the model's type inference and does not know which
// operators a library has: a file that passes can still fail to load.
// Read and Sniff may be called from many goroutines.
package onnx

package tensor

// Tensor is one named array. The holder owns Data, unless it says otherwise.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64 // row-major; every dimension >= 0; a scalar has no dimensions
	Data  []byte  // ByteSize(DType, Shape) bytes; for Bytes the form in binary.go
}

package dataset

import "verge/internal/fault"

// The bounds of what one call makes of foreign bytes.
const (
	MaxBytes     = 256 << 20 // of the tensors that one call returns, together
	MaxArrays    = 256       // in one .npz file
	MaxPixels    = 32 << 20  // in one picture, before it is resized
	MaxLabels    = 100_000   // in one labels file
	MaxLabelSize = 256       // bytes of one label

	MaxLabelBytes = MaxLabels * (MaxLabelSize + 2) // of a labels file
	MaxNPZBytes   = MaxBytes + 1<<20               // of an archive of arrays
)

// invalid returns the error for data that is not what it should be.
func invalid(op, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, op, format, args...)
}

// Package dataset makes the inputs of a model from what people have: NumPy
// arrays (.npy, .npz), pictures, or nothing, in which case seeded numbers of
// the right shape stand in. It also reads the names of classes and ranks scores.
//
// All bytes are treated as foreign: sizes are checked against MaxBytes and
// MaxPixels before memory is taken for them, and what is not understood is
// refused rather than guessed. The package opens no file and does no inference.
// All functions may be called from many goroutines.
package dataset

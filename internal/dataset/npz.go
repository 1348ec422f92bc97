package dataset

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"verge/internal/fault"
	"verge/internal/tensor"
)

const (
	opNPZ      = "dataset.npz"
	maxNPYName = 1 << 10 // bytes of the name of one array
	zipLocked  = 1       // flag of an encrypted member
)

// ReadNPZ reads the arrays of an archive as numpy.savez and
// numpy.savez_compressed write it, in the archive's order, each named as it was
// saved. It fails with fault.Invalid for bytes that are no such archive, an
// array that is no array and a name that comes twice, with fault.Unsupported as
// ReadNPY does and for another compression, and with fault.TooLarge over
// MaxArrays or MaxBytes. No array takes memory before its header has been read
// and fits what the archive says of it.
func ReadNPZ(data []byte) ([]tensor.Tensor, error) {
	const hint = "Give a file that numpy.savez or numpy.savez_compressed wrote."
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, invalid(opNPZ, "the data is not a NumPy archive: %w", err).WithHint(hint)
	}
	if n := len(archive.File); n == 0 || n > MaxArrays {
		return nil, invalid(opNPZ, "the archive has %d arrays, want 1 to %d", n, MaxArrays).WithHint(hint)
	}
	arrays := make([]tensor.Tensor, 0, len(archive.File))
	seen, left := map[string]bool{}, MaxBytes
	for _, f := range archive.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		switch {
		case !ok || name == "" || len(name) > maxNPYName || !utf8.ValidString(name):
			return nil, invalid(opNPZ, "the archive has a member %q, want only .npy files", fault.Clip(f.Name)).WithHint(hint)
		case seen[name]:
			return nil, invalid(opNPZ, "the archive has two arrays named %q", fault.Clip(name)).WithHint(hint)
		}
		seen[name] = true
		t, took, err := readMember(f, left)
		if errors.Is(err, errNoRoom) {
			return nil, fault.New(fault.TooLarge, opNPZ, "array %q brings the archive to more than %d bytes", fault.Clip(name), MaxBytes).
				WithHint("Give fewer or smaller arrays.")
		}
		if err != nil {
			return nil, onArray(name, hint, err)
		}
		left -= took
		t.Name = name
		arrays = append(arrays, t)
	}
	return arrays, nil
}

// onArray says which array err is about, and classifies what zip reports.
func onArray(name, hint string, err error) error {
	subject := fmt.Sprintf("array %q", fault.Clip(name))
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return fault.New(known.Kind, opNPZ, "%s", fault.Message(err)).On(subject).WithHint("%s", known.Hint)
	case errors.Is(err, zip.ErrAlgorithm):
		return fault.New(fault.Unsupported, opNPZ, "the compression is not known").On(subject).WithHint("%s", hint)
	}
	return invalid(opNPZ, "%w", err).On(subject).WithHint("%s", hint)
}

// errNoRoom is the error of an array that would take too much memory.
var errNoRoom = errors.New("too much memory")

// readMember reads one array, which may take so many bytes, and returns how many it took.
func readMember(f *zip.File, left int) (t tensor.Tensor, took int, err error) {
	if f.Flags&zipLocked != 0 {
		return t, 0, fault.New(fault.Unsupported, opNPZ, "it is encrypted").WithHint("Save the archive without a password.")
	}
	if f.UncompressedSize64 > MaxBytes+npyMaxHead {
		return t, 0, errNoRoom
	}
	r, err := f.Open()
	if err != nil {
		return t, 0, err
	}
	defer r.Close() //nolint:errcheck // only read
	head := make([]byte, min(f.UncompressedSize64, npyPreamble+npyMaxHead))
	if _, err = io.ReadFull(r, head); err != nil {
		return t, 0, err
	}
	h, err := readNPYHeader(head)
	if err != nil {
		return t, 0, err
	}
	if want := uint64(h.start + h.size); f.UncompressedSize64 != want { //nolint:gosec // neither is negative
		return t, 0, fmt.Errorf("has %d bytes, want %d by its header", f.UncompressedSize64, want)
	}
	if h.memory > left {
		return t, 0, errNoRoom
	}
	data := make([]byte, h.size)
	n := copy(data, head[h.start:])
	if _, err = io.ReadFull(r, data[n:]); err != nil {
		return t, 0, err
	}
	if n, err = r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) { // the checksum is compared at the end
		return t, 0, errors.Join(errors.New("the checksum or the size is wrong"), err)
	}
	t, err = h.tensor(data)
	return t, h.memory, err
}

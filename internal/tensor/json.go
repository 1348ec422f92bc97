package tensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"verge/internal/strictjson"
)

// JSONSize returns the bytes that a tensor takes in binary form whose JSON data is
// raw. Where the size does not follow from its type and shape, it reads raw, and
// fails as DecodeJSON does.
func JSONSize(d DType, shape []int64, raw []byte) (int, error) {
	switch d {
	case Bytes:
		c := decoder{shape: shape, dtype: d}
		err := c.decode(raw)
		return c.size, err
	case FP16, BF16:
		return 0, noJSON(d)
	default:
		return ByteSize(d, shape)
	}
}

// DecodeJSON reads the JSON data of a tensor, flat in row-major order or nested
// as its shape says, into dst, which has exactly as many bytes as JSONSize says.
// A scalar may stand without an array around it. BOOL is true or false, BYTES are
// strings, integers are whole numbers however they are written (5, 5.0, 5e0),
// floating-point numbers are rounded to the nearest. FP16 and BF16 have no JSON form.
//
// It allocates nothing for numbers. The error names the element, by its position
// in row-major order or by its indices, what it is and what is wanted. raw may be
// any bytes; after an error, dst may hold anything.
func DecodeJSON(dst []byte, d DType, shape []int64, raw []byte) error {
	if d == FP16 || d == BF16 {
		return noJSON(d)
	}
	if d != Bytes {
		want, err := ByteSize(d, shape)
		if err != nil {
			return err
		}
		if len(dst) != want {
			return fmt.Errorf("memory of %d bytes, want %d for %s%s", len(dst), want, d, formatShape(shape))
		}
	}
	c := decoder{dst: dst, write: true, shape: shape, dtype: d}
	if err := c.decode(raw); err != nil {
		return err
	}
	if c.size != len(dst) {
		return fmt.Errorf("memory of %d bytes, want %d for these strings", len(dst), c.size)
	}
	return nil
}

func noJSON(d DType) error { return fmt.Errorf("%s has no JSON form, only a binary one", d) }

// decoder reads the data of one tensor.
type decoder struct {
	s     strictjson.Scanner
	dst   []byte
	write bool // else dst is nil, and sizes are added up
	dtype DType
	shape []int64
	size  int // bytes read so far
	count int // elements read so far
	index [MaxRank]int
}

func (c *decoder) decode(raw []byte) error {
	want, err := Elements(c.shape)
	if err != nil {
		return err
	}
	c.s.Reset(raw)
	switch {
	case len(c.shape) == 0 && c.s.Peek() != strictjson.Array:
		err = c.element()
	case c.flat(raw):
		err = c.row(-1, want)
	default:
		err = c.nested(0)
	}
	if err != nil {
		return err
	}
	return c.syntax(c.s.End())
}

// flat reports whether raw is an array of elements, or an empty one for a tensor
// without elements.
func (c *decoder) flat(raw []byte) bool {
	if len(c.shape) < 2 || c.s.Peek() != strictjson.Array {
		return true
	}
	ahead := strictjson.New(raw[c.s.Offset():])
	if ahead.Enter(strictjson.Array) != nil || !ahead.More() {
		return c.shape[0] != 0
	}
	return ahead.Peek() != strictjson.Array
}

// nested reads the array of one dimension and all within it.
func (c *decoder) nested(dim int) error {
	want := int(c.shape[dim]) // a dimension of a countable shape, or beside a zero
	if dim == len(c.shape)-1 {
		return c.row(dim, want)
	}
	if err := c.enter(dim); err != nil {
		return err
	}
	n := 0
	for ; c.s.More(); n++ {
		if n >= want {
			return c.tooMany(dim, want)
		}
		c.index[dim] = n
		if err := c.nested(dim + 1); err != nil {
			return err
		}
	}
	return c.counted(dim, n, want)
}

// row reads an array of elements; dim is -1 for flat data.
func (c *decoder) row(dim, want int) error {
	if err := c.enter(dim); err != nil {
		return err
	}
	n := 0
	for ; c.s.More(); n++ {
		if n >= want {
			return c.tooMany(dim, want)
		}
		if err := c.element(); err != nil {
			return err
		}
	}
	return c.counted(dim, n, want)
}

func (c *decoder) enter(dim int) error {
	if kind := c.s.Peek(); kind != strictjson.Array && kind != strictjson.None {
		return fmt.Errorf("%s is %s, want an array", c.where(dim), kind)
	}
	return c.syntax(c.s.Enter(strictjson.Array))
}

// tooMany counts what is left of an array that is too long.
func (c *decoder) tooMany(dim, want int) error {
	n := want
	for more := true; more; more = c.s.More() {
		if _, err := c.s.Skip(); err != nil {
			return c.syntax(err)
		}
		n++
	}
	return c.counted(dim, n, want)
}

func (c *decoder) counted(dim, n, want int) error {
	switch {
	case c.s.Err() != nil:
		return c.syntax(c.s.Err())
	case n == want:
		return nil
	case dim <= 0 && len(c.shape) < 2 || dim < 0:
		return fmt.Errorf("data has %d elements, want %d for %s%s", n, want, c.dtype, formatShape(c.shape))
	}
	return fmt.Errorf("%s has %d elements, want %d for %s%s", c.where(dim), n, want, c.dtype, formatShape(c.shape))
}

// where names the array of a dimension, such as "data[0][3]".
func (c *decoder) where(dim int) string {
	var text strings.Builder
	text.WriteString("data")
	for i := range max(dim, 0) {
		fmt.Fprintf(&text, "[%d]", c.index[i])
	}
	return text.String()
}

func (c *decoder) syntax(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("data: %w", err)
}

// element reads one element.
func (c *decoder) element() (err error) {
	le := binary.LittleEndian
	at := c.size
	c.size += c.dtype.Size()
	switch c.dtype {
	case FP32:
		var f float32
		if f, err = c.s.Float32(); err == nil {
			le.PutUint32(c.dst[at:], math.Float32bits(f))
		}
	case FP64:
		var f float64
		if f, err = c.s.Float64(); err == nil {
			le.PutUint64(c.dst[at:], math.Float64bits(f))
		}
	case Bool:
		var b bool
		if b, err = c.s.Bool(); err == nil {
			c.dst[at] = 0
			if b {
				c.dst[at] = 1
			}
		}
	case Int8, Int16, Int32, Int64:
		var n int64
		if n, err = c.s.Int(8 * c.dtype.Size()); err == nil {
			putInteger(c.dst[at:c.size], uint64(n)) //nolint:gosec // two's complement is what is stored
		}
	case Uint8, Uint16, Uint32, Uint64:
		var n uint64
		if n, err = c.s.Uint(8 * c.dtype.Size()); err == nil {
			putInteger(c.dst[at:c.size], n)
		}
	case Bytes:
		err = c.text()
	default: // Invalid, FP16 and BF16, which do not come here
		err = noJSON(c.dtype)
	}
	if err != nil {
		return c.wrong(err)
	}
	c.count++
	return nil
}

// putInteger stores the low bytes of n.
func putInteger(dst []byte, n uint64) {
	switch len(dst) {
	case 1:
		dst[0] = byte(n) //nolint:gosec // the scanner checked the size
	case 2:
		binary.LittleEndian.PutUint16(dst, uint16(n)) //nolint:gosec // the scanner checked the size
	case 4:
		binary.LittleEndian.PutUint32(dst, uint32(n)) //nolint:gosec // the scanner checked the size
	case 8:
		binary.LittleEndian.PutUint64(dst, n)
	}
}

// text reads one string.
func (c *decoder) text() error {
	s, err := c.s.String()
	if err != nil {
		return err
	}
	if uint64(len(s)) > math.MaxUint32 {
		return fmt.Errorf("a string of %d bytes, at most 2^32-1 fit", len(s))
	}
	at := c.size
	c.size += 4 + len(s)
	if !c.write {
		return nil
	}
	if c.size > len(c.dst) {
		return fmt.Errorf("strings of more than %d bytes", len(c.dst))
	}
	binary.LittleEndian.PutUint32(c.dst[at:], uint32(len(s))) //nolint:gosec // compared above
	copy(c.dst[at+4:], s)
	return nil
}

// wrong says which element is wrong. A message of the scanner about a value
// loses its byte offset, which would be that within the data.
func (c *decoder) wrong(err error) error {
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		err = errors.New(e.Message)
	}
	return fmt.Errorf("element %d of %s%s: %w", c.count, c.dtype, formatShape(c.shape), err)
}

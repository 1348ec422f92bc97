package tflite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"verge/internal/fault"
)

const (
	opRead   = "tflite.read"
	pageSize = 4096 // bytes of the file that one window holds
	overlap  = 8    // and of the next page, so that each number lies in one window
	pages    = 16   // windows
	pageCost = 64   // of Limits.Work, for reading a page
)

// span is a half-open range of file offsets.
type span struct{ pos, end int64 }

func (s span) len() int64 { return s.end - s.pos }

// page is a window over the file.
type page struct {
	number int64 // 1 more than its offset in pages; 0 for none
	filled int
	buf    [pageSize + overlap]byte
}

// reader decodes FlatBuffers from src. The first error stays: after it every
// method returns a zero value, and who loops looks at err.
type reader struct {
	src   io.ReaderAt
	size  int64
	lim   Limits
	pages [pages]page
	work  int64 // counted against Limits.Work
	text  int64 // bytes of text kept so far
	err   error
}

// fail keeps err unless there is one.
func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// corrupt fails for bytes that are no TensorFlow Lite model.
func (r *reader) corrupt(at int64, format string, args ...any) {
	if r.err == nil {
		r.fail(fault.New(fault.Corrupt, opRead, "at byte %d: %w", at, fmt.Errorf(format, args...)).
			WithHint("Copy or convert the model again; the file is damaged or was cut off."))
	}
}

// tooLarge fails for a file that is over a limit.
func (r *reader) tooLarge(format string, args ...any) {
	r.fail(fault.New(fault.TooLarge, opRead, format, args...))
}

// spend counts work, and reports whether there is no error.
func (r *reader) spend(n int64) bool {
	if r.work += n; r.work > r.lim.Work {
		r.tooLarge("reading the file takes more than %d steps", r.lim.Work)
	}
	return r.err == nil
}

// chunk returns the bytes at pos up to the end of their page, one or more, of
// which the caller has checked that they lie in the file; nil after an error.
// They are valid until the next chunk.
func (r *reader) chunk(pos int64) []byte {
	if !r.spend(1) {
		return nil
	}
	number := pos / pageSize
	p := &r.pages[number%pages]
	if p.number != number+1 {
		if !r.spend(pageCost) {
			return nil
		}
		want := min(int64(len(p.buf)), r.size-number*pageSize)
		n, err := r.src.ReadAt(p.buf[:want], number*pageSize)
		if err != nil && !errors.Is(err, io.EOF) {
			r.fail(fault.New(fault.Internal, opRead, "read at byte %d: %w", number*pageSize, err))
			return nil
		}
		p.number, p.filled = number+1, n
	}
	start := int(pos % pageSize)
	if start >= p.filled {
		r.corrupt(number*pageSize+int64(p.filled), "the file ended while it was read")
		return nil
	}
	return p.buf[start:p.filled]
}

// number returns the little-endian number of width bytes at pos, 8 at most,
// which the caller has checked to lie in the file.
func (r *reader) number(pos int64, width int) uint64 {
	b := r.chunk(pos)
	if r.err == nil && len(b) < width {
		r.corrupt(pos+int64(len(b)), "the file ended while it was read")
	}
	if r.err != nil {
		return 0
	}
	switch width {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

// table is a FlatBuffers table whose vtable lies in the file. The zero value
// has no fields.
type table struct {
	in     span // the bytes that its offsets may lead to
	pos    int64
	vtable int64
	slots  int
	what   string // its type in the schema
}

// root returns the table that the first bytes of in lead to. A file identifier
// follows them.
func (r *reader) root(in span, identifier, what string) table {
	if in.len() < 8 {
		r.corrupt(in.pos, "%d bytes are too few for a %s", in.len(), what)
		return table{}
	}
	if id := r.keep(span{in.pos + 4, in.pos + 8}); id != identifier {
		r.corrupt(in.pos+4, "a %s has the identifier %q, want %q", what, id, identifier)
		return table{}
	}
	return r.table(in, in.pos+int64(r.number(in.pos, 4)), what) //nolint:gosec // 32 bits
}

// table returns the table at pos.
func (r *reader) table(in span, pos int64, what string) table {
	if r.err != nil {
		return table{}
	}
	if pos < in.pos || pos > in.end-4 {
		r.corrupt(pos, "a %s lies outside the file, which ends at byte %d", what, in.end)
		return table{}
	}
	t := table{in: in, pos: pos, what: what}
	t.vtable = pos - int64(int32(r.number(pos, 4))) //nolint:gosec // a signed offset
	if t.vtable < in.pos || t.vtable > in.end-4 {
		r.corrupt(pos, "the vtable of a %s would lie at byte %d, outside the file", what, t.vtable)
		return table{}
	}
	sizes := r.number(t.vtable, 4)
	bytes, object := int64(sizes&0xffff), int64(sizes>>16)
	switch {
	case bytes < 4 || bytes%2 != 0 || bytes > in.end-t.vtable:
		r.corrupt(t.vtable, "the vtable of a %s has %d bytes, which is not possible", what, bytes)
	case object < 4 || object > in.end-pos:
		r.corrupt(pos, "a %s has %d bytes, only %d are left", what, object, in.end-pos)
	}
	t.slots = int(bytes-4) / 2
	return t
}

// field returns where the field in a slot lies, or 0 where the table has none.
func (r *reader) field(t table, slot, width int) int64 {
	if r.err != nil || slot >= t.slots {
		return 0
	}
	offset := int64(r.number(t.vtable+4+2*int64(slot), 2)) //nolint:gosec // 16 bits
	if offset == 0 || r.err != nil {
		return 0
	}
	if offset > t.in.end-t.pos-int64(width) {
		r.corrupt(t.pos, "field %d of a %s lies outside the file", slot, t.what)
		return 0
	}
	return t.pos + offset
}

// scalar returns the unsigned number in a slot, or fallback.
func (r *reader) scalar(t table, slot, width int, fallback uint64) uint64 {
	if pos := r.field(t, slot, width); pos != 0 {
		return r.number(pos, width)
	}
	return fallback
}

// int32 returns the number in a slot, or fallback.
func (r *reader) int32(t table, slot int, fallback int32) int64 {
	return int64(int32(r.scalar(t, slot, 4, uint64(uint32(fallback))))) //nolint:gosec // two's complement
}

// int8 returns the number in a slot, or 0.
func (r *reader) int8(t table, slot int) int64 {
	return int64(int8(r.scalar(t, slot, 1, 0))) //nolint:gosec // two's complement
}

// bool returns the truth value in a slot, or false.
func (r *reader) bool(t table, slot int) bool { return r.scalar(t, slot, 1, 0) != 0 }

// follow returns where the offset at pos leads to, at least 4 bytes before the
// end of in. The caller has checked that the offset lies in the file.
func (r *reader) follow(in span, pos int64, what string) int64 {
	offset := int64(r.number(pos, 4)) //nolint:gosec // 32 bits
	if r.err == nil && (offset == 0 || offset > in.end-4-pos) {
		r.corrupt(pos, "the offset %d of %s leads outside the file", offset, what)
	}
	if r.err != nil {
		return 0
	}
	return pos + offset
}

// child returns the table that a slot leads to, and whether there is one.
func (r *reader) child(t table, slot int, what string) (table, bool) {
	pos := r.field(t, slot, 4)
	if pos == 0 {
		return table{}, false
	}
	c := r.table(t.in, r.follow(t.in, pos, what), what)
	return c, r.err == nil
}

// vector is a FlatBuffers vector that lies in the file. The zero value is empty.
type vector struct {
	in    span
	pos   int64 // of the first element
	n     int64
	width int64
	what  string
}

// span returns the bytes of the elements.
func (v vector) span() span { return span{v.pos, v.pos + v.n*v.width} }

// vector returns the vector that a slot leads to; an absent one is empty. What
// describes it in messages.
func (r *reader) vector(t table, slot, width int, what string) vector {
	field := r.field(t, slot, 4)
	if field == 0 {
		return vector{}
	}
	pos := r.follow(t.in, field, what)
	if r.err != nil {
		return vector{}
	}
	v := vector{in: t.in, pos: pos + 4, n: int64(r.number(pos, 4)), width: int64(width), what: what} //nolint:gosec // 32 bits
	if v.n > (t.in.end-v.pos)/v.width {
		r.corrupt(pos, "the %s have %d entries of %d bytes, only %d bytes are left", what, v.n, width, t.in.end-v.pos)
		return vector{}
	}
	return v
}

// tables calls visit for each table of the vector in a slot, with its index.
func (r *reader) tables(t table, slot, limit int, kind, what string, visit func(int, table)) int {
	v := r.vector(t, slot, 4, what)
	if v.n > int64(limit) {
		r.tooLarge("the file has %d %s, the limit is %d", v.n, what, limit)
	}
	for i := int64(0); i < v.n && r.err == nil; i++ {
		if c := r.table(v.in, r.follow(v.in, v.pos+4*i, kind), kind); r.err == nil {
			visit(int(i), c)
		}
	}
	return int(v.n)
}

// int32s calls visit for each number of v.
func (r *reader) int32s(v vector, visit func(int64)) {
	for i := int64(0); i < v.n && r.err == nil; i++ {
		if n := int64(int32(r.number(v.pos+4*i, 4))); r.err == nil { //nolint:gosec // two's complement
			visit(n)
		}
	}
}

// string returns the bytes of the string that a slot leads to; an absent one is
// empty. A library reads strings up to their zero byte, so that must be there.
func (r *reader) string(t table, slot int, what string) span {
	v := r.vector(t, slot, 1, what)
	if v.pos == 0 || r.err != nil {
		return span{}
	}
	if end := v.pos + v.n; end >= t.in.end || r.number(end, 1) != 0 {
		r.corrupt(v.pos-4, "the %s do not end with a zero byte", what)
	}
	return v.span()
}

// name returns the text of s, which what describes. It is refused over
// Limits.NameBytes and where it is not UTF-8.
func (r *reader) name(s span, what string) string {
	if s.len() > int64(r.lim.NameBytes) {
		r.tooLarge("at byte %d: %s has %d bytes, the limit is %d", s.pos, what, s.len(), r.lim.NameBytes)
	}
	text := r.keep(s)
	if !utf8.ValidString(text) {
		r.corrupt(s.pos, "%s %q is not UTF-8 text", what, fault.Clip(text))
	}
	return text
}

// label returns the text of s for people: cut to Limits.NameBytes, in valid
// UTF-8, without control characters.
func (r *reader) label(s span) string {
	s.end = min(s.end, s.pos+int64(r.lim.NameBytes))
	return clean(r.keep(s))
}

// clean returns text for people.
func clean(text string) string {
	return strings.Map(printable, strings.ToValidUTF8(text, ""))
}

// keep copies a span out of the file.
func (r *reader) keep(s span) string {
	if r.text += s.len(); r.text > r.lim.TextBytes {
		r.tooLarge("the names in the file take more than %d bytes", r.lim.TextBytes)
	}
	if r.err != nil {
		return ""
	}
	b := make([]byte, 0, s.len())
	for s.len() > 0 && r.err == nil {
		part := r.chunk(s.pos)
		part = part[:min(int64(len(part)), s.len())]
		b = append(b, part...)
		s.pos += int64(len(part))
	}
	return string(b)
}

// printable drops what would move a terminal's cursor or reorder its text.
func printable(c rune) rune {
	if unicode.IsControl(c) && c != '\n' && c != '\t' || unicode.Is(unicode.Bidi_Control, c) {
		return -1
	}
	return c
}

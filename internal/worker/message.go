package worker

import (
	"encoding/binary"
	"fmt"

	"verge/internal/inference"
	"verge/internal/tensor"
)

// protocol is the version of the messages. Both sides are the same program, so
// another one means that they are not.
const protocol = 1

// op says what a message is.
type op uint16

const (
	// From the node.
	opLoad      op = 1 + iota // control; body: order as JSON; descriptor: the model, or none to describe the library only
	opRun                     // work; tensors: the inputs; status: which descriptors come along
	opCancel                  // control; slot, sequence: the run that is to stop
	opCloseSlot               // control; slot
	opPing                    // control; sequence
	opStop                    // control
	opGrant                   // slot; descriptor: the larger output region, or status and body: why not

	// From the worker.
	opLoaded // control; body: report as JSON
	opFailed // control; status and body: why the model was not loaded
	opPong   // control; sequence of the ping
	opGrow   // slot; size: bytes of output memory that are needed
	opDone   // slot; tensors: the outputs
	opError  // slot; status and body: why there are none
)

// What comes along with opRun, in this order.
const (
	withSocket = 1 << iota // the socket of a slot that is new to the worker
	withInput              // the memory of the inputs, when it is new
	withOutput             // the memory of the outputs, likewise
)

const (
	headerSize = 32
	// maxMessage bounds the messages of a run: offset, size, rank and every dimension
	// of as many tensors as a model may have.
	maxMessage = headerSize + inference.MaxTensors*(3+tensor.MaxRank)*8
	// maxDocument bounds a JSON body; what a socket holds by default is 208 KiB.
	maxDocument = 128 << 10
)

// header begins every message. What a message does not use is zero.
type header struct {
	op       op
	slot     uint32
	sequence uint64
	status   uint32 // opRun: descriptors; errors: the fault.Kind
	count    uint32 // tensors that follow
	size     uint64 // bytes that follow the header; opGrow: bytes of memory that are asked for
}

// append adds the encoded header to b.
func (h header) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, protocol)
	b = binary.LittleEndian.AppendUint16(b, uint16(h.op))
	b = binary.LittleEndian.AppendUint32(b, h.slot)
	b = binary.LittleEndian.AppendUint64(b, h.sequence)
	b = binary.LittleEndian.AppendUint32(b, h.status)
	b = binary.LittleEndian.AppendUint32(b, h.count)
	return binary.LittleEndian.AppendUint64(b, h.size)
}

// parse splits a message into its header and its body. It fails when the message
// is short, of another version, or its body is not as long as it says.
func parse(message []byte) (h header, body []byte, err error) {
	if len(message) < headerSize {
		return h, nil, fmt.Errorf("a message of %d bytes, want %d or more", len(message), headerSize)
	}
	if v := binary.LittleEndian.Uint16(message); v != protocol {
		return h, nil, fmt.Errorf("a message of version %d, want %d", v, protocol)
	}
	h = header{
		op:       op(binary.LittleEndian.Uint16(message[2:])),
		slot:     binary.LittleEndian.Uint32(message[4:]),
		sequence: binary.LittleEndian.Uint64(message[8:]),
		status:   binary.LittleEndian.Uint32(message[16:]),
		count:    binary.LittleEndian.Uint32(message[20:]),
		size:     binary.LittleEndian.Uint64(message[24:]),
	}
	body = message[headerSize:]
	want := h.size
	if h.op == opGrow {
		want = 0
	}
	if uint64(len(body)) != want {
		return h, nil, fmt.Errorf("a message with %d bytes after its header, which says %d", len(body), want)
	}
	return h, body, nil
}

// words reads the numbers of a body, and remembers whether there were enough.
type words struct {
	body  []byte
	short bool
}

func (w *words) next() uint64 {
	if len(w.body) < 8 {
		w.short = true
		return 0
	}
	v := binary.LittleEndian.Uint64(w.body)
	w.body = w.body[8:]
	return v
}

// over says why the body was not read exactly to its end, or nil.
func (w *words) over() error {
	if w.short || len(w.body) > 0 {
		return fmt.Errorf("a message whose tensors do not fill it exactly (%d bytes over, short: %t)", len(w.body), w.short)
	}
	return nil
}

// appendDims adds the dimensions of shape that spec leaves open.
func appendDims(b []byte, spec *inference.Spec, shape []int64) []byte {
	for i, want := range spec.Shape {
		if want < 0 {
			b = binary.LittleEndian.AppendUint64(b, uint64(shape[i])) //nolint:gosec // zero or more: it was checked
		}
	}
	return b
}

// dims appends the full shape of a tensor of spec to shape. A dimension that does
// not fit an int64 comes out negative, and no shape check lets it pass.
func (w *words) dims(spec *inference.Spec, shape []int64) []int64 {
	for _, want := range spec.Shape {
		if want < 0 {
			want = int64(w.next()) //nolint:gosec // see above
		}
		shape = append(shape, want)
	}
	return shape
}

// shape appends the shape of a tensor of any rank to shape. A dimension that does not
// fit an int64 comes out negative.
func (w *words) shape(shape []int64) ([]int64, error) {
	rank := w.next()
	if rank > tensor.MaxRank {
		return shape, fmt.Errorf("has %d dimensions, at most %d are allowed", rank, tensor.MaxRank)
	}
	for range rank {
		shape = append(shape, int64(w.next())) //nolint:gosec // see above
	}
	return shape, nil
}

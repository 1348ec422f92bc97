package onnxruntime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// message is a kind of message of ONNX's protocol buffers, as far as tensors lie in it.
type message int

const (
	modelMessage message = iota + 1
	graphMessage
	nodeMessage
	attributeMessage
	functionMessage
	sparseMessage
	tensorMessage
)

// inside says which fields of a message hold one in which tensors may lie. The
// numbers are those of onnx.proto.
var inside = map[message]map[int]message{ //nolint:gochecknoglobals // a constant
	modelMessage:     {7: graphMessage, 25: functionMessage},
	graphMessage:     {1: nodeMessage, graphInitializer: tensorMessage, 15: sparseMessage},
	nodeMessage:      {5: attributeMessage},
	attributeMessage: {5: tensorMessage, 6: graphMessage, 10: tensorMessage, 11: graphMessage, 22: sparseMessage, 23: sparseMessage},
	functionMessage:  {7: nodeMessage, 11: attributeMessage},
	sparseMessage:    {1: tensorMessage, 2: tensorMessage},
}

// Fields of GraphProto, of TensorProto, and of the entries in its external data.
const (
	graphInitializer = 5

	tensorName         = 8
	tensorExternalData = 13

	entryKey   = 1
	entryValue = 2
)

// maxMessages is how deep messages may lie in each other: the library's own limit.
const maxMessages = 100

// extent is a part of a file of weights.
type extent struct{ offset, length int64 }

// mover returns the new offset of an extent. Its methods rewrite a model in which the
// bytes of tensors are in the file preparedWeights.
type mover func(extent) int64

// rewrite appends a message to out, with the tensors in it moved.
func (m mover) rewrite(out, data []byte, kind message, depth int) ([]byte, error) {
	switch {
	case kind == tensorMessage:
		return m.tensor(out, data)
	case depth == maxMessages:
		return nil, fmt.Errorf("messages lie more than %d deep in each other", maxMessages)
	}
	var left map[string]int
	if kind == graphMessage {
		var err error
		if left, err = initializers(data); err != nil {
			return nil, err
		}
	}
	err := eachField(data, func(f wireField) error {
		next := inside[kind][f.number]
		if next == 0 || f.wire != wireLength {
			out = append(out, f.all...)
			return nil
		}
		if kind == graphMessage && f.number == graphInitializer {
			name, _ := tensorNameOf(f.body) // no error, as initializers had none
			if left[name]--; left[name] > 0 {
				return nil
			}
		}
		body, err := m.rewrite(nil, f.body, next, depth+1)
		out = appendField(out, f.number, body)
		return err
	})
	return out, err
}

// initializers returns how many initialisers of a GraphProto have each name. The last
// one counts. The library writes those of a graph inside a node twice, first with
// their bytes and then with where these are, and does not read what it wrote.
func initializers(graph []byte) (map[string]int, error) {
	count := map[string]int{}
	err := eachField(graph, func(f wireField) error {
		if f.number != graphInitializer || f.wire != wireLength {
			return nil
		}
		name, err := tensorNameOf(f.body)
		count[name]++
		return err
	})
	return count, err
}

// tensorNameOf returns the name of a TensorProto.
func tensorNameOf(data []byte) (name string, err error) {
	err = eachField(data, func(f wireField) error {
		if f.number == tensorName && f.wire == wireLength {
			name = string(f.body)
		}
		return nil
	})
	return name, err
}

// tensor appends a TensorProto to out, moved if its bytes are in the file.
func (m mover) tensor(out, data []byte) ([]byte, error) {
	var external []textEntry
	err := eachField(data, func(f wireField) error {
		if f.number != tensorExternalData {
			return nil
		}
		entry, err := f.entry()
		external = append(external, entry)
		return err
	})
	if err != nil {
		return nil, err
	}
	if external == nil {
		return append(out, data...), nil
	}
	if err = m.moveTensor(external); err != nil {
		return nil, err
	}
	err = eachField(data, func(f wireField) error {
		if f.number != tensorExternalData {
			out = append(out, f.all...)
			return nil
		}
		body := appendField(nil, entryKey, []byte(external[0].key))
		body = appendField(body, entryValue, []byte(external[0].value))
		out, external = appendField(out, tensorExternalData, body), external[1:]
		return nil
	})
	return out, err
}

// moveTensor moves what a tensor's external data name: the tensor's bytes, and those
// that kernels made of them.
func (m mover) moveTensor(external []textEntry) error {
	at := map[string]*textEntry{}
	for i := range external {
		e := &external[i]
		if strings.HasPrefix(e.key, "prepacked") {
			if err := m.movePacked(&e.value); err != nil {
				return err
			}
			continue
		}
		if e.key != "location" && e.key != "offset" && e.key != "length" || at[e.key] != nil {
			return fmt.Errorf("a tensor's external data have the key %q, or have it twice", e.key)
		}
		at[e.key] = e
	}
	if len(at) != 3 {
		return fmt.Errorf("a tensor's external data have %d of location, offset and length", len(at))
	}
	if file := at["location"].value; file != preparedWeights {
		return fmt.Errorf("a tensor is in file %q, want %q", file, preparedWeights)
	}
	return m.moveText(&at["offset"].value, at["length"].value)
}

// movePacked moves what a text names of the form "ID|offset;length;checksum", with
// more of these triples behind more bars.
func (m mover) movePacked(text *string) error {
	parts := strings.Split(*text, "|")
	for i, part := range parts[1:] {
		triple := strings.Split(part, ";")
		if len(triple) != 3 {
			return fmt.Errorf("packed weights are at %q, want an offset, a length and a check sum", part)
		}
		if err := m.moveText(&triple[0], triple[1]); err != nil {
			return err
		}
		parts[i+1] = strings.Join(triple, ";")
	}
	*text = strings.Join(parts, "|")
	return nil
}

// moveText replaces the text of an offset.
func (m mover) moveText(offset *string, length string) error {
	from, err := strconv.ParseUint(*offset, 10, 63)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(length, 10, 63)
	if err != nil {
		return err
	}
	*offset = strconv.FormatInt(m(extent{int64(from), int64(n)}), 10)
	return nil
}

// Wire types of fields.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireLength  = 2
	wireFixed32 = 5
)

// wireField is one field of a message.
type wireField struct {
	number, wire int
	all, body    []byte // body is of use for wireLength
}

// textEntry is a StringStringEntryProto.
type textEntry struct{ key, value string }

// entry reads f as a StringStringEntryProto, which has nothing but a key and a value.
func (f wireField) entry() (e textEntry, err error) {
	if f.wire != wireLength {
		return e, fmt.Errorf("external data have wire type %d", f.wire)
	}
	err = eachField(f.body, func(f wireField) error {
		switch {
		case f.wire == wireLength && f.number == entryKey:
			e.key = string(f.body)
		case f.wire == wireLength && f.number == entryValue:
			e.value = string(f.body)
		default:
			return fmt.Errorf("external data have a field %d", f.number)
		}
		return nil
	})
	return e, err
}

// eachField calls visit for every field of a message.
func eachField(data []byte, visit func(wireField) error) error {
	for len(data) > 0 {
		f, err := nextField(data)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		data = data[len(f.all):]
	}
	return nil
}

var errField = errors.New("a field is cut off or malformed")

// nextField reads the field at the start of data.
func nextField(data []byte) (f wireField, err error) {
	tag, n := binary.Uvarint(data)
	if n <= 0 || tag>>3 == 0 || tag > math.MaxUint32 {
		return f, errField
	}
	f.number, f.wire = int(tag>>3), int(tag&7)
	var size uint64
	more := 0
	switch f.wire {
	case wireVarint:
		_, more = binary.Uvarint(data[n:])
	case wireLength:
		size, more = binary.Uvarint(data[n:])
	case wireFixed64:
		size = 8
	case wireFixed32:
		size = 4
	default:
		return f, fmt.Errorf("field %d has wire type %d", f.number, f.wire)
	}
	if more < 0 || more == 0 && size == 0 || size > uint64(len(data)-n-more) { //nolint:gosec // never negative
		return f, errField
	}
	end := n + more + int(size)
	f.all, f.body = data[:end], data[n+more:end]
	return f, nil
}

// appendField appends a field of wireLength.
func appendField(out []byte, number int, body []byte) []byte {
	out = binary.AppendUvarint(out, uint64(number)<<3|wireLength) //nolint:gosec // 29 bits
	out = binary.AppendUvarint(out, uint64(len(body)))
	return append(out, body...)
}

package oip

import (
	"fmt"
	"math"
	"strings"
	"time"

	"verge/internal/fault"
	"verge/internal/strictjson"
)

// value is the value of a parameter: text of a string, flag of a boolean, or the
// text of a number.
type value struct {
	kind strictjson.Kind
	text string
	flag bool
}

// nth names an element of an array, such as "inputs[2]".
func nth(list string, n int) string { return fmt.Sprintf("%s[%d]", list, n) }

// parameters walks an object of parameters. take is called with each.
func (p *parser) parameters(what string, take func(key string, v value) error) error {
	n := 0
	return p.object("parameters of "+what, nil, func(key string) error {
		if n++; n > p.limits.Parameters {
			return invalid("parameters of %s: more than %d, the limit", what, p.limits.Parameters)
		}
		if len(key) > p.limits.NameBytes {
			return invalid("parameters of %s: a key of %d bytes, the limit is %d", what, len(key), p.limits.NameBytes)
		}
		v := value{kind: p.s.Peek()}
		var err error
		switch v.kind {
		case strictjson.Bool:
			v.flag, err = p.s.Bool()
		case strictjson.Number:
			var text []byte
			text, err = p.s.Skip()
			v.text = string(text)
		case strictjson.String:
			var text []byte
			if text, err = p.s.String(); err == nil && len(text) > p.limits.ValueBytes {
				return invalid("parameter %s of %s has %d bytes, the limit is %d", fault.Quote(key), what, len(text), p.limits.ValueBytes)
			}
			v.text = string(text)
		case strictjson.None:
			err = p.skip()
		case strictjson.Object, strictjson.Array, strictjson.Null:
			return invalid("parameter %s of %s is %s, want a string, a number or a boolean", fault.Quote(key), what, v.kind)
		}
		if err != nil {
			return p.malformed()
		}
		return take(key, v)
	})
}

// whole returns the value of a parameter that is a whole number from 0 to most.
func (v value) whole(key, what string, most uint64) (uint64, error) {
	if v.kind != strictjson.Number {
		return 0, invalid("parameter %q of %s is %s, want a whole number", key, what, v.kind)
	}
	n, err := strictjson.New([]byte(v.text)).Uint(64)
	if err != nil || n > most {
		return 0, invalid("parameter %q of %s is %s, want a whole number from 0 to %d", key, what, fault.Clip(v.text), most)
	}
	return n, nil
}

func (v value) boolean(key, what string) (bool, error) {
	if v.kind != strictjson.Bool {
		return false, invalid("parameter %q of %s is %s, want true or false", key, what, v.kind)
	}
	return v.flag, nil
}

// requestParameter takes a parameter of the request. Those that no extension
// defines are free, and ignored.
func (p *parser) requestParameter(key string, v value) (err error) {
	const what = "the request"
	r := p.request
	switch key {
	case "timeout":
		var us uint64
		us, err = v.whole(key, what, math.MaxInt64)
		r.Timeout = time.Duration(min(us, math.MaxInt64/uint64(time.Microsecond))) * time.Microsecond // cut to what fits
	case "priority":
		r.Priority, err = v.whole(key, what, math.MaxUint64)
	case "binary_data_output":
		r.binaryOutput, err = v.boolean(key, what)
	case "sequence_start", "sequence_end":
		var on bool
		if on, err = v.boolean(key, what); on {
			return noSequences(key)
		}
	case "sequence_id":
		if v.kind != strictjson.String {
			var id uint64
			if id, err = v.whole(key, what, math.MaxUint64); id == 0 {
				return err
			}
			return noSequences(key)
		}
		if v.text != "" {
			return noSequences(key)
		}
	default:
		if strings.HasPrefix(key, "triton_") {
			return invalid("parameter %s of the request: keys that begin with triton_ are reserved", fault.Quote(key))
		}
	}
	return err
}

func noSequences(key string) error {
	return fault.New(fault.Unsupported, opParse, "parameter %q of the request: sequences are not supported", key).
		WithHint("Leave sequence_id, sequence_start and sequence_end out; keep the state with the client.")
}

// parameter takes a parameter of an input.
func (in *RequestInput) parameter(what, key string, v value) error {
	switch {
	case key == "binary_data_size":
		n, err := v.whole(key, what, math.MaxInt64)
		in.Binary, in.Size = true, int(min(n, math.MaxInt)) // cut to what fits, which is over any limit
		return err
	case strings.HasPrefix(key, "shared_memory_"):
		return noSharedMemory(what, key)
	}
	return nil
}

// parameter takes a parameter of an output.
func (out *RequestOutput) parameter(what, key string, v value, mostClasses int) error {
	switch {
	case key == "binary_data":
		flag, err := v.boolean(key, what)
		out.Binary, out.said = flag, true
		return err
	case key == "classification":
		n, err := v.whole(key, what, uint64(mostClasses)) //nolint:gosec // Limits.Validate wants 1 or more
		out.Classes = int(n)                              //nolint:gosec // at most mostClasses
		return err
	case strings.HasPrefix(key, "shared_memory_"):
		return noSharedMemory(what, key)
	}
	return nil
}

func noSharedMemory(what, key string) error {
	return fault.New(fault.Unsupported, opParse, "parameter %s of %s: shared memory that clients name is off", fault.Quote(key), what).
		WithHint("Send the data itself, as binary data.")
}

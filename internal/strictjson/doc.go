// Package strictjson reads JSON (RFC 8259) out of memory, value by value, as the
// caller asks for them:
//
//	s := strictjson.New(text)
//	if err := s.Enter(strictjson.Object); err != nil { … }
//	for s.More() {
//		key := s.Key()
//		switch string(key) {
//		case "id":
//			id, err = s.String()
//		default:
//			span, err = s.Skip()
//		}
//	}
//	err := s.End()
//
// It is for requests that must not be read wrongly: beyond the grammar it
// refuses invalid UTF-8, surrogates without their other half, a byte order
// mark, values nested deeper than MaxDepth, and bytes behind the document. In
// every object that it skips it refuses a key that comes twice; whoever walks an
// object uses Keys for that. Integers of 64 bits are exact, whichever way they
// are written (5, 5.0 and 50e-1 are the same), and never pass through a float.
//
// A Scanner stops at the first error, which every later call returns. It
// allocates for errors, for strings with escapes, and for objects that it skips,
// never for numbers. It is used by one goroutine at a time.
package strictjson

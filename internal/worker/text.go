package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"verge/internal/fault"
)

const (
	maxText = 2 << 10 // of an error's message
	maxHint = 512
)

// appendError adds the body of an error message: the length of the text, the
// text, the hint.
func appendError(b []byte, err error) []byte {
	text, hint := clip(fault.Message(err), maxText), clip(fault.HintOf(err), maxHint)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(text)))
	b = append(b, text...)
	return append(b, hint...)
}

// parseError is the inverse of appendError. The second result says what is wrong
// with the message. Kinds that speak of people and of the node's state are not a
// worker's to use.
func parseError(h header, body []byte, operation string) (*fault.Error, error) {
	switch kind := fault.Kind(h.status); { //nolint:gosec // compared below
	case h.status > uint32(fault.Exhausted):
		return nil, fmt.Errorf("an error of kind %d", h.status)
	case kind == fault.Unauthenticated, kind == fault.Denied, kind == fault.NotFound, kind == fault.Conflict, kind == fault.Quota:
		return nil, fmt.Errorf("an error of kind %s", kind)
	}
	w := words{body: body}
	n := w.next()
	if w.short || n > maxText || n > uint64(len(w.body)) || uint64(len(w.body))-n > maxHint {
		return nil, fmt.Errorf("an error message of %d bytes, at most %d and %d are allowed", len(body), maxText, maxHint)
	}
	text, hint := fault.Clean(string(w.body[:n])), fault.Clean(string(w.body[n:]))
	if text == "" {
		text = "no reason given"
	}
	return &fault.Error{Kind: fault.Kind(h.status), Op: operation, Hint: hint, Err: errors.New(text)}, nil
}

// clip cuts text to n bytes, between two characters.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

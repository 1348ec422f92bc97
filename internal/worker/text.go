package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
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
	text, hint := clean(string(w.body[:n])), clean(string(w.body[n:]))
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

// clean makes foreign text fit to be shown to whoever asks: no control
// characters, valid UTF-8, and of paths only the last element.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
	return strings.TrimSpace(basenames(text))
}

// basenames replaces each absolute path of two elements or more by its last one. What
// follows the colon of a URL's scheme is no path.
func basenames(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if rest := text[i:]; i > 0 && text[i-1] == ':' && strings.HasPrefix(rest, "//") {
			end := i + len(rest)
			if n := strings.IndexAny(rest, " \"'`),;]"); n >= 0 {
				end = i + n
			}
			b.WriteString(text[i:end])
			i = end
			continue
		}
		if text[i] != '/' || i > 0 && !strings.ContainsRune(" \"'`(=:,[", rune(text[i-1])) {
			b.WriteByte(text[i])
			i++
			continue
		}
		end := len(text)
		if n := strings.IndexAny(text[i:], " \"'`),:;]"); n >= 0 {
			end = i + n
		}
		path := text[i:end]
		if strings.Count(path, "/") > 1 {
			path = path[strings.LastIndexByte(strings.TrimRight(path, "/"), '/')+1:]
		}
		b.WriteString(path)
		i = end
	}
	return b.String()
}

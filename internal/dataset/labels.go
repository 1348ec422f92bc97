package dataset

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"verge/internal/fault"
)

// ReadLabels reads the names of classes, one a line in the order of the model's
// scores. A byte order mark, carriage returns, blanks around a name and empty
// lines at the end do not count; an empty line between names is a class without
// a name. It fails with fault.Invalid for no names or bytes that are no text,
// and with fault.TooLarge over MaxLabels or MaxLabelSize.
func ReadLabels(data []byte) ([]string, error) {
	const op = "dataset.labels"
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.TrimRightFunc(data, unicode.IsSpace)
	if len(data) == 0 {
		return nil, invalid(op, "the labels file is empty").WithHint("Write one class a line, in the order of the model's scores.")
	}
	if n := bytes.Count(data, []byte("\n")) + 1; n > MaxLabels {
		return nil, fault.New(fault.TooLarge, op, "the labels file has %d lines, the limit is %d", n, MaxLabels)
	}
	var labels []string
	for line := range bytes.Lines(data) {
		label := string(bytes.TrimSpace(line))
		switch number := len(labels) + 1; {
		case len(label) > MaxLabelSize:
			return nil, fault.New(fault.TooLarge, op, "line %d of the labels file has %d bytes, the limit is %d", number, len(label), MaxLabelSize)
		case !utf8.ValidString(label), strings.ContainsFunc(label, unprintable):
			return nil, invalid(op, "line %d of the labels file, %q, is not UTF-8 text", number, fault.Clip(label)).
				WithHint("Save the labels as UTF-8, one class a line.")
		}
		labels = append(labels, label)
	}
	return labels, nil
}

// unprintable is true for what would move a terminal's cursor or reorder its
// text. Tabs between words are let through.
func unprintable(c rune) bool {
	return unicode.IsControl(c) && c != '\t' || unicode.Is(unicode.Bidi_Control, c)
}

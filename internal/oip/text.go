package oip

import (
	"fmt"
	"strings"
	"unicode"

	"verge/internal/inference"
)

// names lists specs for a message, at most a few.
func names(specs []inference.Spec) string {
	const most = 8
	var b strings.Builder
	for i, s := range specs {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(specs)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", s.Name)
	}
	return b.String()
}

// hidden returns the first character of text that does not show, or changes how
// the text around it shows: such text is refused, since it comes back in answers
// and stands in logs.
func hidden(text string) (rune, bool) {
	for _, r := range text {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return r, true
		}
	}
	return 0, false
}

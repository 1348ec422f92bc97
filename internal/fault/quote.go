package fault

import (
	"strconv"
	"unicode/utf8"
)

// Clip cuts foreign text for a message: of more than 64 bytes, it leaves that many,
// or less so as not to split a character, and "…". What does not show stays: print it
// with %q.
func Clip(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// Quote is Clip, quoted as Go does it.
func Quote(text string) string { return strconv.Quote(Clip(text)) }

package fault

import (
	"strings"
	"unicode"
)

// Clean makes foreign text fit to be shown to whoever asks: no control
// characters, valid UTF-8, and of paths only the last element.
func Clean(text string) string {
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

package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// The colours, as SGR parameters (ECMA-48, section 8.3.117).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
	bold   = "1"
)

// terminal is where people read, as far as it can be told.
type terminal struct {
	w      io.Writer
	colour bool
	live   bool // lines can be rewritten
	width  int
}

// newTerminal looks at a writer: one that is no terminal gets plain lines.
// NO_COLOR (no-color.org) and TERM=dumb are heeded.
func newTerminal(w io.Writer, environ []string) terminal {
	const usualWidth = 80
	t := terminal{w: w, width: usualWidth}
	if out, wrapped := w.(*output); wrapped {
		w = out.Writer
	}
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return t
	}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
		t.width = width
	}
	t.live = lookup(environ, "TERM") != "dumb"
	t.colour = t.live && lookup(environ, "NO_COLOR") == ""
	return t
}

// lookup returns the value of an environment variable, or "".
func lookup(environ []string, name string) string {
	value := ""
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// paint gives text a colour, where there are colours.
func (t terminal) paint(colour, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// rewrite puts text in the place of the line that the cursor is on. It is cut to
// the width, since a line that wraps could not be rewritten.
func (t terminal) rewrite(text string) {
	if runes := []rune(text); len(runes) >= t.width {
		text = string(runes[:t.width-1])
	}
	fmt.Fprint(t.w, "\r\x1b[K"+text)
}

// erase clears the line that the cursor is on.
func (t terminal) erase() { fmt.Fprint(t.w, "\r\x1b[K") }

package fault

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a document that a person wrote: a
// deployment file, a configuration, or the machine that it asks for.
type Problem struct {
	Path    string `json:"path"`           // key path, such as "deployment.cpu_threads"; "" for the document
	Line    int    `json:"line,omitempty"` // 1-based; 0 where lines mean nothing
	Message string `json:"message"`        // what was seen and what is allowed
	Hint    string `json:"hint,omitempty"` // what to do, or ""
}

// String returns "line 3: deployment.cpu_threads: message".
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is every problem that one check found. It is an error; wrap it in an
// *Error to give it a kind. The empty list is not a failure: see Err.
type Problems []Problem //nolint:errname // the word that documents and answers use

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns ps as an error, or nil where there is no problem.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// most is how many problems a list has, which somebody has to read.
const most = 100

// Add appends one problem. Of those beyond the first hundred it only says that
// there are some.
func (ps *Problems) Add(path string, line int, format string, args ...any) {
	switch {
	case len(*ps) > most:
		return
	case len(*ps) == most:
		path, line, format, args = "", 0, "there are more problems than these %d", []any{most}
	}
	*ps = append(*ps, Problem{Path: path, Line: line, Message: fmt.Sprintf(format, args...)})
}

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"verge/internal/document"
	"verge/internal/fault"
)

const op = "config.load"

// Load returns the settings of a node: the defaults, then the file at path
// (none where path is ""), then the variables of environ that begin with VERGE_,
// then overrides, which are texts by key path from the command line. Empty paths
// are chosen by user and environment, see Locate. It fails with fault.Invalid
// and every problem at once, and with fault.NotFound or fault.Denied for a file
// that cannot be read.
func Load(path string, environ []string, overrides map[string]string) (Config, error) {
	c := Default()
	l := newLoader(&c)
	if path != "" {
		text, err := readFile(path)
		if err != nil {
			return Config{}, err
		}
		l.file(text)
	}
	l.environment(environ)
	l.flags(overrides)
	if err := c.Locate(os.Geteuid(), environ); err != nil {
		l.problems = append(l.problems, problemsOf(err)...)
	}
	seen := map[string]bool{}
	for _, p := range l.problems {
		seen[p.Path] = true
	}
	for _, p := range problemsOf(c.Validate()) {
		if !seen[p.Path] {
			l.problems = append(l.problems, p)
		}
	}
	if len(l.problems) == 0 {
		return c, nil
	}
	return Config{}, l.fault(path)
}

// readFile reads at most document.MaxBytes, and one more so that Parse refuses
// what is larger.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the person who starts the node names it
	if err == nil {
		defer f.Close() //nolint:errcheck // only read
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(f, document.MaxBytes+1)); err == nil {
			return text, nil
		}
	}
	kind, hint := fault.Invalid, "Name a file of settings with --config."
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = fault.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind, hint = fault.Denied, "Run as a user who may read it."
	}
	return nil, fault.New(kind, op, "read the settings: %w", err).WithHint("%s", hint)
}

// loader fills a Config and remembers where each value came from.
type loader struct {
	settings []setting
	keys     []string
	byKey    map[string]setting
	from     map[string]string // key path → variable or flag
	lines    map[string]int    // key path → line of the file
	problems fault.Problems
}

func newLoader(c *Config) *loader {
	l := &loader{settings: c.settings(), byKey: map[string]setting{}, from: map[string]string{}, lines: map[string]int{}}
	for _, s := range l.settings {
		l.keys = append(l.keys, s.key)
		l.byKey[s.key] = s
	}
	return l
}

// file reads the text of a settings file. An empty one says nothing.
func (l *loader) file(text []byte) {
	if onlyComments(text) {
		return
	}
	root, problems := document.Parse(text)
	if len(problems) > 0 {
		l.problems = append(l.problems, problems...)
		return
	}
	l.section("", root)
}

// onlyComments reports whether no line of text says anything.
func onlyComments(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line != "---" {
			return false
		}
	}
	return true
}

func (l *loader) section(prefix string, n *document.Node) {
	switch n.Kind {
	case document.Null: // a section whose keys are all commented out
		return
	case document.Map:
	case document.Bool, document.Number, document.String, document.List:
		l.problems.Add(prefix, n.Line, "is %s, want keys of its own", n.Show())
		return
	}
	for _, m := range n.Members {
		key := strings.TrimPrefix(prefix+"."+m.Key, ".")
		s, known := l.byKey[key]
		switch {
		case known:
			l.lines[key] = m.Line
			l.scalar(s, m.Value)
		case slices.ContainsFunc(l.keys, func(k string) bool { return strings.HasPrefix(k, key+".") }):
			l.section(key, m.Value)
		default:
			l.problems.Add(key, m.Line, "unknown key%s", document.Suggest(key, l.keys))
		}
	}
}

// scalar sets a value from the file: a string only from a string.
func (l *loader) scalar(s setting, n *document.Node) {
	_, isText := s.value.(*string)
	scalar := n.Kind == document.String || n.Kind == document.Number && !isText
	if !scalar {
		want := "a number"
		if isText {
			want = "a string"
		}
		l.problems.Add(s.key, n.Line, "is %s, want %s", n.Show(), want)
		return
	}
	if want := s.set(n.Text); want != "" {
		l.problems.Add(s.key, n.Line, "is %s, want %s", n.Show(), want)
	}
}

// environment reads the variables that begin with VERGE_, in their order by
// name. Those of the tests and of the command line are not for the node.
func (l *loader) environment(environ []string) {
	byVariable, variables := map[string]setting{}, make([]string, 0, len(l.settings))
	for _, s := range l.settings {
		name := variable(s.key)
		byVariable[name] = s
		variables = append(variables, name)
	}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "VERGE_") || name == "VERGE_REQUIRE" || name == "VERGE_CONFIG" || strings.HasPrefix(name, "VERGE_TEST_") {
			continue
		}
		s, known := byVariable[name]
		if !known {
			l.problems.Add("", 0, "unknown variable %s%s", fault.Quote(name), document.Suggest(name, variables))
			continue
		}
		l.text(s, value, name)
	}
}

// flags reads what the command line says, by key path.
func (l *loader) flags(overrides map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(overrides)) {
		s, known := l.byKey[key]
		if !known {
			l.problems.Add("", 0, "unknown setting %s%s", fault.Quote(key), document.Suggest(key, l.keys))
			continue
		}
		l.text(s, overrides[key], flag(key))
	}
}

// text sets a value from a variable or a flag.
func (l *loader) text(s setting, value, from string) {
	l.from[s.key] = from
	delete(l.lines, s.key)
	// What it replaces no longer counts, right or wrong.
	l.problems = slices.DeleteFunc(l.problems, func(p fault.Problem) bool { return p.Path == s.key })
	if want := s.set(value); want != "" {
		l.problems.Add(s.key, 0, "is %s, want %s", fault.Quote(value), want)
	}
}

// fault makes one error of the problems, by line, and says where values that are
// not in the file came from.
func (l *loader) fault(path string) error {
	hint := ""
	for i := range l.problems {
		p := &l.problems[i]
		if p.Line == 0 {
			p.Line = l.lines[p.Path]
		}
		if from := l.from[p.Path]; from != "" {
			p.Message += fmt.Sprintf(" (from %s)", from)
		}
		hint = cmp.Or(hint, p.Hint)
	}
	slices.SortStableFunc(l.problems, func(a, b fault.Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &fault.Error{
		Kind: fault.Invalid, Op: op, Subject: path, Err: l.problems,
		Hint: cmp.Or(hint, `"verge config show" prints every key and what it means.`),
	}
}

// problemsOf returns the problems in err.
func problemsOf(err error) fault.Problems {
	var problems fault.Problems
	errors.As(err, &problems)
	return problems
}

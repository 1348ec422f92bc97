package document_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/document"
)

// dump writes a tree as one line, with the line of each value.
func dump(n *document.Node) string {
	switch n.Kind {
	case document.List:
		var items []string
		for _, item := range n.Items {
			items = append(items, dump(item))
		}
		return fmt.Sprintf("%d[%s]", n.Line, strings.Join(items, " "))
	case document.Map:
		var members []string
		for _, m := range n.Members {
			members = append(members, fmt.Sprintf("%d:%s=%s", m.Line, m.Key, dump(m.Value)))
		}
		return fmt.Sprintf("%d{%s}", n.Line, strings.Join(members, " "))
	case document.Null, document.Bool, document.Number, document.String:
	}
	return fmt.Sprintf("%d%s", n.Line, n.Show())
}

func TestJSONAndYAMLBecomeTheSameTree(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"JSON":                  {"{\n \"a\": [1, 2.50, true,\n null],\n\"b\": {\"c\": \"\\ud83d\\ude00\"}}", `1{2:a=2[21 22.50 2true 3null] 4:b=4{4:c=4"😀"}}`},
		"YAML":                  {"a:\n- 1\n- 2.50\n- True\n- ~\nb: {c: \"x\"}\n", `1{1:a=2[21 32.50 4true 5null] 6:b=6{6:c=6"x"}}`},
		"dates are text":        {"a: 2026-01-02\n", `1{1:a=1"2026-01-02"}`},
		"yes is text":           {"a: yes\n", `1{1:a=1"yes"}`},
		"tabs in JSON":          {"{\n\t\"a\":\t1\n}", `1{2:a=21}`},
		"numbers stay as typed": {"a: [0x10, 1_000, .inf, 1e3]", `1{1:a=1[10x10 11_000 1.inf 11e3]}`},
	} {
		t.Run(name, func(t *testing.T) {
			n, problems := document.Parse([]byte(test.text))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(test.want, dump(n)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDocumentsBeyondABoundAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"bytes":          {strings.Repeat(" ", document.MaxBytes+1), "the document has 1048577 bytes, at most 1048576 are read"},
		"values in JSON": {"[" + strings.Repeat("1,", document.MaxNodes) + "1]", "line 1: the document has more than 50000 values"},
		"values in YAML": {strings.Repeat("- 1\n", document.MaxNodes+1), "line 50000: the document has more than 50000 values"},
		"depth in JSON":  {strings.Repeat("[", 33) + strings.Repeat("]", 33), "line 1: more than 32 objects and lists within each other"},
		"depth in YAML":  {strings.Repeat("{a: ", 33) + strings.Repeat("}", 33), "line 1: more than 32 objects and lists within each other"},
	} {
		t.Run(name, func(t *testing.T) {
			n, problems := document.Parse([]byte(test.text))
			if got := problems.Error(); n != nil || got != test.want {
				t.Errorf("Parse = %v, %q, want %q", n, got, test.want)
			}
		})
	}
}

func TestTagsThatAreNotPlainAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a: !!python/object:os.system {b: c}": `line 1: the tag "!!python/object:os.system" is not taken`,
		"a: !thing [1]":                       `line 1: the tag "!thing" is not taken`,
		"a: !!binary aGk=":                    `line 1: the tag "!!binary" is not taken`,
		"a: !!map {b: c}":                     "",
		"a: !!seq [1]":                        "",
	} {
		if _, problems := document.Parse([]byte(text)); problems.Error() != want {
			t.Errorf("Parse(%s): %s, want %s", text, problems, want)
		}
	}
}

func TestDeepestDocumentIsTaken(t *testing.T) {
	n, problems := document.Parse([]byte(strings.Repeat("[", 32) + strings.Repeat("]", 32)))
	if n == nil || len(problems) > 0 {
		t.Error(problems)
	}
}

func TestOnlyPlainDecimalNumbersCount(t *testing.T) {
	for text, want := range map[string]string{
		"12": "12", "-1.5": "-1.5", "1e3": "1000", "+7": "7", "0.5": "0.5", "0": "0", ".5": "0.5",
		"0x10": "no", "010": "no", "0o7": "no", "1_000": "no", ".inf": "no", ".nan": "no", "1e999": "no",
	} {
		n, problems := document.Parse([]byte("a: " + text))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		x, ok := n.Get("a").Float()
		got := "no"
		if ok {
			got = fmt.Sprint(x)
		}
		if got != want {
			t.Errorf("Float of %s = %s, want %s", text, got, want)
		}
	}
}

func TestNearFindsWhatWasMeant(t *testing.T) {
	known := []string{"cpu_threads", "batch_size", "log_level", "path"}
	for name, want := range map[string]string{
		"cpu_thread": "cpu_threads", "batchsize": "batch_size", "LOG_LEVEL": "log_level", "paht": "path", "loglvel": "log_level",
		"zebra": "", "": "", strings.Repeat("x", 100): "",
	} {
		if got := document.Near(name, known); got != want {
			t.Errorf("Near(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, 2.5, true, null, "x"], "b": {}}`, "a:\n- 1\n- {b: c}\n", "a: &x 1\nb: *x\n", "{\"a\":1,\"a\":2}",
		"%YAML 1.2\n---\na: !!str 1\n", "? [a]\n: b\n", "a: |\n  text\n  more\n", "\xff", "--- \n...\n---\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, problems := document.Parse(text)
		if (n == nil) != (len(problems) > 0) {
			t.Fatalf("tree %v with problems %v", n, problems)
		}
		if n != nil {
			last := 1 + bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) + bytes.Count(text, []byte("\u0085")) +
				bytes.Count(text, []byte("\u2028")) + bytes.Count(text, []byte("\u2029"))
			checkLines(t, n, last)
		}
	})
}

func checkLines(t *testing.T, n *document.Node, last int) {
	t.Helper()
	if n.Line < 1 || n.Line > last+1 {
		t.Fatalf("%s on line %d of %d", n.Show(), n.Line, last)
	}
	for _, item := range n.Items {
		checkLines(t, item, last)
	}
	for _, m := range n.Members {
		checkLines(t, m.Value, last)
	}
}

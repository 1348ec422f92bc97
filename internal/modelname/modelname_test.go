package modelname_test

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"verge/internal/modelname"
)

func TestOnlyNamesWithinTheGrammarPass(t *testing.T) {
	for _, name := range []string{"a", "7", "digits", "Digits-2.1_b", strings.Repeat("x", 128)} {
		if err := modelname.Check(name); err != nil {
			t.Errorf("Check(%q) = %v, want nil", name, err)
		}
	}
	const grammar = ` breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`
	for name, quoted := range map[string]string{
		"": `""`, ".a": `".a"`, "-a": `"-a"`, "_a": `"_a"`, "..": `".."`, "a..b": `"a..b"`, "a/b": `"a/b"`, "a b": `"a b"`,
		"ü": `"ü"`, "a\x00": `"a\x00"`, strings.Repeat("x", 129): `"` + strings.Repeat("x", 64) + `…"`,
	} {
		if err := modelname.Check(name); err == nil || err.Error() != "model name "+quoted+grammar {
			t.Errorf("Check(%.70q) = %v, want model name %s%s", name, err, quoted, grammar)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, name := range []string{"", "digits", "a..b", "../../etc/passwd", ".", "é", "a\n"} {
		f.Add(name)
	}
	grammar := regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z`)
	f.Fuzz(func(t *testing.T, name string) {
		want := grammar.MatchString(name) && !strings.Contains(name, "..")
		if ok := modelname.Check(name) == nil; ok != want {
			t.Fatalf("Check(%q) passes: %t, want %t", name, ok, want)
		}
		if want && path.Clean("/models/"+name) != "/models/"+name {
			t.Fatalf("%q is a way out of its directory", name)
		}
	})
}

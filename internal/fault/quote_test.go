package fault_test

import (
	"strings"
	"testing"

	"verge/internal/fault"
)

func TestLongForeignTextIsCutBetweenCharacters(t *testing.T) {
	const sign = "…"
	for name, tc := range map[string]struct{ text, want string }{
		"short":                  {"abc", "abc"},
		"as long as may be":      {strings.Repeat("x", 64), strings.Repeat("x", 64)},
		"a byte longer":          {strings.Repeat("x", 65), strings.Repeat("x", 64) + sign},
		"two bytes each":         {strings.Repeat("ü", 50), strings.Repeat("ü", 32) + sign},
		"a character at the cut": {"x" + strings.Repeat("日", 50), "x" + strings.Repeat("日", 21) + sign},
		"no UTF-8":               {strings.Repeat("\x80", 100), strings.Repeat("\x80", 60) + sign},
	} {
		if got := fault.Clip(tc.text); got != tc.want {
			t.Errorf("%s: Clip = %q, want %q", name, got, tc.want)
		}
	}
	if got, want := fault.Quote("\x1b[31m"+strings.Repeat("x", 64)), `"\x1b[31m`+strings.Repeat("x", 59)+`…"`; got != want {
		t.Errorf("Quote = %s, want %s", got, want)
	}
}

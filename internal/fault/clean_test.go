package fault_test

import (
	"testing"

	"verge/internal/fault"
)

func TestForeignTextIsMadeFitToBeShown(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                 "plain",
		"two\nlines\r\n\tand \x00nul":           "two lines   and nul",
		"\x1b[31mred\x1b[0m":                    "[31mred[0m",
		"at /usr/lib/libx.so.1: no":             "at libx.so.1: no",
		"(/a/b/c.cc:7) '/x/y'":                  "(c.cc:7) 'y'",
		"1/2 of a/b/c, or /":                    "1/2 of a/b/c, or /",
		"bad \xff byte":                         "bad � byte",
		"right\u202eto left":                    "rightto left",
		"directory /a/b/":                       "directory b/",
		"(see https://a.org/b/c_d:/e) and /f/g": "(see https://a.org/b/c_d:/e) and g",
	} {
		if got := fault.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

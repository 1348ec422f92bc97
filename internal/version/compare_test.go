package version_test

import (
	"testing"

	"verge/internal/version"
)

func TestVersionsAreOrderedNumberByNumber(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"1.9.0", "1.30.0", -1},
		{"1.30.0", "1.30", 0},
		{"2", "1.99.99", 1},
		{"", "0.1", -1},
		{"1.30.0", "1.30.0", 0},
		{"2.9", "2.34", -1},
		{"1.x.3", "1.0.2", 1},
		{"99999999999", "1", -1},
		{"", "", 0},
		{".", "", 0},
	} {
		if got := version.Compare(tc.a, tc.b); got != tc.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := version.Compare(tc.b, tc.a); got != -tc.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", tc.b, tc.a, got, -tc.want)
		}
	}
}

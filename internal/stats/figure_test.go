package stats_test

import (
	"math"
	"testing"

	"verge/internal/stats"
)

func TestFiguresHaveNoExponent(t *testing.T) {
	for _, tc := range []struct {
		x      float64
		digits int
		want   string
	}{
		{28603.4, 4, "28603"},
		{1234.5, 3, "1234"},
		{204.08, 4, "204.1"},
		{200, 4, "200"},
		{9.9996, 4, "10"},
		{0.04871, 3, "0.0487"},
		{0.5, 3, "0.5"},
		{-12.345, 3, "-12.3"},
		{1e-7, 3, "0.0000001"},
		{0, 4, "0"},
		{math.Inf(1), 3, "+Inf"},
		{math.NaN(), 3, "NaN"},
	} {
		if got := stats.Figure(tc.x, tc.digits); got != tc.want {
			t.Errorf("Figure(%v, %d) = %q, want %q", tc.x, tc.digits, got, tc.want)
		}
	}
}

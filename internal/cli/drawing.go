package cli

import (
	"math"
	"strings"

	"verge/client"
)

// drawing shows an input that is one small grey picture, two characters a pixel;
// nil for anything else.
func drawing(in *client.Tensor) []string {
	rows, columns := pictureSize(in.Shape)
	if rows == 0 {
		return nil
	}
	pixels, err := in.Numbers()
	if err != nil || len(pixels) != rows*columns {
		return nil
	}
	white := 0.0
	for _, p := range pixels {
		if math.IsNaN(p) || math.IsInf(p, 0) {
			return nil
		}
		white = max(white, p)
	}
	if white == 0 {
		return nil
	}
	shades := []rune(" ░▒▓█")
	lines := make([]string, rows)
	for r := range rows {
		for _, p := range pixels[r*columns : (r+1)*columns] {
			shade := min(max(int(p/white*float64(len(shades))), 0), len(shades)-1)
			lines[r] += strings.Repeat(string(shades[shade]), 2)
		}
	}
	return lines
}

// pictureSize reads a shape as rows and columns of one channel of one picture, of
// a size that fits a terminal; 0 for any other.
func pictureSize(shape []int64) (rows, columns int) {
	const most = 40
	for len(shape) > 2 && shape[0] == 1 {
		shape = shape[1:]
	}
	if len(shape) == 3 && shape[2] == 1 {
		shape = shape[:2]
	}
	if len(shape) != 2 || shape[0] < 2 || shape[1] < 2 || shape[0] > most || shape[1] > most {
		return 0, 0
	}
	return int(shape[0]), int(shape[1])
}

// sparkline draws values as one line of bars, the highest of them full.
func sparkline(values []float64) string {
	steps := []rune("▁▂▃▄▅▆▇█")
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	var b strings.Builder
	for _, v := range values {
		step := 0
		if most > 0 {
			step = min(int(v/most*float64(len(steps))), len(steps)-1)
		}
		b.WriteRune(steps[step])
	}
	return b.String()
}

// bar draws a share as a bar of n cells.
func bar(share float64, n int) string {
	full := int(min(max(share, 0), 1)*float64(n) + 0.5)
	return strings.Repeat("█", full) + strings.Repeat("░", n-full)
}

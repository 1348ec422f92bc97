package dataset

import (
	"cmp"
	"math"
	"slices"
)

// Class is one score of a classifier.
type Class struct {
	Index int     `json:"index"`
	Label string  `json:"label,omitempty"` // "" where there is no label for Index
	Score float64 `json:"score"`
}

// Top returns the k highest scores, the highest first and the lower index first
// among equals; all of them where there are fewer. NaN counts as the lowest.
// The scores are taken as they are: no softmax is applied.
func Top(scores []float64, k int, labels []string) []Class {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) }) // NaN is less than any number
	top := make([]Class, 0, max(0, min(k, len(order))))
	for _, i := range order[:cap(top)] {
		c := Class{Index: i, Score: scores[i]}
		if i < len(labels) {
			c.Label = labels[i]
		}
		top = append(top, c)
	}
	return top
}

// finite reports whether f is neither NaN nor an infinity.
func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

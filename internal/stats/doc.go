// Package stats holds the few figures that verdicts rest on: percentiles by the
// nearest rank, summaries, and how many samples a percentile's bound needs to hold
// with a given confidence. It is pure arithmetic and knows no units.
package stats

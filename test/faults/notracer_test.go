//go:build !amd64

package faults_test

// traceMain is for processors whose registers the tracer knows.
func traceMain([]string) int { return noTracer }

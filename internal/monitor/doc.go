// Package monitor counts how one version of a model answers: latencies over a
// window of the last requests, throughput over the last minute, errors by kind,
// and histograms of the whole life and of each of the last minutes, which can be
// merged. It is pure data: it starts no goroutine, reads no clock but the one that
// it is handed, and knows neither models nor requests.
//
//	m := monitor.New(monitor.Default(), time.Now)
//	m.Record(latency, err) // for every request, from any goroutine
//	stats := m.Snapshot()
//
// Latencies, throughput and histograms are those of requests that were answered:
// how fast a failure came says nothing about the model, and errors are counted
// beside them.
package monitor

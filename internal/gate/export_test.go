package gate

// The counting of latencies, apart from their measurement.
var HistogramOf = histogram

const HistogramBuckets = histogramBuckets

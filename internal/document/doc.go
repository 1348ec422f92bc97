// Package document reads what people write: deployment files and settings, in
// JSON or YAML. Both become one tree of nodes that know their lines, and Decode
// fills a Go struct from it, strictly: keys exactly as they are spelt, no key
// twice, none that is not known, numbers within their range. It goes on after a
// problem, so that one run finds them all.
//
// It is not for requests: their reader is strictjson. Its functions may be used
// from several goroutines at once.
package document

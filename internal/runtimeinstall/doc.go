// Package runtimeinstall brings native inference libraries to a device, and finds
// the ones that are there:
//
//	runtimes, err := runtimeinstall.New(runtimeinstall.Config{Dir: "/var/lib/verge/runtimes"})
//	found, err := runtimes.Find("onnxruntime") // where it is, or how to install it
//	result, err := runtimes.Install(ctx, runtimeinstall.Options{Name: "onnxruntime"}, progress)
//
// What is installed is pinned: a lock file that is part of the program names the
// package, its size and SHA-256, the one library in it that is needed, and the
// library's own size and SHA-256. The package comes by the package client that the
// machine has, pip or npm, or from a file; it is opened after its bytes were
// verified. A library takes its place by a rename, after it is on disk: whatever
// ends an install, there is a whole library or none.
//
// Installed libraries lie at <dir>/<name>/<version>/<file>. Installs into one
// directory, by any process, wait for each other. The package opens no library; a
// Runtimes is safe for concurrent use.
package runtimeinstall

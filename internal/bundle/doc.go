// Package bundle writes and reads a version of a model as one file, which another node can
// be given: a tar archive (POSIX.1-2001 pax) of
//
//	bundle.json        what is in it: a Manifest
//	deployment.yaml    the deployment file as it was given, under its own name
//	report.json        the report of its deployment, where there is one
//	digits.onnx, …     the model and what belongs to it
//
// in this order. A file lies where the deployment file looks for it from its own folder, so
// that the archive can be unpacked and deployed by hand too; where that place is outside of
// the folder, it lies below files/, by its role.
//
// The package knows neither deployment files nor nodes; a Bundle is safe for concurrent use.
package bundle

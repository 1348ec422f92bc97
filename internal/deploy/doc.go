// Package deploy takes a deployment file and a model from the artifact store to
// a version that serves, as one transaction: it checks, loads the version
// beside the one that serves, gates and tests it through a private route,
// switches, and remembers. Until the switch nothing that clients see changes;
// after it the new version serves, whole. Every move between phases is on disk
// before it takes effect, so that a node that starts again finishes what had
// switched, ends what had not, and serves what is committed.
//
// The package knows no native library, no socket and no worker: app hands it
// what it needs as a Host. A Manager is safe for concurrent use; one goroutine
// runs each deployment, and Close waits for all of them.
package deploy

// Package config is the node's settings: one tree of structs, filled from the
// defaults, a file, the environment and the command line, each winning over the
// one before. A key path such as "serve.queue_size" names the same setting in
// all of them: in the file as nested keys, in the environment as
// VERGE_SERVE__QUEUE_SIZE. Nothing that is misspelt is passed over.
//
// Other packages never see the tree: app hands each its own part.
package config

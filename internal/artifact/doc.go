// Package artifact keeps the files of deployments (models, labels, golden
// cases) by the digest of their bytes. What is in the store is whole: bytes
// arrive in a temporary file, are hashed on the way, and take their place by a
// rename, after they are on disk. What leaves the store is hashed again, into
// sealed memory that nothing can change any more.
//
// No path crosses the API: an artifact is named by its digest alone, and every
// file operation stays below the store's directory. A Store is safe for
// concurrent use by one process; the state directory's lock keeps others out.
package artifact

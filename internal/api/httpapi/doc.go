// Package httpapi serves the Open Inference Protocol (version 2, with Triton's
// extensions for binary tensors, classification and model configuration) over
// HTTP/1.1, and has the listeners and the server that every HTTP interface of the
// node runs on.
//
//	handler := httpapi.New(cfg, server, log) // server: a serve.Server, or serve.Only(version)
//	listener, err := httpapi.ListenUnix(path, 0o660)
//	err = httpapi.NewServer(cfg, handler, log).Serve(listener)
//
// Tensors are not copied: their bytes are read from the connection into the memory
// that the model reads, and written to the connection from where the model wrote
// them. So a request holds its slot until its answer is written, for which it has
// Config.WriteTimeout. Answers are not compressed, as HTTP allows.
//
// Every answer of a Handler is JSON, or a tensor's bytes. What breaks HTTP itself
// (two lengths, a header that is too large: 400, 431, 501, 505) is answered by
// net/http, in text/plain, and its connection closed.
//
// A Handler keeps nothing between requests but buffers.
package httpapi

// Package manage serves the management API of a node, /v1: artifacts, which are
// uploaded by their digest, deployments with their events, models, and what the
// node knows of itself. Bodies are JSON, in the types of package client.
//
// No path crosses this API. It has no authentication of its own: it belongs on
// the node's Unix socket, whose file mode says who may use it. Where it has no
// business, Forbidden answers in its place.
//
// One table of routes makes the handler and the OpenAPI document, so that the
// document, GET /v1/openapi.json, says neither more nor less than what is served.
// The handler keeps no state and is safe for concurrent use.
package manage

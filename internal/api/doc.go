// Package api holds what every HTTP interface of a node shares: the one table from
// kinds of errors to statuses, the errors of the transport that no kind stands for,
// and the bodies of errors. Its sub-packages are the interfaces: httpapi, the Open
// Inference Protocol, and manage, the management API.
package api

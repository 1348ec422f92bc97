// Package cli is the command line. Run is main without the process around it, so
// that tests call it directly. Each command has a file of its own; what it shows
// goes to IO.Out, what it has to say about itself to IO.Err.
//
// All that concerns a node goes through package client, at the node's Unix socket
// unless told otherwise; no command reaches into a node's state.
package cli

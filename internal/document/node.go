package document

import (
	"verge/internal/fault"
)

// Kind is what a node is.
type Kind string

// The kinds. Their texts stand in messages.
const (
	Null   Kind = "null"
	Bool   Kind = "a boolean"
	Number Kind = "a number"
	String Kind = "a string"
	List   Kind = "a list"
	Map    Kind = "an object"
)

// Node is one value of a document.
type Node struct {
	Kind    Kind
	Line    int      // 1-based
	Text    string   // of a boolean ("true", "false"), a number as it was written, or a string
	Items   []*Node  // of a list
	Members []Member // of a map, in the order of the document, each key once
}

// Member is one entry of a map.
type Member struct {
	Key   string
	Line  int // of the key
	Value *Node
}

// Get returns the value of a key of a map, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, m := range n.Members {
		if m.Key == key {
			return m.Value
		}
	}
	return nil
}

// At returns the value at a path of keys, or nil.
func (n *Node) At(keys ...string) *Node {
	for _, key := range keys {
		n = n.Get(key)
	}
	return n
}

// Show returns the node as a message names it: `"eight"`, "12", "a list".
func (n *Node) Show() string {
	switch n.Kind {
	case String:
		return fault.Quote(n.Text)
	case Bool, Number:
		return fault.Clip(n.Text)
	case Null, List, Map:
	}
	return string(n.Kind)
}

// join appends a key to a key path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

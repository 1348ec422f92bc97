package deployfile

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"verge/internal/document"
	"verge/internal/modelname"
)

// Unsaid is what a file does not say, and is taken for it.
type Unsaid struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	Stage string          `json:"stage,omitempty"` // whose wish it is; "" for all of them
}

// Unsaid returns what the file does not say, by key.
func (f *File) Unsaid() []Unsaid {
	values := f.values()
	elsewhere := map[string]string{} // at a stage that wishes for nothing
	if f.Strict() && f.root != nil {
		other, _ := decode(f.root, modelname.Testing, f.ignore)
		elsewhere = other.values()
	}
	var all []Unsaid
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if key == "stage" || said(f.root, strings.Split(key, ".")) {
			continue
		}
		u := Unsaid{Key: key, Value: json.RawMessage(values[key])}
		if f.Strict() && elsewhere[key] != values[key] {
			u.Stage = f.Stage
		}
		all = append(all, u)
	}
	return all
}

// values are the file's, as JSON by key.
func (f *File) values() map[string]string {
	all := map[string]string{}
	text, err := f.Resolved()
	var root any
	if err != nil || json.Unmarshal(text, &root) != nil {
		return all // it has been written so before
	}
	var walk func(key string, value any)
	walk = func(key string, value any) {
		if members, ok := value.(map[string]any); ok && (len(members) > 0 || key == "") {
			for name, member := range members {
				walk(strings.TrimPrefix(key+"."+name, "."), member)
			}
			return
		}
		if text, err := json.Marshal(value); err == nil {
			all[key] = string(text)
		}
	}
	walk("", root)
	return all
}

// said says whether a document has a key, or in the place of a map above it something else
// that means all of it, as true does of a test.
func said(n *document.Node, path []string) bool {
	for _, key := range path {
		if n == nil {
			return false
		}
		if n.Kind != document.Map {
			return n.Kind != document.Bool
		}
		n = n.Get(key)
	}
	return n != nil
}

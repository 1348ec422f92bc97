package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"verge/internal/fault"
)

// The bounds of a document.
const (
	MaxBytes = 1 << 20 // of its text
	MaxNodes = 50_000  // values and keys
	MaxDepth = 32      // objects and lists within each other
)

// Parse reads one document. What is wrong with its form is returned as
// problems, at most a handful; the tree is nil then.
func Parse(text []byte) (*Node, fault.Problems) {
	p := &parser{}
	var root *Node
	switch {
	case len(text) > MaxBytes:
		p.problems.Add("", 0, "the document has %d bytes, at most %d are read", len(text), MaxBytes)
	case !utf8.Valid(text):
		p.problems.Add("", invalidLine(text), "the text is not valid UTF-8")
	case json.Valid(text):
		root = p.readJSON(text)
	default:
		root = p.readYAML(text)
	}
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return root, nil
}

// invalidLine is the line of the first byte that is not UTF-8.
func invalidLine(text []byte) int {
	good := 0
	for good < len(text) {
		r, size := utf8.DecodeRune(text[good:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		good += size
	}
	return 1 + bytes.Count(text[:good], []byte("\n"))
}

// errStop ends the reading of a document that is beyond a bound.
var errStop = errors.New("stop")

// parser turns either form into nodes.
type parser struct {
	problems fault.Problems
	nodes    int
}

// count holds one more value against the bounds.
func (p *parser) count(line, depth int) error {
	p.nodes++
	switch {
	case p.nodes > MaxNodes:
		p.problems.Add("", line, "the document has more than %d values", MaxNodes)
		return errStop
	case depth > MaxDepth:
		p.problems.Add("", line, "more than %d objects and lists within each other", MaxDepth)
		return errStop
	}
	return nil
}

// member adds an entry to a map, unless its key is there already; seen has the
// lines of the keys so far.
func (p *parser) member(n *Node, m Member, seen map[string]int) {
	if first, twice := seen[m.Key]; twice {
		const most = 8
		if len(p.problems) < most {
			p.problems.Add("", m.Line, "key %s is given twice, first on line %d", fault.Quote(m.Key), first)
		}
		return
	}
	seen[m.Key] = m.Line
	n.Members = append(n.Members, m)
}

// readJSON reads a text that json.Valid has accepted.
func (p *parser) readJSON(text []byte) *Node {
	r := &jsonReader{parser: p, text: text, dec: json.NewDecoder(bytes.NewReader(text)), line: 1}
	r.dec.UseNumber()
	token, err := r.next()
	if err != nil {
		return nil
	}
	root, err := r.value(token, 1)
	if err != nil && !errors.Is(err, errStop) {
		p.problems.Add("", r.line, "%v", err)
	}
	return root
}

// jsonReader walks the tokens of a JSON text and counts its lines.
type jsonReader struct {
	*parser
	text   []byte
	dec    *json.Decoder
	offset int64 // up to which lines are counted
	line   int
}

func (r *jsonReader) next() (json.Token, error) {
	token, err := r.dec.Token()
	end := r.dec.InputOffset()
	r.line += bytes.Count(r.text[r.offset:end], []byte("\n"))
	r.offset = end
	return token, err
}

func (r *jsonReader) value(token json.Token, depth int) (*Node, error) {
	if err := r.count(r.line, depth); err != nil {
		return nil, err
	}
	n := &Node{Kind: Null, Line: r.line}
	switch t := token.(type) {
	case bool:
		n.Kind, n.Text = Bool, fmt.Sprint(t)
	case json.Number:
		n.Kind, n.Text = Number, t.String()
	case string:
		n.Kind, n.Text = String, t
	case json.Delim:
		if t == '[' {
			n.Kind = List
			return n, r.items(n, depth)
		}
		n.Kind = Map
		return n, r.members(n, depth)
	}
	return n, nil
}

func (r *jsonReader) items(n *Node, depth int) error {
	for {
		token, err := r.next()
		if err != nil || token == json.Delim(']') {
			return err
		}
		item, err := r.value(token, depth+1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
}

func (r *jsonReader) members(n *Node, depth int) error {
	seen := map[string]int{}
	for {
		token, err := r.next()
		key, ok := token.(string)
		if err != nil || !ok {
			return err // the closing brace
		}
		line := r.line
		if token, err = r.next(); err != nil {
			return err
		}
		value, err := r.value(token, depth+1)
		if err != nil {
			return err
		}
		r.member(n, Member{key, line, value}, seen)
	}
}

// readYAML reads a text as one YAML document.
func (p *parser) readYAML(text []byte) *Node {
	var doc yaml.Node
	if err := yaml.Load(text, &doc, yaml.WithUniqueKeys(false)); err != nil {
		p.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		p.problems.Add("", 0, "the document is empty")
		return nil
	}
	root, err := p.yamlValue(doc.Content[0], 1)
	if err != nil && !errors.Is(err, errStop) {
		p.problems.Add("", 0, "%v", err)
	}
	return root
}

// syntax says what the YAML library found.
func (p *parser) syntax(err error) {
	var load *yaml.LoadError
	switch {
	case !errors.As(err, &load):
		p.problems.Add("", 0, "neither JSON nor YAML: %s", fault.Clip(err.Error()))
	case strings.Contains(load.Message, "no documents"):
		p.problems.Add("", 0, "the document is empty")
	default:
		p.problems.Add("", max(load.Mark.Line, 0), "neither JSON nor YAML: %s", load.Message)
	}
}

func (p *parser) yamlValue(y *yaml.Node, depth int) (*Node, error) {
	if err := p.count(y.Line, depth); err != nil {
		return nil, err
	}
	n := &Node{Kind: Null, Line: y.Line}
	switch {
	case y.Kind == yaml.AliasNode || y.Anchor != "":
		p.problems.Add("", y.Line, "anchors and aliases (& and *) are not taken")
		return nil, errStop
	case y.Kind == yaml.SequenceNode && y.ShortTag() != "!!seq", y.Kind == yaml.MappingNode && y.ShortTag() != "!!map":
		return nil, p.unknownTag(y)
	case y.Kind == yaml.SequenceNode:
		n.Kind = List
		for _, item := range y.Content {
			value, err := p.yamlValue(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, value)
		}
		return n, nil
	case y.Kind == yaml.MappingNode:
		n.Kind = Map
		seen := map[string]int{}
		for i := 0; i+1 < len(y.Content); i += 2 {
			key := y.Content[i]
			if key.Kind != yaml.ScalarNode {
				p.problems.Add("", key.Line, "a key is not plain text")
				return nil, errStop
			}
			value, err := p.yamlValue(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			p.member(n, Member{key.Value, key.Line, value}, seen)
		}
		return n, nil
	}
	return n, p.yamlScalar(y, n)
}

func (p *parser) yamlScalar(y *yaml.Node, n *Node) error {
	switch y.ShortTag() {
	case "!!null":
	case "!!bool":
		n.Kind, n.Text = Bool, strings.ToLower(y.Value)
	case "!!int", "!!float":
		n.Kind, n.Text = Number, y.Value
	case "!!str", "!!timestamp":
		n.Kind, n.Text = String, y.Value
	default:
		return p.unknownTag(y)
	}
	return nil
}

func (p *parser) unknownTag(y *yaml.Node) error {
	p.problems.Add("", y.Line, "the tag %s is not taken", fault.Quote(y.ShortTag()))
	return errStop
}

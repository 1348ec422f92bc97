package openvino

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// document reads the elements of an XML file in order.
type document struct {
	lim      Limits
	src      *source
	dec      *xml.Decoder
	line     int  // where the token in hand ends, from 1
	declared bool // <?xml …?> has been seen
	elements int
	open     []string // names of the elements that have begun and not ended
}

// element is the start of an XML element. Whoever gets one reads what is in it
// with children, content or skip.
type element struct {
	name  string
	attrs []xml.Attr
	line  int
}

func newDocument(r io.ReaderAt, size int64, limits Limits) *document {
	src := &source{src: r, size: size, limit: limits.TokenBytes}
	dec := xml.NewDecoder(src)
	dec.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, unsupported("the file is in character set %s, only UTF-8 can be read", fault.Quote(charset)).
			WithHint("Convert the model again.")
	}
	return &document{lim: limits, src: src, dec: dec, line: 1}
}

// token returns the next start, end or text. It returns io.EOF, and no other
// error that is no *fault.Error, at the end of the file.
func (d *document) token() (xml.Token, error) {
	for {
		d.src.token = 0
		t, err := d.dec.RawToken()
		d.line, _ = d.dec.InputPos()
		if err != nil {
			return nil, d.failure(err)
		}
		switch t := t.(type) {
		case xml.Comment:
		case xml.Directive:
			return nil, corrupt(d.line, "a document type or another declaration <!… is refused: OpenVINO writes none").
				WithHint(declarationHint)
		case xml.ProcInst:
			if t.Target != "xml" || d.declared || d.elements > 0 {
				return nil, corrupt(d.line, "the processing instruction <?%s is not allowed here", fault.Clip(t.Target)).WithHint(formatHint)
			}
			d.declared = true
		default:
			return t, nil
		}
	}
}

// failure returns the error for one of the decoder.
func (d *document) failure(err error) error {
	var (
		known  *fault.Error
		syntax *xml.SyntaxError
	)
	switch {
	case errors.As(err, &known):
		return known
	case err == io.EOF: //nolint:errorlint // the decoder does not wrap it
		return err
	case errors.As(err, &syntax) && syntax.Msg == "unexpected EOF":
		return d.cut()
	case errors.As(err, &syntax):
		return corrupt(syntax.Line, "%s", fault.Clip(syntax.Msg))
	}
	return corrupt(d.line, "%s", fault.Clip(strings.TrimPrefix(err.Error(), "xml: ")))
}

// cut is the error for a file that ends too early.
func (d *document) cut() error {
	if len(d.open) == 0 {
		return corrupt(d.line, "the file ends before the model")
	}
	return corrupt(d.line, "the file ends inside <%s>", fault.Clip(d.open[len(d.open)-1]))
}

// enter checks the start of an element.
func (d *document) enter(t xml.StartElement) (element, error) {
	e := element{name: fullName(t.Name), attrs: t.Attr, line: d.line}
	d.open = append(d.open, e.name)
	d.elements++
	switch {
	case d.elements > d.lim.Elements:
		return e, tooLarge("the file has more than %d elements", d.lim.Elements)
	case len(d.open) > d.lim.Depth:
		return e, tooLarge("line %d: elements are nested more than %d deep", e.line, d.lim.Depth).WithHint(deepHint)
	case len(e.attrs) > d.lim.Attributes:
		return e, tooLarge("line %d: <%s> has %d attributes, the limit is %d", e.line, fault.Clip(e.name), len(e.attrs), d.lim.Attributes)
	}
	for i, a := range e.attrs {
		for _, b := range e.attrs[:i] {
			if a.Name == b.Name {
				return e, corrupt(e.line, "<%s> has attribute %s twice", fault.Clip(e.name), fault.Quote(fullName(a.Name)))
			}
		}
	}
	return e, nil
}

// leave checks the end of an element.
func (d *document) leave(t xml.EndElement) error {
	name, want := fullName(t.Name), d.open[len(d.open)-1]
	if name != want {
		return corrupt(d.line, "</%s> stands where <%s> must end", fault.Clip(name), fault.Clip(want))
	}
	d.open = d.open[:len(d.open)-1]
	return nil
}

// fullName returns the name as it stands in the file: OpenVINO knows no name spaces.
func fullName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// root returns the first element of the file.
func (d *document) root() (element, error) {
	for {
		t, err := d.token()
		if err == io.EOF { //nolint:errorlint // token does not wrap it
			err = d.cut()
		}
		if err != nil {
			return element{}, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return d.enter(t)
		case xml.EndElement:
			return element{}, corrupt(d.line, "</%s> ends what has not begun", fault.Clip(fullName(t.Name)))
		case xml.CharData:
			text := bytes.TrimSpace(bytes.TrimPrefix(t, []byte("\uFEFF"))) // a byte order mark
			if len(text) > 0 {
				return element{}, corrupt(d.line, "the file begins with %s, not with a tag", fault.Quote(string(text))).WithHint(formatHint)
			}
		}
	}
}

// end checks that nothing follows the root.
func (d *document) end() error {
	for {
		t, err := d.token()
		if err == io.EOF { //nolint:errorlint // token does not wrap it
			return nil
		}
		if err != nil {
			return err
		}
		if text, ok := t.(xml.CharData); !ok || len(bytes.TrimSpace(text)) > 0 {
			return corrupt(d.line, "something follows the end of the model")
		}
	}
}

// children calls visit for every element in e, which reads what is in that
// element. Text between them is passed over, as OpenVINO does.
func (d *document) children(visit func(element) error) error {
	for {
		t, err := d.token()
		if err == io.EOF { //nolint:errorlint // token does not wrap it
			err = d.cut()
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			e, err := d.enter(t)
			if err != nil {
				return err
			}
			if err := visit(e); err != nil {
				return err
			}
		case xml.EndElement:
			return d.leave(t)
		}
	}
}

// skip passes over what is in an element.
func (d *document) skip() error {
	return d.children(func(element) error { return d.skip() })
}

// content returns the text in an element that has no elements in it, without
// white space around it.
func (d *document) content() (string, error) {
	var text []byte
	for {
		t, err := d.token()
		if err == io.EOF { //nolint:errorlint // token does not wrap it
			err = d.cut()
		}
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return "", corrupt(d.line, "<%s> stands where a number is wanted", fault.Clip(fullName(t.Name)))
		case xml.EndElement:
			return string(bytes.TrimSpace(text)), d.leave(t)
		case xml.CharData:
			if len(text)+len(t) > d.lim.NameBytes {
				return "", tooLarge("line %d: the text in <%s> is longer than %d bytes", d.line, fault.Clip(d.open[len(d.open)-1]), d.lim.NameBytes)
			}
			text = append(text, t...)
		}
	}
}

// attr returns an attribute, and whether e has it.
func (e *element) attr(name string) (string, bool) {
	for i := range e.attrs {
		if e.attrs[i].Name.Space == "" && e.attrs[i].Name.Local == name {
			return e.attrs[i].Value, true
		}
	}
	return "", false
}

// need returns an attribute that e must have.
func (e *element) need(name string) (string, error) {
	text, ok := e.attr(name)
	if !ok {
		return "", corrupt(e.line, "<%s> has no attribute %q", fault.Clip(e.name), name)
	}
	return text, nil
}

// number returns an attribute that e must have and that is a decimal number.
func (e *element) number(name string) (int64, error) {
	text, err := e.need(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, corrupt(e.line, "attribute %q of <%s> is %s, want a number of 0 or more", name, fault.Clip(e.name), fault.Quote(text))
	}
	return n, nil
}

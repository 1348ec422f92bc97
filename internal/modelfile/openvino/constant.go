package openvino

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"verge/internal/fault"
)

// extent is a range of bytes of the .bin file.
type extent struct{ offset, size int64 }

// end returns the offset after the last byte. It fits, as the range was checked.
func (x extent) end() int64 { return x.offset + x.size }

// data reads the <data> of a layer. Only that of Parameter and Const counts.
func (p *parser) data(e element, l *layer) error {
	var err error
	switch l.kind {
	case kindParameter:
		err = p.parameter(e, l)
	case kindConst:
		err = p.constant(e, l)
	}
	if err != nil {
		return err
	}
	return p.skip()
}

// parameter reads the <data> of a Parameter layer.
func (p *parser) parameter(e element, l *layer) error {
	text, err := e.need("element_type")
	if err != nil {
		return err
	}
	l.element = elementOf(text)
	if text, err = e.need("shape"); err != nil {
		return err
	}
	if l.shape, err = parseShape(text); err != nil {
		return corrupt(e.line, "%s: %w", l.describe(), err)
	}
	return nil
}

// constant reads the <data> of a Const layer, and checks it against the .bin file.
func (p *parser) constant(e element, l *layer) error {
	text, err := e.need("element_type")
	if err != nil {
		return err
	}
	kind := elementOf(text)
	if kind == 0 {
		return corrupt(e.line, "%s has element type %s", l.describe(), fault.Quote(text))
	}
	if text, err = e.need("shape"); err != nil {
		return err
	}
	dims, err := parseStatic(text)
	if err != nil {
		return corrupt(e.line, "%s: %w", l.describe(), err)
	}
	elements, ok := dims.elements()
	if !ok {
		return corrupt(e.line, "%s claims more than %d elements", l.describe(), int64(maxElements))
	}
	var x extent
	if x.offset, err = e.number("offset"); err != nil {
		return err
	}
	if x.size, err = e.number("size"); err != nil {
		return err
	}
	if err := p.checkExtent(e, l, x); err != nil {
		return err
	}
	if why := kind.misfit(elements, x.size); why != "" {
		return corrupt(e.line, "%s claims %d elements of %s, %s", l.describe(), elements, elementTypes[kind].name, why)
	}
	return p.addConstant(x, elements)
}

// misfit says why n elements do not take size bytes, or "". Elements of 3 and 6
// bits are written in groups, strings have any length, and of unknown types
// nothing is known.
func (t elementType) misfit(n, size int64) string {
	want := t.bytes(n)
	switch {
	case t == typeString, t == typeUnknown:
	case elementTypes[t].bits == 3 || elementTypes[t].bits == 6:
		if size < want {
			return fmt.Sprintf("which take at least %d bytes, and has %d", want, size)
		}
	case size != want:
		return fmt.Sprintf("which take %d bytes, and has %d", want, size)
	}
	return ""
}

// checkExtent refuses a range that does not lie in the .bin file.
func (p *parser) checkExtent(e element, l *layer, x extent) error {
	switch {
	case p.weights < 0:
		return corrupt(e.line, "%s needs bytes %d to %d of the .bin file, which is not there, or empty", l.describe(), x.offset, x.lastByte()).
			WithHint(weightsHint)
	case x.size > p.weights || x.offset > p.weights-x.size:
		return corrupt(e.line, "%s needs bytes %d to %d of the .bin file, which has %d", l.describe(), x.offset, x.lastByte(), p.weights).
			WithHint(weightsHint)
	}
	return nil
}

// lastByte is end for a range that was not checked, capped.
func (x extent) lastByte() int64 {
	if x.size > math.MaxInt64-x.offset {
		return math.MaxInt64
	}
	return x.end()
}

// addConstant adds a Const layer to the model's figures.
func (p *parser) addConstant(x extent, elements int64) error {
	if _, again := p.extents[x]; again && x.size > 0 {
		return nil // the same data
	}
	if elements > math.MaxInt64-p.m.Parameters {
		return tooLarge("the Const layers together claim more than %d elements", int64(math.MaxInt64))
	}
	p.extents[x] = struct{}{}
	p.m.Parameters += elements
	return nil
}

// union returns how many bytes lie in one or more of the ranges, and where the last of
// them ends.
func union(extents map[extent]struct{}) (total, end int64) {
	all := make([]extent, 0, len(extents))
	for x := range extents {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b extent) int { return cmp.Compare(a.offset, b.offset) })
	for _, x := range all {
		if x.end() > end {
			total += x.end() - max(x.offset, end)
			end = x.end()
		}
	}
	return total, end
}

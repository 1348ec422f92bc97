package openvino

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// newestOpset is the newest operator set of OpenVINO 2026.4.
const newestOpset = 17

// standard returns the number of the operator's set, and whether that is one of
// OpenVINO's own; "experimental" and "extension" are, and count as 0.
func (o OperatorCount) standard() (int, bool) {
	switch o.Opset {
	case "experimental", "extension":
		return 0, true
	}
	digits, ok := strings.CutPrefix(o.Opset, "opset")
	n, err := strconv.ParseUint(digits, 10, 16)
	return int(n), ok && err == nil && n > 0
}

// compare orders operators: most frequent first, then by operator set and name.
func (o OperatorCount) compare(other OperatorCount) int {
	return cmp.Or(cmp.Compare(other.Count, o.Count), cmp.Compare(o.Opset, other.Opset), cmp.Compare(o.Name, other.Name))
}

// note adds what a person should know before the model is deployed.
func (p *parser) note() {
	newest := 0
	for _, o := range p.m.Operators {
		n, standard := o.standard()
		newest = max(newest, n)
		p.m.Stateful = p.m.Stateful || standard && o.Name == kindAssign // a ReadValue alone reads what was first
	}
	if p.m.Stateful {
		p.addNote("The model keeps values from one run to the next: an answer depends on the requests before it.")
	}
	if p.m.UnusedBytes > 0 {
		p.addNote("The .bin file has %d bytes behind the last one that the .xml file uses: it may be another model's.", p.m.UnusedBytes)
	}
	if newest > newestOpset {
		p.addNote("Operator set %d is newer than %d, the newest that this version knows: a library may refuse it.", newest, newestOpset)
	}
	for _, opset := range p.m.CustomOpsets() {
		p.addNote("Operators of %s need an extension of the library.", fault.Quote(opset))
	}
}

// addNote appends a sentence to the model's notes.
func (p *parser) addNote(format string, args ...any) {
	p.m.Notes = append(p.m.Notes, fmt.Sprintf(format, args...))
}

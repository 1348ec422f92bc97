package deployfile

import (
	"regexp"
	"strings"

	"verge/internal/document"
	"verge/internal/fault"
)

// Requirement is one entry of required_packages.
type Requirement struct {
	Raw      string // as it was written: "onnxruntime>=1.20"
	Name     string // normalised as Python does: lower case, "-" between words
	Operator string // "==", "!=", ">=", "<=", ">", "<", "~=", or "" for any version
	Version  string // "1.20", "1.20.*"

	ignored bool
}

// requirementForm is a name and at most one condition (PEP 508, without extras,
// markers and addresses).
var requirementForm = regexp.MustCompile(`^\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:(==|!=|>=|<=|~=|>|<)\s*(\S+))?\s*$`)

// DecodeNode implements document.Custom.
func (r *Requirement) DecodeNode(d *document.Decoder, path string, n *document.Node) {
	const longest, want = 128, `a package name with at most one condition, such as "onnxruntime>=1.20"`
	if n.Kind != document.String || len(n.Text) > longest {
		d.Wrong(path, n, want)
		return
	}
	parts := requirementForm.FindStringSubmatch(n.Text)
	if parts == nil {
		d.Wrong(path, n, want)
		return
	}
	if parts[2] != "" {
		number, wild := strings.CutSuffix(parts[3], ".*")
		v, ok := parseVersion(number)
		switch {
		case !ok:
			d.Wrong(path, n, want+"; "+fault.Quote(parts[3])+" is no version")
			return
		case wild && parts[2] != "==" && parts[2] != "!=":
			d.Wrong(path, n, `a full version after `+parts[2]+`; ".*" goes with == and !=`)
			return
		case parts[2] == "~=" && len(v.release) < 2:
			d.Wrong(path, n, "a version of two or more numbers after ~=")
			return
		}
	}
	*r = Requirement{Raw: n.Text, Name: normalise(parts[1]), Operator: parts[2], Version: parts[3]}
}

// MarshalText writes the entry as it was read.
func (r Requirement) MarshalText() ([]byte, error) { return []byte(r.Raw), nil }

// normalise spells a package name as PEP 503 does.
func normalise(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return c == '-' || c == '_' || c == '.' })
	return strings.Join(words, "-")
}

// The packages that are known are those of capabilityOf.
func packageNames() []string {
	return []string{
		"ai-edge-litert", "numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python", "openvino",
		"pillow", "psutil", "pycoral", "pycuda", "tensorflow", "tensorrt", "tflite-runtime",
	}
}

// capabilityOf says what stands in for a Python package, and whether its
// versions are those of the package; "" for a package that is not known.
func capabilityOf(name string) (capability string, sameVersions bool) {
	switch name {
	case "onnxruntime", "onnxruntime-gpu":
		return "runtime:onnxruntime", true
	case "openvino":
		return "runtime:openvino", true
	case "tensorrt":
		return "runtime:tensorrt", true
	case "ai-edge-litert":
		return "runtime:litert", true
	case "tensorflow", "tflite-runtime":
		return "runtime:litert", false
	case "pycuda":
		return "runtime:tensorrt", false
	case "pycoral":
		return "runtime:edgetpu", false
	case "numpy", "psutil":
		return "builtin:" + name, false
	case "pillow", "opencv-python":
		return "builtin:pictures", false
	}
	return "", false
}

// Capability is what Verge needs to have in place of the package: "runtime:" and
// the name of a runtime, or "builtin:" and the name of a part of Verge, or
// "ignored" for a package that is not to be looked for.
func (r Requirement) Capability() string {
	if r.ignored {
		return "ignored"
	}
	capability, _ := capabilityOf(r.Name)
	return capability
}

// comparable reports whether the runtime counts its versions as the package does.
func (r Requirement) comparable() bool {
	_, same := capabilityOf(r.Name)
	return same
}

// Satisfied reports whether the runtime's version fulfils the condition. It does
// where there is none, and where the runtime has version numbers of its own.
// A version that is not a version number fulfils none.
func (r Requirement) Satisfied(version string) bool {
	if r.Operator == "" || !r.comparable() {
		return true
	}
	got, ok := parseVersion(version)
	number, wild := strings.CutSuffix(r.Version, ".*")
	want, wantOK := parseVersion(number)
	if !ok || !wantOK {
		return false
	}
	order := got.compare(want)
	switch r.Operator {
	case "==":
		return wild && got.within(want.release) || !wild && order == 0
	case "!=":
		return wild && !got.within(want.release) || !wild && order != 0
	case ">=":
		return order >= 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case "<":
		return order < 0
	case "~=":
		return order >= 0 && got.within(want.release[:len(want.release)-1])
	}
	return false
}

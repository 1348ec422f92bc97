package tensorrt

import (
	"regexp"
	"strings"

	"verge/internal/fault"
)

const rebuildHint = "Build the engine again, from the model that it was made of, on this device and with this version (trtexec --onnx=FILE --saveEngine=FILE)."

// capabilityPattern finds the compute capabilities in the library's refusal of an
// engine for another device: here, and of the engine.
var capabilityPattern = regexp.MustCompile(`expecting compute (\d+\.\d+) got compute (\d+\.\d+)`)

// refusal says why the library did not read an engine, from what it logged.
func (s *session) refusal(h header, messages *journal) *fault.Error {
	const op = "tensorrt.load"
	said := messages.said()
	built := "another version of TensorRT"
	if h.built != "" {
		built = "TensorRT " + h.built
	}
	switch m := capabilityPattern.FindStringSubmatch(said); {
	case outOfMemory(said):
		return fault.New(fault.Exhausted, op, "%s", said)
	case m != nil:
		return fault.New(fault.Unsupported, op, "the engine was built for a GPU of compute capability %s, this one (%s) has %s", m[2], s.device.name, m[1]).
			WithHint(rebuildHint)
	case contains(said, "incompatible device", "incompatible platform", "different platform"):
		return fault.New(fault.Unsupported, op, "the engine was built for another device, this one is %s, compute capability %s: %s", s.device.name, s.device.capability, said).
			WithHint(rebuildHint)
	case contains(said, "Version tag does not match", "not compatible with this version"):
		return fault.New(fault.Unsupported, op, "the engine was built with %s, this is TensorRT %s: %s", built, s.library.version, said).WithHint(rebuildHint)
	case contains(said, "plugin", "Plugin"):
		return fault.New(fault.Unsupported, op, "%s", said).WithHint("Build the engine without plugins of your own: none is loaded.")
	}
	return fault.New(fault.Corrupt, op, "%s", said)
}

// outOfMemory reports whether the library ran out of memory.
func outOfMemory(text string) bool {
	return contains(text, "OutOfMemory", "out of memory", "could not be allocated")
}

func contains(text string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

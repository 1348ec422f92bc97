package tensorrt

import (
	"fmt"
	"strconv"
	"strings"

	"verge/internal/inference"
	"verge/internal/native"
)

// metadata is what the engine says about itself, and about where it is.
func (s *session) metadata(h header) map[string]string {
	e := s.engine
	all := map[string]string{
		"num_bindings":          strconv.Itoa(len(e.inputs) + len(e.outputs)),
		"max_batch_size":        strconv.FormatInt(e.maxBatch(), 10),
		"optimization_profiles": strconv.Itoa(e.profiles),
		"layers":                strconv.Itoa(e.layers),
		"context_memory_bytes":  strconv.FormatInt(e.contextBytes, 10),
		"device":                s.device.name,
		"compute_capability":    s.device.capability,
	}
	for key, value := range map[string]string{"engine_name": e.name, "engine_version": h.built, "layer_names": s.layerNames()} {
		if value != "" {
			all[key] = value
		}
	}
	const most = 8 // profiles
	for i, p := range e.inputs {
		for k := range min(len(p.ranges), most) {
			if r := p.ranges[k]; !e.signature.Inputs[i].Fixed() {
				all[fmt.Sprintf("profile_%d.%s", k, e.signature.Inputs[i].Name)] = fmt.Sprintf("%s to %s, best %s",
					inference.FormatShape(r.least), inference.FormatShape(r.most), inference.FormatShape(r.best))
			}
		}
	}
	return all
}

// maxBatch is the highest first dimension of the first input whose first dimension is
// dynamic, in the first profile; where there is none, that of the first input.
func (e *engine) maxBatch() int64 {
	for i, p := range e.inputs {
		if shape := e.signature.Inputs[i].Shape; len(shape) > 0 && shape[0] < 0 && p.ranges != nil {
			return p.ranges[0].most[0]
		}
	}
	if len(e.inputs) > 0 && len(e.signature.Inputs[0].Shape) > 0 {
		return e.signature.Inputs[0].Shape[0]
	}
	return 1
}

// layerNames asks the library for its layers, one in each line; "" where it does not
// say. An engine that was built without names has numbers.
func (s *session) layerNames() string {
	const oneLine, most, bytes = 0, 64, 4096 // of LayerInformationFormat; layers; of all names
	address := s.library.call(s.engine.object, createInspector)
	if address == 0 {
		return ""
	}
	o, err := s.library.adopt(inspectorClass, address)
	if err != nil {
		return ""
	}
	defer s.library.free(o)
	var names []string
	room := bytes
	for i := range min(s.engine.layers, most) {
		text := native.String(s.library.call(o, getLayerInfo, uintptr(i), oneLine), maxText)
		text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
		if room -= len(text); text == "" || room < 0 {
			break
		}
		names = append(names, strings.ToValidUTF8(text, "\uFFFD"))
	}
	return strings.Join(names, "\n")
}

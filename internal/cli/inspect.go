package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/modelfile/onnx"
	"verge/internal/modelfile/openvino"
	"verge/internal/modelfile/tensorrt"
	"verge/internal/modelfile/tflite"
)

type inspectCommand struct {
	Model string `arg:"" help:"Model file; of an OpenVINO model the .xml, with its .bin beside it."`
	JSON  bool   `help:"Print JSON."`
}

// Run shows what a model file says about itself.
func (i *inspectCommand) Run(c *call) error {
	handle, bytes, err := openFile(i.Model)
	if err != nil {
		return err
	}
	defer handle.Close() //nolint:errcheck // only read
	file := modelfile.File{Bytes: handle, Size: bytes}
	weights, size, err := openWeights(handle, i.Model, bytes)
	if err != nil {
		return err
	}
	if weights != nil {
		defer weights.Close() //nolint:errcheck // only looked at
		file.Weights = size
	}
	info, err := modelfile.Inspect(file, modelfile.DefaultLimits())
	if err != nil {
		return about(i.Model, err)
	}
	if i.JSON {
		return c.printJSON(info)
	}
	return c.showModel(i.Model, info)
}

// showModel prints what all formats have, and between them what one has.
func (c *call) showModel(path string, info *modelfile.Info) error {
	t := newTable(c.std.Out, "")
	t.row("file", "%s, %s", path, size(info.SizeBytes))
	var notes []string
	switch info.Format {
	case modelfile.ONNX:
		notes = info.ONNX.Notes
		showONNX(t, info, info.ONNX)
	case modelfile.TFLite:
		notes = info.TFLite.Notes
		showTFLite(t, info, info.TFLite)
	case modelfile.OpenVINO:
		notes = info.OpenVINO.Notes
		showOpenVINO(t, info, info.OpenVINO)
	case modelfile.TensorRT:
		notes = info.TensorRT.Notes
		showTensorRT(t, info, info.TensorRT)
	}
	for _, note := range notes {
		t.row("note", "%s", note)
	}
	return t.flush()
}

// showSignature prints inputs, outputs, and what serving them takes.
func showSignature(t *table, info *modelfile.Info, parameters, parameterBytes int64) {
	for _, s := range info.Signature.Inputs {
		t.row("input", "%s%s", withNames(s), quantization(s.Quantization))
	}
	for _, s := range info.Signature.Outputs {
		t.row("output", "%s%s", withNames(s), quantization(s.Quantization))
	}
	t.row("parameters", "%d (%s)", parameters, size(parameterBytes))
	t.row("memory", "about %s to serve it", size(info.MemoryEstimate))
}

// withNames is a spec in which open dimensions have their names, where the file gives
// any: "x FP32[batch,3,?]", in which ? is one without.
func withNames(s inference.Spec) string {
	named := slices.ContainsFunc(s.Symbols, func(name string) bool { return name != "" })
	switch {
	case s.Shape == nil:
		return fmt.Sprintf("%s %s of any rank", s.Name, s.DType)
	case !named:
		return s.String()
	}
	parts := make([]string, len(s.Shape))
	for k, d := range s.Shape {
		switch {
		case d >= 0:
			parts[k] = strconv.FormatInt(d, 10)
		case k < len(s.Symbols) && s.Symbols[k] != "":
			parts[k] = fault.Clip(s.Symbols[k])
		default:
			parts[k] = "?"
		}
	}
	return fmt.Sprintf("%s %s[%s]", s.Name, s.DType, strings.Join(parts, ","))
}

// quantization says what the integers of a tensor stand for, to stand behind it.
func quantization(q *inference.Quantization) string {
	switch {
	case q == nil:
		return ""
	case len(q.Scales) == 1 && len(q.ZeroPoints) == 1:
		return fmt.Sprintf(", real = (x - %d) * %g", q.ZeroPoints[0], q.Scales[0])
	}
	return fmt.Sprintf(", %d scales along dimension %d", len(q.Scales), q.Axis)
}

func showONNX(t *table, info *modelfile.Info, m *onnx.Model) {
	t.row("format", "ONNX, IR version %d", m.IRVersion)
	for _, o := range m.Opsets {
		t.row("opset", "%s %d", o.Domain, o.Version)
	}
	t.optional("producer", m.Producer)
	t.optional("graph", m.Graph)
	showSignature(t, info, m.Parameters, m.ParameterBytes)
	t.row("operators", "%d in %d kinds", m.Nodes, len(m.Operators))
	for _, o := range m.Operators {
		t.row("", "%5d  %s", o.Count, o)
	}
	for _, f := range m.Functions {
		t.row("function", "%s.%s, %d nodes", f.Domain, f.Name, f.Nodes)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		t.row("metadata", "%s = %s", oneLine(key), oneLine(m.Metadata[key]))
	}
}

func showTFLite(t *table, info *modelfile.Info, m *tflite.Model) {
	t.row("format", "TensorFlow Lite, schema version %d", m.SchemaVersion)
	t.optional("description", m.Description)
	t.optional("runtime", m.MinRuntimeVersion)
	if len(m.SignatureKeys) > 1 {
		t.row("signatures", "%s (the first is served)", strings.Join(m.SignatureKeys, ", "))
	}
	showSignature(t, info, m.Parameters, m.ParameterBytes)
	t.row("operators", "%d in %d kinds, %d %s", m.Nodes, len(m.Operators), m.Subgraphs, plural(m.Subgraphs, "subgraph"))
	for _, o := range m.Operators {
		kind := ""
		if o.Custom {
			kind = " (custom)"
		}
		t.row("", "%5d  %s version %d%s", o.Count, o.Name, o.Version, kind)
	}
	for _, f := range m.Files {
		t.row("appended", "%s, %s", f.Name, size(f.Size))
	}
}

func showOpenVINO(t *table, info *modelfile.Info, m *openvino.Model) {
	t.row("format", "OpenVINO IR version %d", m.IRVersion)
	t.optional("graph", m.Name)
	t.optional("converter", m.Converter)
	t.optional("framework", m.Framework)
	showSignature(t, info, m.Parameters, m.ParameterBytes)
	t.row("layers", "%d in %d kinds", m.Layers, len(m.Operators))
	for _, o := range m.Operators {
		t.row("", "%5d  %s", o.Count, o)
	}
}

func showTensorRT(t *table, info *modelfile.Info, m *tensorrt.Model) {
	t.row("format", "TensorRT engine, serialization %d", m.SerializationVersion)
	t.optional("built by", m.TensorRT)
	if m.Offset > 0 {
		t.row("prefix", "%s that another tool has put before the engine", size(m.Offset))
	}
	t.row("engine", "%s", size(m.EngineBytes))
	t.row("memory", "about %s to serve it", size(info.MemoryEstimate))
}

// oneLine is a text of a file as one row can hold it: without what breaks the line, and
// cut, with its size, where it is long.
func oneLine(text string) string {
	const most = 200 // bytes
	words := strings.Join(strings.Fields(text), " ")
	if len(words) <= most {
		return words
	}
	return strings.ToValidUTF8(words[:most], "") + fmt.Sprintf("… (%d bytes)", len(text))
}

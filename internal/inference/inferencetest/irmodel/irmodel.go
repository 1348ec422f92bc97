// Package irmodel writes OpenVINO IR models for tests: the graph in XML, and the
// weights that it points to.
//
//	model := irmodel.Model{Layers: []irmodel.Layer{
//		irmodel.Parameter("x", tensor.FP32, -1, 4),
//		{Name: "relu", Type: "ReLU", Inputs: []string{"x"}, Outputs: []irmodel.Port{{DType: tensor.FP32, Shape: []int{-1, 4}, Name: "y"}}},
//		irmodel.Result("relu"),
//	}}
//	data := model.Encode() // one []byte; Split gives the two files
//
// It checks nothing: a test may want a wrong file. Elements and attributes are those
// of IR version 11, as the library's own writer (core/src/xml_util) has them.
package irmodel

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"verge/internal/tensor"
)

// Model is a graph. Layers come in any order.
type Model struct {
	Name    string // "" means "test"
	Version int    // of the format; 0 means 11
	Layers  []Layer
}

// Layer is one operation, or an input, an output or a constant of the graph.
type Layer struct {
	Name    string
	Type    string            // "Parameter", "Concat"
	Opset   string            // "" means "opset8"
	Data    map[string]string // attributes
	Inputs  []string          // names of layers, whose first output it is, or "name:1" for the second
	Outputs []Port
	Value   *tensor.Tensor // of a Const: the weights
}

// Port is an output of a layer.
type Port struct {
	DType tensor.DType // one of tensor, or Int4
	Shape []int        // -1 for a dynamic dimension
	Name  string       // of the tensor, by which requests call it; names behind a comma are further ones
}

// Int4 is an element type of the format that tensor lacks.
const Int4 tensor.DType = 100

// elementNames are the names of the element types: in attributes, and of ports.
var elementNames = map[tensor.DType][2]string{
	tensor.Bool: {"boolean", "BOOL"}, tensor.Uint8: {"u8", "U8"}, tensor.Uint16: {"u16", "U16"}, tensor.Uint32: {"u32", "U32"},
	tensor.Uint64: {"u64", "U64"}, tensor.Int8: {"i8", "I8"}, tensor.Int16: {"i16", "I16"}, tensor.Int32: {"i32", "I32"},
	tensor.Int64: {"i64", "I64"}, tensor.FP16: {"f16", "FP16"}, tensor.BF16: {"bf16", "BF16"}, tensor.FP32: {"f32", "FP32"},
	tensor.FP64: {"f64", "FP64"}, tensor.Bytes: {"string", "STRING"}, Int4: {"i4", "I4"},
}

// Parameter returns an input of the model; -1 is a dynamic dimension.
func Parameter(name string, d tensor.DType, shape ...int) Layer {
	return Layer{
		Name: name, Type: "Parameter", Opset: "opset1",
		Data:    map[string]string{"element_type": elementNames[d][0], "shape": join(shape)},
		Outputs: []Port{{DType: d, Shape: shape, Name: name}},
	}
}

// Result returns an output of the model, which is what a layer gives.
func Result(of string) Layer {
	return Layer{Name: "result " + of, Type: "Result", Opset: "opset1", Inputs: []string{of}}
}

// Const returns a constant.
func Const(name string, t tensor.Tensor) Layer {
	shape := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = int(d)
	}
	return Layer{Name: name, Type: "Const", Opset: "opset1", Value: &t, Outputs: []Port{{DType: t.DType, Shape: shape}}}
}

// separator stands between the two files of a model in one piece; the first has no
// zero byte.
const separator = 0

// Split returns the two files of what Encode wrote; weights is nil where there are
// none. A file of another kind comes back as it is.
func Split(data []byte) (graph, weights []byte) {
	if !bytes.HasPrefix(data, []byte("<")) {
		return data, nil
	}
	graph, weights, _ = bytes.Cut(data, []byte{separator})
	if len(weights) == 0 {
		return graph, nil
	}
	return graph, weights
}

// Encode returns both files in one piece: the graph, a zero byte, the weights. There
// is no zero byte where there are no weights.
func (m Model) Encode() []byte {
	w := &writer{}
	w.model(m)
	if len(w.weights) == 0 {
		return w.text.Bytes()
	}
	return slices.Concat(w.text.Bytes(), []byte{separator}, w.weights)
}

// writer collects the two files.
type writer struct {
	text    bytes.Buffer
	weights []byte
}

func (w *writer) write(format string, args ...any) { fmt.Fprintf(&w.text, format, args...) }

func (w *writer) model(m Model) {
	name, version := m.Name, m.Version
	if name == "" {
		name = "test"
	}
	if version == 0 {
		version = 11
	}
	w.write("<?xml version=\"1.0\"?>\n<net name=%s version=\"%d\">\n", quote(name), version)
	w.graph(m)
	w.write("</net>\n")
}

// graph writes layers and edges, without what is around them.
func (w *writer) graph(m Model) {
	ids := map[string]int{}
	for id, l := range m.Layers {
		ids[l.Name] = id
	}
	w.write("<layers>\n")
	for id, l := range m.Layers {
		w.layer(id, l)
	}
	w.write("</layers>\n<edges>\n")
	for id, l := range m.Layers {
		for port, from := range l.Inputs {
			name, number, _ := strings.Cut(from, ":")
			n, _ := strconv.Atoi(number)
			source := ids[name]
			w.write("<edge from-layer=\"%d\" from-port=\"%d\" to-layer=\"%d\" to-port=\"%d\"/>\n",
				source, len(m.Layers[source].Inputs)+n, id, port)
		}
	}
	w.write("</edges>\n")
}

func (w *writer) layer(id int, l Layer) {
	opset := l.Opset
	if opset == "" {
		opset = "opset8"
	}
	w.write("<layer id=\"%d\" name=%s type=%s version=%s>\n", id, quote(l.Name), quote(l.Type), quote(opset))
	w.data(l)
	if len(l.Inputs) > 0 {
		w.write("<input>\n")
		for port := range l.Inputs {
			w.write("<port id=\"%d\"/>\n", port)
		}
		w.write("</input>\n")
	}
	if len(l.Outputs) > 0 {
		w.write("<output>\n")
		for i, port := range l.Outputs {
			w.port(len(l.Inputs)+i, port)
		}
		w.write("</output>\n")
	}
	w.write("</layer>\n")
}

// data writes the attributes, and the weights of a constant, which begin at a
// multiple of 64 bytes.
func (w *writer) data(l Layer) {
	data := maps.Clone(l.Data)
	if l.Value != nil {
		const align = 64
		w.weights = append(w.weights, make([]byte, (align-len(w.weights)%align)%align)...)
		data = map[string]string{
			"element_type": elementNames[l.Value.DType][0], "shape": join(l.Value.Shape),
			"offset": strconv.Itoa(len(w.weights)), "size": strconv.Itoa(len(l.Value.Data)),
		}
		w.weights = append(w.weights, l.Value.Data...)
	}
	if len(data) == 0 {
		return
	}
	w.write("<data")
	for _, key := range slices.Sorted(maps.Keys(data)) {
		w.write(" %s=%s", key, quote(data[key]))
	}
	w.write("/>\n")
}

func (w *writer) port(id int, p Port) {
	w.write("<port id=\"%d\" precision=\"%s\"", id, elementNames[p.DType][1])
	if p.Name != "" {
		w.write(" names=%s", quote(p.Name))
	}
	w.write(">\n")
	for _, d := range p.Shape {
		w.write("<dim>%d</dim>\n", d)
	}
	w.write("</port>\n")
}

// quote returns an attribute's value.
func quote(s string) string {
	return `"` + strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(s) + `"`
}

// join returns "1,-1,3".
func join[T int | int64](shape []T) string {
	texts := make([]string, len(shape))
	for i, d := range shape {
		texts[i] = fmt.Sprint(d)
	}
	return strings.Join(texts, ",")
}

package openvino_test

import (
	"fmt"
	"strings"
)

// The writer of these tests: each function returns a piece of the document, on
// one line, so that messages name the lines of net.

// net is a document of IR version 11 around layers and edges; its layers begin on line 3.
func net(layers, edges []string, more ...string) string { return version("11", layers, edges, more...) }

func version(number string, layers, edges []string, more ...string) string {
	return fmt.Sprintf("<?xml version=\"1.0\"?>\n<net name=\"small\" version=\"%s\"><layers>\n%s\n</layers><edges>\n%s\n</edges>\n%s</net>\n",
		number, strings.Join(layers, "\n"), strings.Join(edges, "\n"), strings.Join(more, "\n"))
}

func layer(id int, kind, name string, parts ...string) string {
	return fmt.Sprintf(`<layer id="%d" name="%s" type="%s" version="opset1">%s</layer>`, id, name, kind, strings.Join(parts, ""))
}

func parameter(id int, name, element, shape string, ports ...string) string {
	return layer(id, "Parameter", name, fmt.Sprintf(`<data shape="%s" element_type="%s"/>`, shape, element), outputs(ports...))
}

func constant(id int, name, element, shape string, offset, size int64) string {
	return layer(id, "Const", name, data(element, shape, offset, size), outputs(port(0, "FP32")))
}

func data(element, shape string, offset, size int64) string {
	return fmt.Sprintf(`<data element_type="%s" shape="%s" offset="%d" size="%d"/>`, element, shape, offset, size)
}

func result(id int, name string) string { return layer(id, "Result", name, inputs(0)) }

func inputs(ids ...int) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, `<port id="%d"/>`, id)
	}
	return "<input>" + b.String() + "</input>"
}

func outputs(ports ...string) string { return "<output>" + strings.Join(ports, "") + "</output>" }

// port is an output with the given dimensions and without names.
func port(id int, precision string, dims ...int) string { return named(id, precision, "", dims...) }

func named(id int, precision, names string, dims ...int) string {
	var b strings.Builder
	for _, d := range dims {
		fmt.Fprintf(&b, "<dim>%d</dim>", d)
	}
	return fmt.Sprintf(`<port id="%d" precision="%s" names="%s">%s</port>`, id, precision, names, &b)
}

func edge(from, fromPort, to, toPort int) string {
	return fmt.Sprintf(`<edge from-layer="%d" from-port="%d" to-layer="%d" to-port="%d"/>`, from, fromPort, to, toPort)
}

// ends are the layers and edges that the files of these tests have: x is an
// input and an output.
func ends(more ...string) (layers, edges []string) {
	layers = []string{
		parameter(0, "x", "f32", "?,4", named(0, "FP32", "", -1, 4)),
		result(1, "r"),
	}
	return append(layers, more...), []string{edge(0, 0, 1, 0)}
}

// with is a document of ends and some more layers, which begin on line 5.
func with(layers ...string) string {
	all, edges := ends(layers...)
	return net(all, edges)
}

// small is a model that has a little of everything; its .bin has smallBin bytes.
func small() string {
	body := func(relu string) string {
		return fmt.Sprintf("<layers>%s%s%s%s</layers><edges>%s%s%s</edges><rt_info/>",
			parameter(0, "p", "f32", "1,4", port(0, "FP32", 1, 4)), constant(1, "c", "f32", "2", 40, 8),
			layer(2, relu, "a", inputs(0, 1), outputs(port(2, "FP32", 1, 4))), result(3, "r"),
			edge(0, 0, 2, 0), edge(1, 0, 2, 1), edge(2, 2, 3, 0))
	}
	return net([]string{
		parameter(0, "x", "f32", "[1..8, 4]", named(0, "FP32", "x:0,x", -1, 4)),
		layer(1, "Const", "w16", data("f16", "4", 0, 8), outputs(port(0, "FP16", 4))),
		layer(2, "Convert", "w", inputs(0), outputs(port(1, "FP32", 4))),
		layer(3, "Multiply", "m", inputs(0, 1), outputs(port(2, "FP32", -1, 4))),
		layer(4, "Const", "b", data("f32", "2, 4", 8, 32), outputs(port(0, "FP32", 2, 4))),
		layer(5, "Const", "same", data("f32", "8", 8, 32), outputs(port(0, "FP32", 8))),
		layer(6, "Const", "part", data("u4", "3", 12, 2), outputs(port(0, "U4", 3))),
		layer(7, "If", "i", inputs(0), outputs(port(1, "FP32", -1, 4), `<port id="2"/>`),
			"<then_body>"+body("Add")+"</then_body>", "<else_body>"+body("Add")+"</else_body>"),
		`<layer id="8" name="own" type="Own" version="acme">` + inputs(0) + outputs(named(1, "I64", `z,y\,1`, 2, 3)) + `</layer>`,
		result(9, "r"),
		`<layer id="10" name="s" type="Result" version="opset1" output_names="second">` + inputs(0) + `</layer>`,
	}, []string{
		edge(0, 0, 3, 0), edge(1, 0, 2, 0), edge(2, 1, 3, 1), edge(3, 2, 7, 0), edge(7, 1, 8, 0), edge(8, 1, 9, 0), edge(7, 1, 10, 0),
	}, `<rt_info><info name="OpenVINO Runtime" value="2026.4"/><MO_version value="2023.1"/>`,
		`<conversion_parameters><framework value="tf"/><input value="x"/></conversion_parameters></rt_info>`,
		`<meta_data><MO_version value="older"/></meta_data><!-- the end -->`)
}

const smallBin = 48

package cli_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/bmp"

	"verge/client"
	"verge/internal/cli"
	"verge/internal/inference"
)

// npy is a NumPy array of 32-bit floats, version 1.0 of the format.
func npy(shape string, values ...float32) []byte {
	const prefix, align = 10, 64
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape)
	header += strings.Repeat(" ", align-(prefix+len(header)+1)%align) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	b = append(b, header...)
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// digits is a node that serves the demo model, as far as a client can tell.
func digits(t *testing.T) *fakeNode {
	t.Helper()
	return (&fakeNode{
		status: client.Status{Models: []client.ModelStatus{{
			Model: "digits", Version: 1, Labels: []string{"zero", "one", "two", "three"},
			Config: json.RawMessage(`{"model":{"path":"digits.onnx","preprocess":{"size":[8,8],"layout":"NCHW","channels":"gray","mean":[0],"scale":[0.5],"type":"FP32"}},"required_packages":["torch"]}`),
		}}},
		inputs:  []client.TensorMetadata{{Name: "image", Datatype: "FP32", Shape: []int64{-1, 1, 8, 8}}},
		outputs: `[{"name":"probabilities","datatype":"FP32","shape":[1,4],"data":[0.03125,0.9375,0.015625,0.015625]}]`,
	}).start(t)
}

// adder is a node whose model has two inputs.
func adder(t *testing.T) *fakeNode {
	t.Helper()
	return (&fakeNode{
		inputs: []client.TensorMetadata{
			{Name: "x", Datatype: "FP32", Shape: []int64{-1}}, {Name: "y", Datatype: "FP32", Shape: []int64{-1}},
		},
		outputs: `[{"name":"sum","datatype":"FP32","shape":[3],"data":[11,22000,-0.5]},{"name":"count","datatype":"INT64","shape":[1],"data":[9007199254740993]},{"name":"name","datatype":"BYTES","shape":[1],"data":["ü"]}]`,
	}).start(t)
}

// steady takes the latency out of an output.
func steady(text string) string {
	text = regexp.MustCompile(`answered in [0-9.]+ ms`).ReplaceAllString(text, "answered in N ms")
	text = regexp.MustCompile(`"latency_ms":[0-9.]+`).ReplaceAllString(text, `"latency_ms":N`)
	return regexp.MustCompile(`"timestamp":"[^"]+Z"`).ReplaceAllString(text, `"timestamp":"T"`)
}

func TestAPictureIsAnsweredWithClasses(t *testing.T) {
	n := digits(t)
	golden(t, "predict-picture", steady(verge(t, "predict", "digits", examples+"samples/07.png", "--node", n.address).transcript()))
	if diff := cmp.Diff([]int64{1, 1, 8, 8}, n.asked.Inputs[0].Shape); diff != "" || n.asked.Path != "/v2/models/digits/infer" {
		t.Errorf("asked %s with shape (-want +got):\n%s", n.asked.Path, diff)
	}
	highest := float32(0)
	for i := range len(n.asked.Data) / 4 {
		highest = max(highest, math.Float32frombits(binary.LittleEndian.Uint32(n.asked.Data[4*i:])))
	}
	if highest <= 1 || highest > 127.5 {
		t.Errorf("the brightest pixel is %g: the deployment's preprocessing (scale 0.5) was not used", highest)
	}
	golden(t, "predict-json", steady(verge(t, "predict", "digits", "@"+examples+"samples/07.png", "--node", n.address, "--json", "--top", "1").transcript()))
}

func TestLabelsOfSomethingElseNameNoClasses(t *testing.T) {
	n := digits(t)
	n.status.Models[0].Labels = []string{"nose", "left eye", "right eye"}
	got := verge(t, "predict", "digits", examples+"samples/07.png", "--node", n.address)
	for _, want := range []string{
		"probabilities FP32[1,4]: 0.03125 0.9375 0.015625 0.015625", "no classes: the model has 3 labels, and probabilities has 4 values",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s", want, got.transcript())
		}
	}
	if strings.Contains(got.out, "nose") {
		t.Errorf("it is named a class:\n%s", got.transcript())
	}
	got = verge(t, "predict", "digits", examples+"samples/07.png", "--json", "--node", n.address)
	if !strings.Contains(got.out, `"note":"no classes: the model has 3 labels, and probabilities has 4 values"`) || strings.Contains(got.out, `"top"`) {
		t.Errorf("JSON:\n%s", got.transcript())
	}
}

func TestInputShapesSayHowLargeAPictureIs(t *testing.T) {
	open := []int64{-1, 1, -1, -1}
	for config, want := range map[string][]int64{
		`{"model":{}}`: nil,
		`{"model":{"input_shapes":{"image":[2,1,4,6]}}}`:                                                               {1, 1, 4, 6},
		`{"model":{"input_shapes":{"image":[4,6]}}}`:                                                                   nil,
		`{"model":{"input_shapes":{"other":[1,1,4,6]}}}`:                                                               nil,
		`{"model":{"input_shapes":{"image":[1,1,4,6]},"preprocess":{"size":[2,3],"layout":"NCHW","channels":"gray"}}}`: {1, 1, 2, 3},
	} {
		n := digits(t)
		n.status.Models[0].Config = json.RawMessage(config)
		n.inputs[0].Shape = open
		r := verge(t, "predict", "digits", examples+"samples/07.png", "--node", n.address)
		switch {
		case want == nil:
			if r.status != 1 || !strings.Contains(r.err, "input image FP32[-1,1,-1,-1] does not look like a picture") {
				t.Errorf("%s: %s", config, r.transcript())
			}
		case r.status != 0:
			t.Errorf("%s: %s", config, r.transcript())
		default:
			if diff := cmp.Diff(want, n.asked.Inputs[0].Shape); diff != "" {
				t.Errorf("%s: shape (-want +got):\n%s", config, diff)
			}
		}
	}
	for _, shape := range [][]int64{{-1, -1}, {-1, -1, 1}} { // rows and columns come first
		given := append([]int64{4, 6}, shape[2:]...)
		n := digits(t)
		n.status.Models[0].Config = json.RawMessage(fmt.Sprintf(`{"model":{"input_shapes":{"image":%s}}}`, inference.FormatShape(given)))
		n.inputs[0].Shape = shape
		if r := verge(t, "predict", "digits", examples+"samples/07.png", "--node", n.address); r.status != 0 || !slices.Equal(n.asked.Inputs[0].Shape, given) {
			t.Errorf("%v: %s", shape, r.transcript())
		}
	}
}

func TestAFileIsOneStringOfAnInputOfStrings(t *testing.T) {
	n := digits(t)
	n.inputs[0].Datatype, n.inputs[0].Shape = "BYTES", []int64{-1, -1}
	n.status.Models[0].Config = json.RawMessage(`{"model":{"input_shapes":{"image":[1,16]}}}`)
	r := verge(t, "predict", "digits", write(t, t.TempDir(), "a.txt", []byte("grüß\n")), "--node", n.address)
	if r.status != 0 || !slices.Equal(n.asked.Inputs[0].Shape, []int64{1, 1}) || string(n.asked.Data) != "\x06\x00\x00\x00grüß" {
		t.Errorf("asked %+v with %q:\n%s", n.asked.Inputs, n.asked.Data, r.transcript())
	}
}

func TestStandardInputMayBeThePicture(t *testing.T) {
	n := digits(t)
	r := vergeWith(t.Context(), t, cli.IO{In: bytes.NewReader(read(t, examples+"samples/07.png"))}, "predict", "digits@2", "-", "--node", n.address, "--timeout", "250ms")
	if r.status != 0 || n.asked.Path != "/v2/models/digits/versions/2/infer" || n.asked.Parameters["timeout"] != 250000.0 {
		t.Errorf("asked %s with %v:\n%s", n.asked.Path, n.asked.Parameters, r.transcript())
	}
	if !strings.Contains(r.out, "digits@2 answered") {
		t.Errorf("the version is not named:\n%s", r.out)
	}
}

func TestArraysArePassedByPositionAndByName(t *testing.T) {
	n := adder(t)
	dir := t.TempDir()
	a, b := write(t, dir, "a.npy", npy("2,", 1, 2)), write(t, dir, "b.npy", npy("2,", 10, 20))
	byPosition := verge(t, "predict", "adder", "@"+a, b, "--node", n.address)
	golden(t, "predict-arrays", steady(byPosition.transcript()))
	data, inputs := n.asked.Data, n.asked.Inputs
	if len(inputs) != 2 || inputs[0].Name != "x" || inputs[1].Name != "y" || inputs[0].Datatype != "FP32" || len(data) != 16 {
		t.Fatalf("asked %+v with %d bytes", inputs, len(data))
	}
	byName := verge(t, "predict", "adder", "--input", "y=@"+b, "--input", "x="+a, "--node", n.address)
	if diff := cmp.Diff(data, n.asked.Data); diff != "" || byName.status != 0 {
		t.Errorf("by name: %s(-by position +by name):\n%s", byName.transcript(), diff)
	}
	golden(t, "predict-arrays-json", steady(verge(t, "predict", "adder", a, b, "--json", "--node", n.address).transcript()))
}

// bitmap is a picture as a BMP of 24 bits.
func bitmap(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := bmp.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTheModelsFileSaysHowAPictureBecomesTheInput(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 2, 2))
	copy(m.Pix, []byte{0, 1, 2, 255, 50, 100, 150, 255, 253, 254, 255, 255, 128, 128, 128, 255})
	picture := write(t, t.TempDir(), "a.bmp", bitmap(t, m))
	embedded := map[string]client.Preprocess{"image": {Mean: []float64{128}, Scale: []float64{1}}, "other": {Mean: []float64{0}, Scale: []float64{9}}}
	int8s := func(values ...int8) []byte {
		b, _ := binary.Append(nil, binary.LittleEndian, values)
		return b
	}
	tests := map[string]struct {
		datatype string
		config   string
		embedded map[string]client.Preprocess
		want     []byte
	}{
		"the model's file":         {"INT8", `{"model":{}}`, embedded, int8s(-128, -127, -126, -78, -28, 22, 125, 126, 127, 0, 0, 0)},
		"the deployment file wins": {"INT8", `{"model":{"preprocess":{"size":[2,2],"layout":"NHWC","channels":"rgb","mean":[255],"scale":[0.5]}}}`, embedded, int8s(-128, -127, -126, -102, -78, -52, -1, 0, 0, -64, -64, -64)},
		"neither":                  {"UINT8", `{}`, nil, []byte{0, 1, 2, 50, 100, 150, 253, 254, 255, 128, 128, 128}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := (&fakeNode{
				status:  client.Status{Models: []client.ModelStatus{{Model: "eye", Version: 1, Config: json.RawMessage(tt.config), Preprocess: tt.embedded}}},
				inputs:  []client.TensorMetadata{{Name: "image", Datatype: tt.datatype, Shape: []int64{1, 2, 2, 3}}},
				outputs: `[{"name":"y","datatype":"FP32","shape":[1],"data":[1]}]`,
			}).start(t)
			if r := verge(t, "predict", "eye", picture, "--node", n.address); r.status != 0 {
				t.Fatal(r.transcript())
			}
			if diff := cmp.Diff(tt.want, n.asked.Data); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIntegersAreShownAsTheScoresThatTheyStandFor(t *testing.T) {
	scores := func(t *testing.T, quantization, data string) *fakeNode {
		t.Helper()
		detail := client.TensorDetail{Name: "y", Shape: []int64{1, 4}, DType: "UINT8", Quantization: json.RawMessage(quantization)}
		return (&fakeNode{
			status: client.Status{Models: []client.ModelStatus{{
				Model: "eye", Version: 1, ModelInfo: client.ModelInfo{OutputDetails: []client.TensorDetail{detail}},
				Labels: []string{"background", "rock beauty, Holocanthus tricolor", "a name that is longer than the column may be", ""},
			}}},
			inputs:  []client.TensorMetadata{{Name: "x", Datatype: "FP32", Shape: []int64{1}}},
			outputs: `[{"name":"y","datatype":"UINT8","shape":[1,4],"data":` + data + `}]`,
		}).start(t)
	}
	array := write(t, t.TempDir(), "x.npy", npy("1,", 0))
	var all strings.Builder
	for _, tt := range []struct{ quantization, data string }{
		{`{"scales":[0.00390625],"zero_points":[0],"axis":0}`, "[0,128,64,32]"},
		{`{"scales":[0.5],"zero_points":[128],"axis":0}`, "[0,128,64,255]"},
		{`{"scales":[0.5,0.25,1,1],"zero_points":[0,0,0,0],"axis":1}`, "[0,128,1,1]"},
		{``, "[0,250,1,4]"},
	} {
		n := scores(t, tt.quantization, tt.data)
		for _, form := range [][]string{{"--top", "4"}, {"--json"}} {
			r := verge(t, append([]string{"predict", "eye", array, "--node", n.address}, form...)...)
			all.WriteString(tt.data + " " + tt.quantization + "\n" + steady(r.transcript()))
		}
	}
	golden(t, "predict-quantized", all.String())
	n := scores(t, `[]`, "[0,1,2,3]")
	want := "verge: the quantization of output \"y\" of eye: json: cannot unmarshal array into Go value of type inference.Quantization\n"
	if r := verge(t, "predict", "eye", array, "--node", n.address); r.status != 1 || r.err != want {
		t.Errorf("%s, want %q", r.transcript(), want)
	}
}

func TestPicturesThatCannotBeReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	whole := bitmap(t, image.NewRGBA(image.Rect(0, 0, 8, 8)))
	huge := slices.Clone(whole)
	binary.LittleEndian.PutUint32(huge[18:], 1<<15) // columns
	binary.LittleEndian.PutUint32(huge[22:], 1<<15) // rows
	write(t, dir, "cut.bmp", whole[:100])
	write(t, dir, "huge.bmp", huge)
	write(t, dir, "moving.gif", []byte("GIF89a"))
	write(t, dir, "notes.png", []byte("hello"))
	n := digits(t)
	var all strings.Builder
	for _, name := range []string{"cut.bmp", "huge.bmp", "moving.gif", "notes.png"} {
		r := verge(t, "predict", "digits", filepath.Join(dir, name), "--node", n.address)
		if r.status != 1 || r.out != "" || n.asked.Path != "" {
			t.Errorf("%s: %s; asked %q", name, r.transcript(), n.asked.Path)
		}
		all.WriteString("$ verge predict digits DIR/" + name + "\n" + r.err)
	}
	golden(t, "predict-bad-picture", all.String(), dir, "DIR")
}

func TestInputsThatDoNotFitAreToldApart(t *testing.T) {
	n := adder(t)
	dir := t.TempDir()
	write(t, dir, "a.npy", npy("2,", 1, 2))
	write(t, dir, "cut.npy", npy("9,", 1))
	write(t, dir, "notes.txt", []byte("hello"))
	var all strings.Builder
	for _, line := range []string{
		"DIR/a.npy", "DIR/a.npy DIR/a.npy DIR/a.npy", "", "--input z=@DIR/a.npy --input x=@DIR/a.npy", "--input x=@DIR/a.npy",
		"DIR/a.npy DIR/absent.npy", "DIR/a.npy DIR/cut.npy", "DIR/a.npy DIR/notes.txt",
	} {
		line = strings.ReplaceAll(line, "DIR", dir)
		r := verge(t, append([]string{"predict", "adder", "--node", n.address}, strings.Fields(line)...)...)
		if r.status != 1 || r.out != "" {
			t.Errorf("%s: %s", line, r.transcript())
		}
		all.WriteString("$ verge predict adder " + line + "\n" + r.err)
	}
	golden(t, "predict-bad", all.String(), dir, "DIR")
}

func TestAnAnswerThatIsNoNumberIsNullInJSON(t *testing.T) {
	var blob []byte
	for _, v := range []float64{math.NaN(), math.Inf(1), 0.5} {
		blob = binary.LittleEndian.AppendUint32(blob, math.Float32bits(float32(v)))
	}
	n := digits(t)
	n.outputs, n.blob = `[{"name":"probabilities","datatype":"FP32","shape":[3,1],"parameters":{"binary_data_size":12}}]`, blob
	picture := filepath.Join(examples, "samples/07.png")
	if r := verge(t, "predict", "digits", picture, "--json", "--node", n.address); !strings.Contains(r.out, `"data":[null,null,0.5]`) {
		t.Errorf("%s", r.transcript())
	}
	if r := verge(t, "predict", "digits", picture, "--node", n.address); !strings.Contains(r.out, "probabilities FP32[3,1]: NaN +Inf 0.5\n") {
		t.Errorf("%s", r.transcript())
	}
}

func TestStringsAreWholeInJSON(t *testing.T) {
	n := digits(t)
	n.outputs = `[{"name":"none","datatype":"BYTES","shape":[0],"data":[]},{"name":"some","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":12}}]`
	n.blob = []byte("\x02\x00\x00\x00ok\x02\x00\x00\x00\xff\xfe")
	var got struct {
		Outputs []struct{ Data json.RawMessage }
	}
	r := verge(t, "predict", "digits", write(t, t.TempDir(), "x.npy", npy("1, 1, 8, 8", make([]float32, 64)...)), "--json", "--node", n.address)
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got.Outputs) != 2 {
		t.Fatalf("%v:\n%s", err, r.transcript())
	}
	for i, want := range []string{`[]`, `["ok",{"b64":"//4="}]`} {
		if data := string(got.Outputs[i].Data); data != want {
			t.Errorf("output %d is %s, want %s", i, data, want)
		}
	}
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"verge/client"
	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

type predictCommand struct {
	Model   string            `arg:"" help:"Name of the model; NAME@N asks its version N."`
	Files   []string          `arg:"" optional:"" help:"A picture (.png, .jpg, .bmp) or an .npy file for each input, or for one of strings any file, by position; - is standard input, an @ before a name is allowed."`
	Input   map[string]string `mapsep:"none" placeholder:"NAME=@FILE" help:"An input by its name; may be repeated."`
	Top     int               `default:"3" placeholder:"N" help:"How many classes to show; 3 unless given."`
	Timeout time.Duration     `placeholder:"TIME" help:"How long the answer may take, such as 500ms."`
	JSON    bool              `help:"Print JSON."`
}

// Validate is called by kong.
func (p *predictCommand) Validate() error {
	switch {
	case len(p.Files) > 0 && len(p.Input) > 0:
		return errors.New("inputs are given both by position and by name; use one of the two")
	case p.Top < 0:
		return errors.New("--top wants 0 or more")
	case p.Timeout < 0, p.Timeout > 0 && p.Timeout < time.Microsecond:
		return errors.New("--timeout wants a time of 1µs or more")
	}
	return nil
}

// Run asks the model once.
func (p *predictCommand) Run(c *call) error {
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	model, version, _ := strings.Cut(p.Model, "@")
	metadata, err := node.ModelMetadata(c, model, version)
	if err != nil {
		return orWhatServes(err)
	}
	known, err := askKnown(c, node, model)
	if err != nil {
		return err
	}
	inputs, err := p.inputs(c, metadata, known)
	if err != nil {
		return err
	}
	begin := time.Now()
	answer, err := node.Infer(c, client.InferRequest{Model: model, Version: version, Inputs: inputs, Timeout: p.Timeout})
	if err != nil {
		return err
	}
	result, err := newPrediction(answer, begin, time.Since(begin))
	if err != nil {
		return err
	}
	result.Top, result.Note = topOf(answer, p.Top, known)
	if p.JSON {
		return c.printJSON(result)
	}
	c.showPrediction(result, inputs)
	return nil
}

// orWhatServes adds where to look to the error for a model or version that is not
// served, which the inference protocol's error object has no field for.
func orWhatServes(err error) error {
	if kindOf(err) != fault.NotFound {
		return err
	}
	return fault.New(fault.NotFound, "cli.predict", "%w", err).WithHint("verge status lists the models that are served.")
}

// known is what a node says about a model, for people.
type known struct {
	preprocess *deployfile.Preprocess            // of the deployment file; nil where it has none
	embedded   map[string]client.Preprocess      // of the model's file, by input
	outputs    map[string]inference.Quantization // of the outputs that have one
	labels     []string
	shapes     map[string][]int64 // of model.input_shapes
}

// sized returns the shape of an input with the sizes that the deployment gives for open
// dimensions, but for the batch: the first, unless the others are no picture.
func (k known) sized(input string, shape []int64) []int64 {
	given := k.shapes[input]
	if len(given) != len(shape) {
		return shape
	}
	first := 1
	if n := len(shape); n == 2 || n == 3 && (shape[2] == 1 || shape[2] == 3) {
		first = 0 // rows and columns, and channels
	}
	shape = slices.Clone(shape)
	for i := first; i < len(shape); i++ {
		if shape[i] < 0 {
			shape[i] = given[i]
		}
	}
	return shape
}

// how returns how a picture becomes an input; nil leaves it to the signature.
func (k known) how(input string) *deployfile.Preprocess {
	if p, ok := k.embedded[input]; ok && k.preprocess == nil {
		return &deployfile.Preprocess{Mean: p.Mean, Scale: p.Scale}
	}
	return k.preprocess
}

// askKnown asks the management API, which is not at every door: without it,
// pictures become inputs by what the signature says.
func askKnown(ctx context.Context, node *client.Client, model string) (known, error) {
	status, err := node.Model(ctx, model)
	if err != nil {
		switch kindOf(err) { //nolint:exhaustive // all others end the command
		case fault.Unauthenticated, fault.Denied, fault.NotFound:
			return known{}, nil
		}
		return known{}, err
	}
	return knownOf(status)
}

// knownOf reads what people need out of a model's status.
func knownOf(status *client.ModelStatus) (known, error) {
	const op = "cli.predict"
	var file struct {
		Model struct {
			Preprocess  *deployfile.Preprocess `json:"preprocess"`
			InputShapes map[string][]int64     `json:"input_shapes"`
		} `json:"model"`
	}
	if len(status.Config) > 0 {
		if err := json.Unmarshal(status.Config, &file); err != nil {
			return known{}, fault.New(fault.Corrupt, op, "the node's deployment file of %s: %w", status.Model, err)
		}
	}
	k := known{preprocess: file.Model.Preprocess, shapes: file.Model.InputShapes, embedded: status.Preprocess, labels: status.Labels, outputs: map[string]inference.Quantization{}}
	for _, out := range status.ModelInfo.OutputDetails {
		var q inference.Quantization
		if len(out.Quantization) == 0 {
			continue
		}
		if err := json.Unmarshal(out.Quantization, &q); err != nil {
			return known{}, fault.New(fault.Corrupt, op, "the quantization of output %q of %s: %w", out.Name, status.Model, err)
		}
		k.outputs[out.Name] = q
	}
	return k, nil
}

// inputs reads the files that the command line names, in the model's order.
func (p *predictCommand) inputs(c *call, m *client.ModelMetadata, k known) ([]client.Tensor, error) {
	files, err := p.filesOf(m.Inputs)
	if err != nil {
		return nil, err
	}
	inputs := make([]client.Tensor, len(m.Inputs))
	for i, spec := range m.Inputs {
		how := k.how(spec.Name)
		if spec.Datatype != tensor.Bytes.String() && (how == nil || len(how.Size) == 0) {
			spec.Shape = k.sized(spec.Name, spec.Shape)
		}
		t, err := c.readInput(strings.TrimPrefix(files[i], "@"), spec, how)
		if err != nil {
			return nil, err
		}
		inputs[i] = client.Tensor{Name: spec.Name, Datatype: t.DType.String(), Shape: t.Shape, Data: t.Data}
	}
	return inputs, nil
}

// filesOf returns a file for each input.
func (p *predictCommand) filesOf(inputs []client.TensorMetadata) ([]string, error) {
	const op = "cli.predict"
	hint := "verge predict " + p.Model + strings.Repeat(" FILE", len(inputs)) + ", or --input NAME=@FILE for each."
	files := p.Files
	for name := range p.Input {
		if !slices.ContainsFunc(inputs, func(m client.TensorMetadata) bool { return m.Name == name }) {
			return nil, fault.New(fault.Invalid, op, "model %q has no input %q; it has %s", p.Model, name, describeInputs(inputs)).WithHint("%s", hint)
		}
	}
	if given := len(p.Files) + len(p.Input); given != len(inputs) {
		return nil, fault.New(fault.Invalid, op, "got %d %s, model %q has %d: %s", given, plural(given, "input"), p.Model, len(inputs), describeInputs(inputs)).
			WithHint("%s", hint)
	}
	if len(p.Input) > 0 {
		files = make([]string, len(inputs))
		for i, m := range inputs {
			files[i] = p.Input[m.Name]
		}
	}
	return files, nil
}

func describeInputs(all []client.TensorMetadata) string {
	parts := make([]string, len(all))
	for i, m := range all {
		parts[i] = m.Name + " " + m.Datatype + inference.FormatShape(m.Shape)
	}
	return strings.Join(parts, ", ")
}

// readInput reads one input from an .npy file, a picture, or for strings any file; - is
// standard input.
func (c *call) readInput(path string, m client.TensorMetadata, p *deployfile.Preprocess) (tensor.Tensor, error) {
	data, err := c.readInputFile(path)
	if err != nil {
		return tensor.Tensor{}, err
	}
	dtype, err := tensor.ParseDType(m.Datatype)
	if err != nil {
		return tensor.Tensor{}, fault.New(fault.Corrupt, "cli.predict", "input %q: %w", m.Name, err)
	}
	spec := inference.Spec{Name: m.Name, DType: dtype, Shape: m.Shape}
	var t tensor.Tensor
	switch {
	case bytes.HasPrefix(data, []byte("\x93NUMPY")) || strings.EqualFold(filepath.Ext(path), ".npy"):
		t, err = dataset.ReadNPY(data)
	case dtype == tensor.Bytes:
		t, err = dataset.Text(data, spec)
	default:
		t, err = dataset.Picture(data, spec, p)
	}
	if err != nil {
		return tensor.Tensor{}, about(path, err)
	}
	return t, nil
}

func (c *call) readInputFile(path string) ([]byte, error) {
	if path != "-" {
		return readFile(path, dataset.MaxBytes)
	}
	data, err := io.ReadAll(io.LimitReader(c.std.In, dataset.MaxBytes+1))
	if err == nil && len(data) > dataset.MaxBytes {
		err = fault.New(fault.TooLarge, "cli.predict", "standard input has more than %d bytes", dataset.MaxBytes)
	}
	return data, err
}

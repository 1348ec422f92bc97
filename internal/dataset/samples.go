package dataset

import (
	"archive/zip"
	"bytes"
	"slices"
	"strconv"
	"strings"

	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

const opSamples = "dataset.samples"

// labelsArray is the array of an archive that has the right classes.
const labelsArray = "labels"

const samplesHint = `Give an npz file with the model's inputs, a row for each sample, and "labels" or the model's outputs; an npy file with accuracy.labels; or a zip file of pictures in folders that are named by their class.`

// Samples is a data set of which the right answers are known. It may be used by one
// goroutine at a time.
type Samples struct {
	count    int
	labelled bool // classes are known
	answered bool // outputs are
	at       func(i int) (Sample, error)
}

// Sample is one of them.
type Sample struct {
	Name    string          // "sample 7", "seven/0012.png"
	Inputs  []tensor.Tensor // one row each, in the order of the signature
	Label   int             // the right class, counted from 0; -1 where none is known
	Outputs []tensor.Tensor // the right answers, one row each; nil where none is known
}

// Len returns how many samples there are: one or more.
func (s *Samples) Len() int { return s.count }

// Known says of which kind the right answers are: classes, outputs, or both.
func (s *Samples) Known() (classes, outputs bool) { return s.labelled, s.answered }

// At returns one sample. It fails as Picture does, for a picture of a zip file.
func (s *Samples) At(i int) (Sample, error) { return s.at(i) }

// SamplesFor says how a data set becomes requests of a model.
type SamplesFor struct {
	Signature  inference.Signature
	Preprocess map[string]*deployfile.Preprocess // of pictures, by input; nil leaves it to the signature
	Classes    []string                          // the model's labels; nil for none
	Labels     []byte                            // the file of the right classes, for an npy file; nil for none
}

// ReadSamples reads a data set:
//
//   - an npz file with an array for each input of the model, and the right classes as
//     integers in "labels", or the right answers under the names of outputs. A model of one
//     input takes the one other array beside "labels", whatever its name.
//   - an npy file for a model of one input, with f.Labels: an npy file of integers, or text
//     with a class a line, its number or its name.
//   - a zip file of pictures, each in a folder with the number or the name of its class.
//
// Rows of an array that are no input of the model are taken for pictures where they are
// UINT8: [rows, columns], or with 1 or 3 channels behind. It fails with fault.Invalid where
// the data are none of that or do not fit the model, and as ReadNPZ, ReadNPY and ReadLabels
// do.
func ReadSamples(data []byte, f SamplesFor) (*Samples, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\x93NUMPY")):
		array, err := ReadNPY(data)
		if err != nil {
			return nil, err
		}
		if f.Labels == nil {
			return nil, invalid(opSamples, "an npy file has no right answers").WithHint("Name the file that has them: accuracy.labels.")
		}
		classes, err := readClasses(f.Labels, f.Classes)
		if err != nil {
			return nil, err
		}
		return arraySamples([]tensor.Tensor{array}, classes, f)
	case f.Labels != nil:
		return nil, invalid(opSamples, "accuracy.labels goes with an npy file only: the data set has its classes in itself").WithHint("Leave accuracy.labels out.")
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, invalid(opSamples, "the data set is no npz, npy or zip file: %w", err).WithHint(samplesHint)
	}
	if !slices.ContainsFunc(archive.File, func(f *zip.File) bool { return strings.HasSuffix(f.Name, ".npy") }) {
		return pictureSamples(archive, f)
	}
	arrays, err := ReadNPZ(data)
	if err != nil {
		return nil, err
	}
	var classes []int
	if i := slices.IndexFunc(arrays, func(t tensor.Tensor) bool { return t.Name == labelsArray }); i >= 0 && inference.Index(f.Signature.Outputs, labelsArray) < 0 {
		if classes, err = classesOf(arrays[i]); err != nil {
			return nil, err
		}
		arrays = slices.Delete(arrays, i, i+1)
	}
	return arraySamples(arrays, classes, f)
}

// classesOf reads an array of classes.
func classesOf(t tensor.Tensor) ([]int, error) {
	numbers, err := tensor.Floats(t)
	if err != nil || len(t.Shape) != 1 && (len(t.Shape) != 2 || t.Shape[1] != 1) {
		return nil, invalid(opSamples, "the labels are %s%s, want one integer for each sample", t.DType, inference.FormatShape(t.Shape)).WithHint(samplesHint)
	}
	classes := make([]int, len(numbers))
	for i, x := range numbers {
		if classes[i] = int(x); float64(classes[i]) != x || x < 0 || x >= MaxLabels {
			return nil, invalid(opSamples, "label %d is %v, want an integer from 0 to %d", i, x, MaxLabels-1)
		}
	}
	return classes, nil
}

// readClasses reads a file of classes: an npy file, or text with one a line.
func readClasses(data []byte, names []string) ([]int, error) {
	if bytes.HasPrefix(data, []byte("\x93NUMPY")) {
		t, err := ReadNPY(data)
		if err != nil {
			return nil, err
		}
		return classesOf(t)
	}
	lines, err := ReadLabels(data)
	if err != nil {
		return nil, err
	}
	classes := make([]int, len(lines))
	for i, line := range lines {
		if classes[i] = classNamed(line, names); classes[i] < 0 {
			return nil, invalid(opSamples, "line %d of the labels is %q, which is neither a number nor one of the model's %d labels", i+1, fault.Clip(line), len(names)).
				WithHint("Write the number of the class, counted from 0, or its name in model.labels.")
		}
	}
	return classes, nil
}

// classNamed returns a class by its name or its number, or -1.
func classNamed(text string, names []string) int {
	if i := slices.Index(names, text); i >= 0 {
		return i
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' || n >= MaxLabels {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	if text == "" || n >= MaxLabels {
		return -1
	}
	return n
}

// arraySamples are rows of arrays, whose classes are known or else some outputs.
func arraySamples(arrays []tensor.Tensor, classes []int, f SamplesFor) (*Samples, error) {
	g := f.Signature
	var inputs, outputs []sampleRows
	taken := make([]bool, len(arrays))
	for _, spec := range g.Inputs {
		alone := len(g.Inputs) == 1 && len(arrays) == 1
		i := slices.IndexFunc(arrays, func(t tensor.Tensor) bool { return alone || t.Name == spec.Name })
		if i < 0 {
			return nil, invalid(opSamples, "input %q is missing in the data set", spec.Name).WithHint(samplesHint)
		}
		taken[i] = true
		r, err := inputRows(arrays[i], f, spec)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, r)
	}
	for i, t := range arrays {
		k := inference.Index(g.Outputs, t.Name)
		switch {
		case taken[i]:
			continue
		case k < 0:
			return nil, invalid(opSamples, "array %q is neither an input of the model nor a known answer", t.Name).WithHint(samplesHint)
		case len(t.Shape) == 0 || t.DType == tensor.Bytes && t.DType != g.Outputs[k].DType:
			return nil, invalid(opSamples, "array %q is %s%s, output %q is %s", t.Name, t.DType, inference.FormatShape(t.Shape), t.Name, g.Outputs[k].DType)
		}
		outputs = append(outputs, sampleRows{rows: tensor.RowsOf(t), name: t.Name})
	}
	if len(inputs) == 0 {
		return nil, invalid(opSamples, "the model has no inputs")
	}
	count := inputs[0].rows.Len()
	if classes == nil && len(outputs) == 0 {
		return nil, invalid(opSamples, "the data set has no right answers").WithHint(samplesHint)
	}
	if classes != nil && len(classes) != count {
		return nil, invalid(opSamples, "there are %d labels for %d samples", len(classes), count)
	}
	for _, r := range slices.Concat(inputs, outputs) {
		if n := r.rows.Len(); n != count || count == 0 {
			return nil, invalid(opSamples, "array %q has %d rows, input %q has %d", r.name, n, inputs[0].name, count)
		}
	}
	return &Samples{count: count, labelled: classes != nil, answered: len(outputs) > 0, at: func(i int) (s Sample, err error) {
		s = Sample{Name: "sample " + strconv.Itoa(i), Label: -1}
		if classes != nil {
			s.Label = classes[i]
		}
		if s.Inputs, err = cut(inputs, i); err == nil {
			s.Outputs, err = cut(outputs, i)
		}
		return s, err
	}}, nil
}

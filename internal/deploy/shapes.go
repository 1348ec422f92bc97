package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/tensor"
)

// requestShapes returns the shapes of the inputs g in a request that gates make.
// It fails as dataset.Shapes does; where the sizes of open dimensions are all that is
// missing, the hint has an example that would do. metadata is what the model's file
// says of itself.
func requestShapes(file *deployfile.File, g inference.Signature, metadata map[string]string) ([][]int64, error) {
	batch, given := file.Deployment.BatchSize, file.Model.InputShapes
	shapes, err := dataset.Shapes(g, batch, given)
	if err == nil {
		return shapes, nil
	}
	filled, guessed := example(g, batch, given, metadata)
	if _, still := dataset.Shapes(g, batch, filled); still != nil {
		return nil, err // something else is wrong
	}
	hint := "Give model.input_shapes the sizes that the model was made for; its file speaks of pictures of this size: %s."
	if guessed {
		hint = "Give model.input_shapes the sizes that the model was made for. %s has the form; its sizes are only an example."
	}
	return nil, &fault.Error{Kind: fault.KindOf(err), Op: "deploy.shapes", Hint: fmt.Sprintf(hint, formatShapes(g, filled)), Err: err}
}

// example returns shapes for model.input_shapes in which no dimension is open: those
// that are given, and a full one for each other input that has more open than its batch.
// guessed says that nothing in the file speaks for some of their sizes.
func example(g inference.Signature, batch int, given map[string][]int64, metadata map[string]string) (filled map[string][]int64, guessed bool) {
	const length = 16 // of what is no side of a picture
	filled = map[string][]int64{}
	maps.Copy(filled, given)
	pixels, told := pictureSize(metadata)
	known := sizesByName(g, batch, given)
	for _, spec := range g.Inputs {
		shape := slices.Clone(spec.Shape)
		if of := given[spec.Name]; of != nil {
			shape = slices.Clone(of)
		}
		if len(shape) > 0 && shape[0] < 0 {
			shape[0] = int64(max(batch, 1))
		}
		if !slices.Contains(shape, -1) {
			continue
		}
		rows := rowsOf(shape)
		for k := range shape {
			name := symbol(spec, k)
			size, ok := known[name]
			switch at := k - rows; { // 0 for the rows of pictures, 1 for the columns
			case shape[k] >= 0:
				continue
			case ok:
				shape[k] = size
				continue
			case rows >= 0 && (at == 0 || at == 1):
				shape[k] = pixels[at]
				guessed = guessed || !told
			default:
				shape[k], guessed = length, true
			}
			if name != "" {
				known[name] = shape[k]
			}
		}
		filled[spec.Name] = shape
	}
	return filled, guessed
}

// sizesByName returns the sizes that names of dimensions have by what is given, and by
// the batch.
func sizesByName(g inference.Signature, batch int, given map[string][]int64) map[string]int64 {
	known := map[string]int64{}
	for _, spec := range g.Inputs {
		if name := symbol(spec, 0); name != "" && given[spec.Name] == nil && spec.Shape[0] < 0 {
			known[name] = int64(max(batch, 1))
		}
	}
	for _, spec := range g.Inputs {
		for k, d := range given[spec.Name] {
			if name := symbol(spec, k); name != "" && d >= 0 {
				known[name] = d
			}
		}
	}
	return known
}

// symbol is the name of a dimension, or "".
func symbol(spec inference.Spec, k int) string {
	if k < len(spec.Symbols) {
		return spec.Symbols[k]
	}
	return ""
}

// pictureSize returns the rows and columns of pictures, and whether the metadata tell
// them, as Ultralytics writes them into the files of its models.
func pictureSize(metadata map[string]string) (size [2]int64, told bool) {
	const guess, most = 224, 16384
	var list []int64
	err := json.Unmarshal([]byte(metadata["imgsz"]), &list)
	if err == nil && len(list) == len(size) && slices.Min(list) > 0 && slices.Max(list) <= most {
		return [2]int64(list), true
	}
	return [2]int64{guess, guess}, false
}

// rowsOf returns which dimension of a batch of pictures has their rows, behind which
// their columns are; -1 where the shape is not that of pictures.
func rowsOf(shape []int64) int {
	channels := func(k int) bool { return shape[k] == 1 || shape[k] == 3 || shape[k] == 4 }
	switch {
	case len(shape) != 4:
	case channels(1):
		return 2
	case channels(3):
		return 1
	}
	return -1
}

// formatShapes returns {"image": [1,3,224,224]}, in the order of the inputs.
func formatShapes(g inference.Signature, shapes map[string][]int64) string {
	var all []string
	for _, spec := range g.Inputs {
		if shape, ok := shapes[spec.Name]; ok {
			all = append(all, fmt.Sprintf("%q: %s", spec.Name, inference.FormatShape(shape)))
		}
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// checkShapes finds what is wrong with model.input_shapes, or missing there, as far as
// the model's file tells what its library will.
func (f *Findings) checkShapes(file *deployfile.File) {
	const key = "model.input_shapes"
	g, ok := f.declared(file)
	if !ok {
		return
	}
	problem := func(err error) {
		text := strings.TrimPrefix(strings.TrimPrefix(fault.Message(err), key+": "), key+" ")
		f.problem(fault.KindOf(err), key, fault.HintOf(err), "%s", text)
	}
	before := len(f.Problems)
	given := file.Model.InputShapes
	for _, name := range slices.Sorted(maps.Keys(given)) { // each on its own, so that all are told
		one := g // no input has the name
		if i := inference.Index(g.Inputs, name); i >= 0 {
			one.Inputs = g.Inputs[i : i+1 : i+1]
		}
		if _, err := dataset.Shapes(one, file.Deployment.BatchSize, map[string][]int64{name: given[name]}); err != nil {
			problem(err)
		}
	}
	if len(f.Problems) > before {
		return // what is open may be so only for them
	}
	if _, err := requestShapes(file, g, f.metadata()); err != nil {
		problem(err)
	}
}

// metadata is what the model's file says of itself in words.
func (f *Findings) metadata() map[string]string {
	if f.Model == nil || f.Model.ONNX == nil {
		return nil
	}
	return f.Model.ONNX.Metadata
}

// declared returns the signature that the model's file declares, without what its
// library may see in another way, and whether anything can be said by it.
func (f *Findings) declared(file *deployfile.File) (g inference.Signature, ok bool) {
	if f.Model == nil || len(f.Model.Signature.Inputs) == 0 || !slices.Contains(RuntimesOf(f.Model.Format), f.Runtime) {
		return g, false
	}
	foreign := f.Runtime == "openvino"
	if foreign && f.Model.Format == modelfile.TFLite {
		return g, false // inputs get other names
	}
	if chooses(file) && hasGolden(file) {
		return g, false // a way may be taken that has other inputs than the file
	}
	for _, spec := range f.Model.Signature.Inputs {
		if spec.DType == tensor.Invalid {
			return g, false // it is not declared
		}
		if foreign {
			spec.Symbols = nil // this library tells none
		}
		if len(spec.Shape) == 0 { // a scalar, or of any rank
			spec.Shape = slices.Clone(file.Model.InputShapes[spec.Name])
		}
		g.Inputs = append(g.Inputs, spec)
	}
	g.Outputs = f.Model.Signature.Outputs
	return g, true
}

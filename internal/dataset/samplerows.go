package dataset

import (
	"archive/zip"
	"fmt"
	"image"
	"image/color"
	"io"
	"path"
	"slices"
	"strings"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// sampleRows are the rows of one array of a data set, each of which may be a picture.
type sampleRows struct {
	rows tensor.Rows
	name string
	spec inference.Spec // of the input
	plan *plan          // how a picture becomes it; nil where rows are inputs as they are
}

// inputRows finds out what the rows of an array are for an input.
func inputRows(t tensor.Tensor, f SamplesFor, spec inference.Spec) (sampleRows, error) {
	r := sampleRows{name: spec.Name, spec: spec}
	if len(t.Shape) == 0 {
		return r, invalid(opSamples, "array %q is a scalar, want a row for each sample of input %s", fault.Clip(t.Name), spec)
	}
	t.Name = spec.Name
	r.rows = tensor.RowsOf(t)
	shape := append([]int64{batchOf(spec)}, t.Shape[1:]...)
	fits := spec.CheckShape(shape)
	if fits == nil && t.DType == spec.DType {
		return r, nil
	}
	pixels := t.DType == tensor.Uint8 && (len(t.Shape) == 3 || len(t.Shape) == 4 && (t.Shape[3] == 1 || t.Shape[3] == 3))
	if pixels && (t.Shape[1] == 0 || t.Shape[2] == 0) {
		return r, invalid(opSamples, "the rows of array %q are pictures of %d rows and %d columns, want 1 or more of each", fault.Clip(r.name), t.Shape[1], t.Shape[2])
	}
	if !pixels {
		return r, invalid(opSamples, "the rows of array %q are %s%s, want those of input %s", t.Name, t.DType, inference.FormatShape(t.Shape[1:]), spec).WithHint(samplesHint)
	}
	spec.Shape = oneOf(spec)
	plan, err := planFor(spec, f.Preprocess[spec.Name])
	r.spec, r.plan = spec, plan
	return r, err
}

// batchOf is the first dimension of an input as a request has it.
func batchOf(spec inference.Spec) int64 {
	if len(spec.Shape) == 0 || spec.Shape[0] < 0 {
		return 1
	}
	return spec.Shape[0]
}

// oneOf is the shape of an input of one sample.
func oneOf(spec inference.Spec) []int64 {
	shape := slices.Clone(spec.Shape)
	if len(shape) > 0 {
		shape[0] = 1
	}
	return shape
}

// at returns one row as the input takes it.
func (r sampleRows) at(i int) (tensor.Tensor, error) {
	row := r.rows.Cut(i, i+1)
	if r.plan == nil {
		return row, nil
	}
	return r.plan.picture(pixels{row}, r.spec)
}

// cut returns one row of each array.
func cut(all []sampleRows, i int) (row []tensor.Tensor, err error) {
	for _, r := range all {
		t, err := r.at(i)
		if err != nil {
			return nil, err
		}
		row = append(row, t)
	}
	return row, nil
}

// pixels is a picture in a tensor UINT8[1,rows,columns], with 1 or 3 channels behind.
type pixels struct{ tensor.Tensor }

// channels returns how many values a pixel has.
func (p pixels) channels() int {
	if len(p.Shape) == 4 {
		return int(p.Shape[3])
	}
	return 1
}

// ColorModel implements image.Image.
func (p pixels) ColorModel() color.Model { return color.NRGBAModel }

// Bounds implements image.Image.
func (p pixels) Bounds() image.Rectangle {
	return image.Rect(0, 0, int(p.Shape[2]), int(p.Shape[1]))
}

// At implements image.Image.
func (p pixels) At(x, y int) color.Color {
	n := p.channels()
	v := p.Data[(y*int(p.Shape[2])+x)*n:]
	if n == 1 {
		return color.Gray{Y: v[0]}
	}
	return color.NRGBA{R: v[0], G: v[1], B: v[2], A: 0xff}
}

// maxPictureBytes is the size of one picture in a zip file.
const maxPictureBytes = 64 << 20

// pictureSamples are the pictures of an archive, in folders that are named by their class.
func pictureSamples(archive *zip.Reader, f SamplesFor) (*Samples, error) {
	if len(f.Signature.Inputs) != 1 {
		return nil, invalid(opSamples, "the data set has pictures, and the model has %d inputs, want 1", len(f.Signature.Inputs))
	}
	spec := f.Signature.Inputs[0]
	spec.Shape = oneOf(spec)
	var files []*zip.File
	var classes []int
	for _, file := range archive.File {
		base := path.Base(file.Name)
		if file.FileInfo().IsDir() || strings.HasPrefix(base, ".") || strings.HasPrefix(file.Name, "__MACOSX/") {
			continue
		}
		folder := path.Base(path.Dir(file.Name))
		class := classNamed(folder, f.Classes)
		if class < 0 || path.Dir(file.Name) == "." {
			return nil, invalid(opSamples, "picture %q is in no folder that is named by its class: neither a number nor one of the model's %d labels", fault.Clip(file.Name), len(f.Classes)).
				WithHint(samplesHint)
		}
		if file.UncompressedSize64 > maxPictureBytes || file.Flags&zipLocked != 0 {
			return nil, invalid(opSamples, "picture %q has %d bytes or is encrypted, the limit is %d", fault.Clip(file.Name), file.UncompressedSize64, maxPictureBytes)
		}
		files, classes = append(files, file), append(classes, class)
	}
	if len(files) == 0 {
		return nil, invalid(opSamples, "the data set is empty").WithHint(samplesHint)
	}
	return &Samples{count: len(files), labelled: true, at: func(i int) (Sample, error) {
		s := Sample{Name: fault.Clip(files[i].Name), Label: classes[i]}
		data, err := unzip(files[i])
		if err != nil {
			return s, invalid(opSamples, "picture %q: %w", s.Name, err)
		}
		t, err := Picture(data, spec, f.Preprocess[spec.Name])
		if err != nil {
			return s, fault.New(fault.KindOf(err), opSamples, "picture %q: %s", s.Name, fault.Message(err)).WithHint("%s", fault.HintOf(err))
		}
		s.Inputs = []tensor.Tensor{t}
		return s, nil
	}}, nil
}

// unzip returns the bytes of a member, whose size has been checked.
func unzip(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(r, maxPictureBytes))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return data, nil
}

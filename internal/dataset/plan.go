package dataset

import (
	"encoding/binary"
	"math"
	"strings"

	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// plan is how a picture becomes an input, complete but for sizes of -1.
type plan struct {
	rows, columns int
	layout        string // of the letters N, C, H and W
	channels      string // "gray", "rgb" or "bgr"
	mean, scale   [3]float64
	dtype         tensor.DType
}

const (
	preprocessHint = "Give model.preprocess in the deployment file: size, layout, channels, mean, scale."
	maxSide        = 1 << 15 // rows or columns
)

// planFor works out the plan for an input of which p says something, or is nil.
func planFor(spec inference.Spec, p *deployfile.Preprocess) (*plan, error) {
	if p == nil {
		p = &deployfile.Preprocess{}
	}
	pl := &plan{rows: -1, columns: -1, layout: strings.ToUpper(p.Layout), channels: strings.ToLower(p.Channels), dtype: spec.DType}
	if p.Type != "" && !strings.EqualFold(p.Type, spec.DType.String()) {
		return nil, invalid(opPicture, "model.preprocess.type is %s, but input %q is %s", fault.Clip(p.Type), spec.Name, spec.DType).
			WithHint("Correct model.preprocess.type, or leave it out.")
	}
	if pl.layout == "" {
		if pl.layout = layoutOf(spec.Shape); pl.layout == "" {
			return nil, invalid(opPicture, "input %s does not look like a picture", spec).WithHint(preprocessHint)
		}
	}
	if !known(pl.layout, "NCHW", "NHWC", "CHW", "HWC", "NHW", "HW") {
		return nil, invalid(opPicture, "model.preprocess.layout is %q, want NCHW, NHWC, CHW, HWC, NHW or HW", fault.Clip(p.Layout)).WithHint(preprocessHint)
	}
	if len(spec.Shape) != len(pl.layout) {
		return nil, invalid(opPicture, "layout %s has %d dimensions, input %s has %d", pl.layout, len(pl.layout), spec, len(spec.Shape)).WithHint(preprocessHint)
	}
	if err := pl.setSize(spec, p); err != nil {
		return nil, err
	}
	if err := pl.setChannels(spec, p); err != nil {
		return nil, err
	}
	return pl, pl.setNumbers(spec, p)
}

// Channels returns how many channels a picture has in an input of that shape,
// where no layout is given: 1 or 3, or 0 where a picture cannot become the input.
func Channels(shape []int64) int {
	layout := layoutOf(shape)
	switch k := strings.IndexByte(layout, 'C'); {
	case layout == "":
		return 0
	case k >= 0:
		return int(shape[k])
	}
	return 1
}

// layoutOf returns the one layout that a shape allows, or "". Neither size may
// be dynamic, nor 1, which flat inputs have.
func layoutOf(shape []int64) string {
	channels := func(k int) bool { return shape[k] == 1 || shape[k] == 3 }
	batch := len(shape) > 0 && (shape[0] == 1 || shape[0] == -1)
	var found []string
	switch len(shape) {
	case 2:
		found = append(found, "HW")
	case 3:
		switch {
		case channels(0) && channels(2) && shape[0] != 1:
		case channels(0):
			found = append(found, "CHW")
		case channels(2):
			found = append(found, "HWC")
		case batch:
			found = append(found, "NHW")
		}
	case 4:
		if batch && channels(1) {
			found = append(found, "NCHW")
		}
		if batch && channels(3) {
			found = append(found, "NHWC")
		}
	}
	if len(found) != 1 {
		return ""
	}
	for k, letter := range found[0] {
		if (letter == 'H' || letter == 'W') && shape[k] < 2 {
			return ""
		}
	}
	return found[0]
}

// setSize takes rows and columns from p, else from the spec.
func (pl *plan) setSize(spec inference.Spec, p *deployfile.Preprocess) error {
	rows := int(max(-1, min(spec.Shape[strings.IndexByte(pl.layout, 'H')], maxSide+1)))
	columns := int(max(-1, min(spec.Shape[strings.IndexByte(pl.layout, 'W')], maxSide+1)))
	if size := p.Size[:]; len(size) == 2 && (size[0] != 0 || size[1] != 0) {
		rows, columns = size[0], size[1]
		if rows < 1 || columns < 1 {
			return invalid(opPicture, "model.preprocess.size is [%d, %d], want rows and columns of 1 or more", rows, columns).WithHint(preprocessHint)
		}
	}
	if rows > maxSide || columns > maxSide || rows == 0 || columns == 0 {
		return invalid(opPicture, "a picture of %d rows and %d columns cannot be made, the limit is 1 to %d", rows, columns, maxSide).WithHint(preprocessHint)
	}
	pl.rows, pl.columns = rows, columns
	return nil
}

// setChannels takes the channels from p, else from the spec.
func (pl *plan) setChannels(spec inference.Spec, p *deployfile.Preprocess) error {
	count := int64(1)
	if k := strings.IndexByte(pl.layout, 'C'); k >= 0 {
		count = spec.Shape[k]
	}
	switch {
	case pl.channels == "grey":
		pl.channels = "gray"
	case pl.channels == "" && count == 1:
		pl.channels = "gray"
	case pl.channels == "" && count == 3:
		pl.channels = "rgb"
	}
	if !known(pl.channels, "gray", "rgb", "bgr") {
		return invalid(opPicture, "the channels of input %s are %q, want gray, rgb or bgr", spec, fault.Clip(p.Channels)).WithHint(preprocessHint)
	}
	if pl.count() != 1 && !strings.Contains(pl.layout, "C") {
		return invalid(opPicture, "layout %s has no place for the channels %s", pl.layout, pl.channels).WithHint(preprocessHint)
	}
	return nil
}

// setNumbers takes mean and scale from p, else from the element type.
func (pl *plan) setNumbers(spec inference.Spec, p *deployfile.Preprocess) error {
	scale := 0.0
	switch pl.dtype {
	case tensor.FP16, tensor.BF16, tensor.FP32, tensor.FP64:
		scale = 1.0 / 255
	case tensor.Uint8:
		scale = 1
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		if len(p.Scale) == 0 {
			return invalid(opPicture, "nothing says which %s numbers input %q takes for pixels", pl.dtype, spec.Name).WithHint(preprocessHint)
		}
	case tensor.Invalid, tensor.Bool, tensor.Bytes:
		return invalid(opPicture, "input %s takes no numbers", spec).WithHint("Give a NumPy array, as numpy.save writes it.")
	}
	if err := pl.spread("mean", p.Mean, 0, &pl.mean); err != nil {
		return err
	}
	return pl.spread("scale", p.Scale, scale, &pl.scale)
}

// spread sets one number for each channel: given has none, one for all or one
// for each, in the order of the channels.
func (pl *plan) spread(key string, given []float64, standard float64, out *[3]float64) error {
	switch len(given) {
	case 0:
		given = []float64{standard}
	case 1, pl.count():
	default:
		return invalid(opPicture, "model.preprocess.%s has %d numbers, want 1 or %d for the channels %s", key, len(given), pl.count(), pl.channels).WithHint(preprocessHint)
	}
	for c := range out {
		out[c] = given[min(c, len(given)-1)]
		if !finite(out[c]) {
			return invalid(opPicture, "model.preprocess.%s has %v, want a number", key, out[c]).WithHint(preprocessHint)
		}
	}
	return nil
}

// count returns the number of channels.
func (pl *plan) count() int {
	if pl.channels == "gray" {
		return 1
	}
	return 3
}

// shape returns the shape of the tensor.
func (pl *plan) shape() []int64 {
	shape := make([]int64, len(pl.layout))
	for k, letter := range pl.layout {
		switch letter {
		case 'N':
			shape[k] = 1
		case 'C':
			shape[k] = int64(pl.count())
		case 'H':
			shape[k] = int64(pl.rows)
		case 'W':
			shape[k] = int64(pl.columns)
		}
	}
	return shape
}

// fill writes the picture into data, which has the size of the tensor.
func (pl *plan) fill(data []byte, r resized) {
	width, count := pl.dtype.Size(), pl.count()
	first := strings.IndexByte(pl.layout, 'C') >= 0 && strings.IndexByte(pl.layout, 'C') < strings.IndexByte(pl.layout, 'H')
	for row := range pl.rows {
		for column := range pl.columns {
			p := r.at(row, column)
			for c := range count {
				at := (row*pl.columns+column)*count + c
				if first {
					at = (c*pl.rows+row)*pl.columns + column
				}
				put(data[at*width:], pl.dtype, (pl.channel(p, c)-pl.mean[c])*pl.scale[c])
			}
		}
	}
}

// channel returns the value of channel c before it is normalised.
func (pl *plan) channel(p pixel, c int) float64 {
	switch pl.channels {
	case "rgb":
		return p[c]
	case "bgr":
		return p[2-c]
	}
	return p.grey()
}

// put writes f as one element, rounded and held to the range of an integer type.
func put(data []byte, d tensor.DType, f float64) {
	le := binary.LittleEndian
	switch d {
	case tensor.FP64:
		le.PutUint64(data, math.Float64bits(f))
	case tensor.FP32:
		le.PutUint32(data, math.Float32bits(float32(f)))
	case tensor.FP16:
		le.PutUint16(data, tensor.ToHalf(float32(f)))
	case tensor.BF16:
		le.PutUint16(data, tensor.ToBFloat(float32(f)))
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		putInteger(data[:d.Size()], uint64(toInt(f, d.Size()*8))) //nolint:gosec // two's complement is meant
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		putInteger(data[:d.Size()], toUint(f, d.Size()*8))
	case tensor.Invalid, tensor.Bool, tensor.Bytes: // planFor refuses them
	}
}

// putInteger writes the low bytes of v.
func putInteger(data []byte, v uint64) {
	for i := range data {
		data[i] = byte(v >> (8 * i)) //nolint:gosec // the low byte is meant
	}
}

// toInt rounds f, half to even, and holds it to the range of a signed integer.
func toInt(f float64, bits int) int64 {
	limit := math.Ldexp(1, bits-1)
	f = math.RoundToEven(f)
	if f >= limit {
		return math.MaxInt64 >> (64 - bits)
	}
	return int64(max(f, -limit))
}

// toUint rounds f, half to even, and holds it to the range of an unsigned integer.
func toUint(f float64, bits int) uint64 {
	f = math.RoundToEven(f)
	if f >= math.Ldexp(1, bits) {
		return math.MaxUint64 >> (64 - bits)
	}
	return uint64(max(f, 0))
}

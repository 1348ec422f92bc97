package dataset

import (
	"image"
	"image/color"
	"strings"

	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

const opPicture = "dataset.picture"

// Picture makes the input spec of one PNG, JPEG or BMP picture, as p says; where
// p is nil or leaves something out, it follows from the spec:
//
//   - The layout is the one in which a dimension is 1 or 3, the channels: NCHW,
//     NHWC, CHW, HWC, NHW or HW. One channel is grey, three are red, green, blue.
//   - The size is the spec's. Where that is dynamic, the picture's own is kept
//     if p gives a layout, and refused otherwise.
//   - An element is (pixel - mean) * scale with pixels from 0 to 255, means of 0
//     and a scale of 1/255 for floating-point inputs, 1 for UINT8. Other types
//     need a scale.
//
// A JPEG is first turned as its camera's mark (EXIF) says. A picture of another
// size is stretched by bilinear interpolation with half-pixel centres, the edge
// repeated and without a filter, so shrink large ones beforehand. Grey is 0.299
// red + 0.587 green + 0.114 blue. Transparency is ignored: a pixel has the colour
// that the file gives it. A picture of 16 bits keeps its fractions. Integers are
// rounded and held to their range.
//
// It fails with fault.Invalid for a damaged picture and where the picture
// cannot become the input, with fault.Unsupported for other kinds of picture and
// for a BMP that is packed, and with fault.TooLarge over MaxPixels or MaxBytes.
func Picture(data []byte, spec inference.Spec, p *deployfile.Preprocess) (tensor.Tensor, error) {
	pl, err := planFor(spec, p)
	if err != nil {
		return tensor.Tensor{}, err
	}
	picture, err := decode(data)
	if err != nil {
		return tensor.Tensor{}, err
	}
	return pl.picture(picture, spec)
}

// picture makes the input of a decoded picture.
func (pl *plan) picture(picture image.Image, spec inference.Spec) (tensor.Tensor, error) {
	bounds := picture.Bounds()
	own := *pl // sizes that it leaves to the picture
	pl = &own
	if pl.rows < 0 {
		pl.rows = bounds.Dy()
	}
	if pl.columns < 0 {
		pl.columns = bounds.Dx()
	}
	shape := pl.shape()
	if err := spec.CheckShape(shape); err != nil {
		return tensor.Tensor{}, invalid(opPicture, "the picture becomes %s, but input %q %w", inference.FormatShape(shape), spec.Name, err).
			WithHint("Correct model.preprocess: its size, layout and channels make the shape.")
	}
	size, err := tensor.ByteSize(spec.DType, shape)
	if err != nil || size > MaxBytes {
		return tensor.Tensor{}, fault.New(fault.TooLarge, opPicture, "the picture becomes %s%s, the limit is %d bytes", spec.DType, inference.FormatShape(shape), MaxBytes).
			WithHint("Give a smaller model.preprocess.size.")
	}
	t := tensor.Tensor{Name: spec.Name, DType: spec.DType, Shape: shape, Data: make([]byte, size)}
	pl.fill(t.Data, resized{picture, bounds, pl.rows, pl.columns})
	return t, nil
}

// pixel is red, green and blue, each from 0 to 255.
type pixel [3]float64

// pixelOf returns a colour as the file gave it, transparency left out.
func pixelOf(c color.Color) pixel {
	const wide = 257 // 16 bits to 8
	switch c := c.(type) {
	case color.Gray:
		return pixel{float64(c.Y), float64(c.Y), float64(c.Y)}
	case color.NRGBA:
		return pixel{float64(c.R), float64(c.G), float64(c.B)}
	case color.YCbCr: // 8 bits, as other readers have it
		r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
		return pixel{float64(r), float64(g), float64(b)}
	case color.NRGBA64:
		return pixel{float64(c.R) / wide, float64(c.G) / wide, float64(c.B) / wide}
	}
	r, g, b, _ := c.RGBA() // the kinds that are left have no transparency
	return pixel{float64(r) / wide, float64(g) / wide, float64(b) / wide}
}

// grey returns the brightness of p; exactly its value where it has no colour.
func (p pixel) grey() float64 {
	if p[0] == p[1] && p[1] == p[2] {
		return p[0]
	}
	return 0.299*p[0] + 0.587*p[1] + 0.114*p[2]
}

// resized is a picture seen at another size.
type resized struct {
	image.Image
	bounds        image.Rectangle
	rows, columns int
}

// at returns the pixel at a row and a column of the new size.
func (r resized) at(row, column int) pixel {
	y0, y1, fy := taps(row, r.rows, r.bounds.Dy())
	x0, x1, fx := taps(column, r.columns, r.bounds.Dx())
	get := func(y, x int) pixel { return pixelOf(r.At(r.bounds.Min.X+x, r.bounds.Min.Y+y)) }
	top := mix(get(y0, x0), x0, x1, fx, func() pixel { return get(y0, x1) })
	return mix(top, y0, y1, fy, func() pixel {
		return mix(get(y1, x0), x0, x1, fx, func() pixel { return get(y1, x1) })
	})
}

// taps returns the two source positions between which i of n lies where the
// source has m, and how far it is from the first to the second.
func taps(i, n, m int) (first, second int, fraction float64) {
	position := (float64(i)+0.5)*float64(m)/float64(n) - 0.5
	position = min(max(position, 0), float64(m-1))
	first = int(position)
	return first, min(first+1, m-1), position - float64(first)
}

// mix returns what lies between a and b; b is asked for only where it counts.
func mix(a pixel, first, second int, fraction float64, b func() pixel) pixel {
	if first == second || fraction == 0 {
		return a
	}
	other := b()
	for i := range a {
		a[i] += (other[i] - a[i]) * fraction
	}
	return a
}

// known reports whether s is one of names, whatever its case.
func known(s string, names ...string) bool {
	for _, name := range names {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

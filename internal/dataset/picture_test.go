package dataset_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

func encode(tb testing.TB, m image.Image) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// colours is a picture of one row for each argument.
func colours(tb testing.TB, rows ...[]color.Color) []byte {
	tb.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, len(rows[0]), len(rows)))
	for y, row := range rows {
		for x, c := range row {
			m.Set(x, y, c)
		}
	}
	return encode(tb, m)
}

func rgb(r, g, b uint8) color.Color { return color.NRGBA{R: r, G: g, B: b, A: 255} }

func spec(d tensor.DType, shape ...int64) inference.Spec {
	return inference.Spec{Name: "image", DType: d, Shape: shape}
}

func TestPictureBecomesTheInput(t *testing.T) {
	grey := func(v uint8) color.Color { return rgb(v, v, v) }
	two := colours(t, []color.Color{rgb(255, 0, 0), rgb(1, 2, 3)}, []color.Color{rgb(4, 5, 6), rgb(7, 8, 9)})
	faint := colours(t, []color.Color{color.NRGBA{R: 10, G: 20, B: 30, A: 1}, grey(0)}, []color.Color{grey(1), grey(2)})
	ramp := colours(t, []color.Color{grey(0), grey(100)})
	tests := map[string]struct {
		data  []byte
		spec  inference.Spec
		p     *deployfile.Preprocess
		shape []int64
		want  []float64
	}{
		"rows of red, green, blue": {two, spec(tensor.Uint8, 1, 2, 2, 3), nil, []int64{1, 2, 2, 3}, []float64{255, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"planes":                   {two, spec(tensor.Uint8, -1, 3, 2, 2), nil, []int64{1, 3, 2, 2}, []float64{255, 1, 4, 7, 0, 2, 5, 8, 0, 3, 6, 9}},
		"without a batch":          {two, spec(tensor.Uint8, 2, 2, 3), nil, []int64{2, 2, 3}, []float64{255, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"blue first":               {two, spec(tensor.Uint8, 1, 2, 2, 3), &deployfile.Preprocess{Channels: "bgr"}, []int64{1, 2, 2, 3}, []float64{0, 0, 255, 3, 2, 1, 6, 5, 4, 9, 8, 7}},
		"grey":                     {two, spec(tensor.FP64, 2, 2), nil, []int64{2, 2}, []float64{0.299, 1.815 / 255, 4.815 / 255, 7.815 / 255}},
		"transparent":              {faint, spec(tensor.Uint8, 1, 2, 2, 3), nil, []int64{1, 2, 2, 3}, []float64{10, 20, 30, 0, 0, 0, 1, 1, 1, 2, 2, 2}},
		"stretched, half-pixel centres": {
			ramp, spec(tensor.FP32, 1, 1, 2, 4), &deployfile.Preprocess{Scale: []float64{1}}, []int64{1, 1, 2, 4}, []float64{0, 25, 75, 100, 0, 25, 75, 100},
		},
		"mean and scale by channel": {
			two, spec(tensor.FP32, 1, 3, 2, 2), &deployfile.Preprocess{Size: [2]int{2, 2}, Layout: "NCHW", Channels: "rgb", Mean: []float64{1, 2, 3}, Scale: []float64{2, 0.5, 1}},
			[]int64{1, 3, 2, 2},
			[]float64{508, 0, 6, 12, -1, 0, 1.5, 3, -3, 0, 3, 6},
		},
		"held to the range": {
			two, spec(tensor.Int8, 1, 2, 2), &deployfile.Preprocess{Layout: "NHW", Channels: "gray", Mean: []float64{2}, Scale: []float64{90}},
			[]int64{1, 2, 2},
			[]float64{127, -17, 127, 127},
		},
		"its own size": {ramp, spec(tensor.Uint8, -1, -1, -1, 1), &deployfile.Preprocess{Layout: "nhwc"}, []int64{1, 1, 2, 1}, []float64{0, 100}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := dataset.Picture(tt.data, tt.spec, tt.p)
			if err != nil {
				t.Fatal(err)
			}
			values, err := tensor.Floats(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.shape, got.Shape); diff != "" || got.Name != "image" || got.DType != tt.spec.DType {
				t.Errorf("%s %s (-want +got):\n%s", got.Name, got.DType, diff)
			}
			if diff := cmp.Diff(tt.want, values, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSamplesAreTheHeldOutPictures(t *testing.T) {
	golden, err := dataset.ReadNPZ(example(t, "golden.npz"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := tensor.Floats(golden[0])
	if err != nil {
		t.Fatal(err)
	}
	in, err := dataset.Picture(example(t, "samples/03.png"), spec(tensor.FP32, -1, 1, 8, 8), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tensor.Floats(in)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got { // the samples' scale differs by up to half a step of 255
		if w := want[3*64+i]; math.Abs(v-w) > 0.002 {
			t.Errorf("pixel %d = %v, want %v", i, v, w)
		}
	}
}

// vast is a PNG whose header claims a size; there is nothing behind it.
func vast(width, height uint32) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), width), height)
	head = append(head, 8, 0, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(head))
}

func TestPictureRefusesWithAReason(t *testing.T) {
	const (
		give    = "Give model.preprocess in the deployment file: size, layout, channels, mean, scale."
		damaged = "Copy or export the picture again; the file is damaged or was cut off."
		convert = "Convert it to PNG, JPEG or BMP."
		another = "Convert it to PNG, or to BMP of 24 bits without compression."
	)
	dot := colours(t, []color.Color{rgb(1, 2, 3)})
	image := spec(tensor.FP32, 1, 1, 8, 8)
	tests := map[string]struct {
		data    []byte
		spec    inference.Spec
		p       *deployfile.Preprocess
		kind    fault.Kind
		message string
		hint    string
	}{
		"a GIF":        {[]byte("GIF89a"), image, nil, fault.Unsupported, "the picture is GIF; this version reads PNG, JPEG and BMP", convert},
		"no picture":   {[]byte("hello"), image, nil, fault.Invalid, "the data is not a PNG, JPEG or BMP picture", convert},
		"a cut PNG":    {dot[:50], image, nil, fault.Invalid, "read the PNG picture: png: invalid format: unexpected EOF", damaged},
		"a vast PNG":   {vast(1<<16, 1<<16), image, nil, fault.TooLarge, "the picture has 65536×65536 pixels, the limit is 33554432 in all", "Shrink the picture."},
		"a cut JPEG":   {photo(t)[:300], image, nil, fault.Invalid, "read the JPEG picture: unexpected EOF", damaged},
		"a vast JPEG":  {vastPhoto(), image, nil, fault.TooLarge, "the picture has 65535×65535 pixels, the limit is 33554432 in all", "Shrink the picture."},
		"a cut BMP":    {bitmap(8, 8, 24, nil), image, nil, fault.Invalid, "read the BMP picture: unexpected EOF", damaged},
		"a BMP's name": {[]byte("BM"), image, nil, fault.Invalid, "read the BMP picture: unexpected EOF", damaged},
		"a vast BMP":   {bitmap(1<<16, 1<<16, 24, nil), image, nil, fault.TooLarge, "the picture has 65536×65536 pixels, the limit is 33554432 in all", "Shrink the picture."},
		"an empty BMP": {bitmap(0, 0, 24, nil), image, nil, fault.Invalid, "the picture is empty: 0×0 pixels", damaged},
		"a BMP of 16 bits": {
			bitmap(8, 8, 16, nil), image, nil, fault.Unsupported, "the BMP picture is packed, or has a header or a number of bits that this version does not read", another,
		},
		"a flat input": {dot, spec(tensor.FP32, 1, 64), nil, fault.Invalid, "input image FP32[1,64] does not look like a picture", give},
		"five channels": {
			dot, spec(tensor.FP32, 1, 5, 8, 8), nil, fault.Invalid, "input image FP32[1,5,8,8] does not look like a picture", give,
		},
		"an open size": {dot, spec(tensor.FP32, 1, 3, -1, -1), nil, fault.Invalid, "input image FP32[1,3,-1,-1] does not look like a picture", give},
		"an integer input": {
			dot, spec(tensor.Int8, 1, 1, 8, 8), nil, fault.Invalid, `nothing says which INT8 numbers input "image" takes for pixels`, give,
		},
		"strings": {
			dot, spec(tensor.Bytes, 1, 1, 8, 8), nil, fault.Invalid, "input image BYTES[1,1,8,8] takes no numbers", "Give a NumPy array, as numpy.save writes it.",
		},
		"another type": {
			dot, image, &deployfile.Preprocess{Type: "UINT8"}, fault.Invalid, `model.preprocess.type is UINT8, but input "image" is FP32`,
			"Correct model.preprocess.type, or leave it out.",
		},
		"another size": {
			dot, image, &deployfile.Preprocess{Size: [2]int{4, 4}}, fault.Invalid,
			`the picture becomes [1,1,4,4], but input "image" has shape [1,1,4,4], want [1,1,8,8]`,
			"Correct model.preprocess: its size, layout and channels make the shape.",
		},
		"two means": {
			dot, image, &deployfile.Preprocess{Mean: []float64{1, 2}}, fault.Invalid, "model.preprocess.mean has 2 numbers, want 1 or 1 for the channels gray", give,
		},
		"a layout of another rank": {
			dot, image, &deployfile.Preprocess{Layout: "HW"}, fault.Invalid, "layout HW has 2 dimensions, input image FP32[1,1,8,8] has 4", give,
		},
		"no layout": {
			dot, image, &deployfile.Preprocess{Layout: "WHCN"}, fault.Invalid, `model.preprocess.layout is "WHCN", want NCHW, NHWC, CHW, HWC, NHW or HW`, give,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dataset.Picture(tt.data, tt.spec, tt.p)
			checkFault(t, err, tt.kind, tt.message, tt.hint)
		})
	}
}

func FuzzPicture(f *testing.F) {
	f.Add(example(f, "samples/00.png"))
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 4, 4)), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(withEXIF(b.Bytes(), exif(binary.BigEndian, 6)))
	f.Add(bitmap(2, 2, 24, make([]byte, 16)))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := dataset.Picture(data, spec(tensor.FP32, 1, 3, 5, 7), nil)
		if err == nil && len(in.Data) != 4*3*5*7 {
			t.Fatalf("%d bytes, want %d", len(in.Data), 4*3*5*7)
		}
	})
}

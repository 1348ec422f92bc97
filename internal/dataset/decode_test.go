package dataset_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/bmp"

	"verge/internal/dataset"
	"verge/internal/tensor"
)

// bitmap is a BMP file of the oldest kind, without a palette.
func bitmap(width, height int32, bits uint16, pixels []byte) []byte {
	const heads = 14 + 40
	b := append([]byte("BM"), make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, heads)
	b = binary.LittleEndian.AppendUint32(b, 40)
	b = binary.LittleEndian.AppendUint32(b, uint32(width))
	b = binary.LittleEndian.AppendUint32(b, uint32(height))
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, bits)
	return append(append(b, make([]byte, heads-len(b))...), pixels...)
}

// photo is a JPEG of 8 rows and columns of one grey.
func photo(tb testing.TB) []byte {
	tb.Helper()
	m := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range m.Pix {
		m.Pix[i] = 77
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// vastPhoto is a JPEG whose header claims the largest size; there is nothing
// behind it.
func vastPhoto() []byte {
	return []byte("\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00")
}

func TestAJPEGIsReadAsBytes(t *testing.T) {
	in, err := dataset.Picture(photo(t), spec(tensor.Uint8, 1, 3, 4, 4), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range in.Data {
		if v != 77 {
			t.Errorf("byte %d = %d, want 77", i, v)
		}
	}
}

func TestABMPIsReadAsBytes(t *testing.T) {
	box := image.Rect(0, 0, 2, 2)
	want := []byte{255, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	palette := image.NewPaletted(box, color.Palette{rgb(7, 8, 9), rgb(4, 5, 6), rgb(1, 2, 3), rgb(255, 0, 0)})
	copy(palette.Pix, []byte{3, 2, 1, 0})
	opaque, faint := image.NewRGBA(box), image.NewNRGBA(box)
	for i := range 4 {
		copy(opaque.Pix[4*i:], append(append([]byte{}, want[3*i:3*i+3]...), 255))
		copy(faint.Pix[4*i:], append(append([]byte{}, want[3*i:3*i+3]...), 1))
	}
	written := func(m image.Image, bits uint16) []byte {
		t.Helper()
		var b bytes.Buffer
		if err := bmp.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		if got := binary.LittleEndian.Uint16(b.Bytes()[28:]); got != bits {
			t.Fatalf("the encoder wrote %d bits, want %d", got, bits)
		}
		return b.Bytes()
	}
	tests := map[string][]byte{
		"8 bits with a palette":        written(palette, 8),
		"24 bits":                      written(opaque, 24),
		"32 bits, almost transparent":  written(faint, 32),
		"24 bits, the first row first": bitmap(2, -2, 24, []byte{0, 0, 255, 3, 2, 1, 0, 0, 6, 5, 4, 9, 8, 7, 0, 0}),
		"32 bits without transparency": bitmap(2, 2, 32, []byte{6, 5, 4, 0, 9, 8, 7, 0, 0, 0, 255, 0, 3, 2, 1, 0}),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			in, err := dataset.Picture(data, spec(tensor.Uint8, 1, 2, 2, 3), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, in.Data); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestABMPOfOneGreyIsGrey(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 3, 2))
	copy(m.Pix, []byte{0, 1, 2, 128, 254, 255})
	var b bytes.Buffer
	if err := bmp.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	in, err := dataset.Picture(b.Bytes(), spec(tensor.Uint8, 2, 3), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.Pix, in.Data); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestChannelsOfAShape(t *testing.T) {
	tests := []struct {
		shape []int64
		want  int
	}{
		{[]int64{1, 128, 128, 3}, 3},
		{[]int64{-1, 1, 8, 8}, 1},
		{[]int64{3, 8, 8}, 3},
		{[]int64{28, 28}, 1},
		{[]int64{1, 28, 28}, 1},
		{[]int64{1, 64}, 0},
		{[]int64{1, 5, 8, 8}, 0},
		{nil, 0},
	}
	for _, tt := range tests {
		if got := dataset.Channels(tt.shape); got != tt.want {
			t.Errorf("Channels(%v) = %d, want %d", tt.shape, got, tt.want)
		}
	}
}

package dataset_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/dataset"
	"verge/internal/tensor"
)

// exif is the EXIF part of a JPEG whose first directory has the orientation
// behind another entry.
func exif(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("Exif\x00\x00II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("Exif\x00\x00MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, entry := range [...]struct{ tag, value uint16 }{{0x0103, 6}, {0x0112, orientation}} {
		b = order.AppendUint16(b, entry.tag)
		b = order.AppendUint16(b, 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, entry.value)
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0)
}

// withEXIF puts APP1 parts behind the beginning of a JPEG.
func withEXIF(photo []byte, parts ...[]byte) []byte {
	b := slices.Clone(photo[:2])
	for _, part := range parts {
		b = append(b, 0xff, 0xe1)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(part)+2)), part...)
	}
	return append(b, photo[2:]...)
}

// chequered is a JPEG of squares of 8 rows and columns, each of the grey that it
// is given.
func chequered(tb testing.TB, rows ...[]byte) []byte {
	tb.Helper()
	const side = 8
	m := image.NewGray(image.Rect(0, 0, side*len(rows[0]), side*len(rows)))
	for i := range m.Pix {
		m.Pix[i] = rows[i/m.Stride/side][i%m.Stride/side]
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 100}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestAPhotographIsTurnedUpright(t *testing.T) {
	stored := chequered(t, []byte{10, 20}, []byte{30, 40}, []byte{50, 60})
	tests := [...]struct {
		name string
		rows int64
		want []byte
	}{
		{"upright", 3, []byte{10, 20, 30, 40, 50, 60}},
		{"mirrored", 3, []byte{20, 10, 40, 30, 60, 50}},
		{"upside down", 3, []byte{60, 50, 40, 30, 20, 10}},
		{"upside down and mirrored", 3, []byte{50, 60, 30, 40, 10, 20}},
		{"mirrored along the diagonal", 2, []byte{10, 30, 50, 20, 40, 60}},
		{"turned to the right", 2, []byte{50, 30, 10, 60, 40, 20}},
		{"mirrored along the other diagonal", 2, []byte{60, 40, 20, 50, 30, 10}},
		{"turned to the left", 2, []byte{20, 40, 60, 10, 30, 50}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				in, err := dataset.Picture(withEXIF(stored, exif(order, uint16(i+1))), spec(tensor.Uint8, tt.rows, 6/tt.rows), nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, in.Data); diff != "" {
					t.Errorf("orientation %d, %s (-want +got):\n%s", i+1, order, diff)
				}
			}
		})
	}
}

func TestATurnedPictureKeepsItsColours(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 32, 16)) // left red, right blue
	for i := range 32 * 16 {
		m.Pix[4*i+i%32/16*2], m.Pix[4*i+3] = 200, 255
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	in, err := dataset.Picture(withEXIF(b.Bytes(), exif(binary.LittleEndian, 6)), spec(tensor.Uint8, -1, 4, 2, 3), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range in.Data {
		want := 0 // red on top, blue below
		if pixel := i / 3; i%3 == pixel/4*2 {
			want = 200
		}
		if int(v) < want-3 || int(v) > want+3 {
			t.Errorf("byte %d = %d, want about %d", i, v, want)
		}
	}
}

func TestABrokenOrientationIsIgnored(t *testing.T) {
	stored := chequered(t, []byte{10, 20}, []byte{30, 40}, []byte{50, 60})
	good := exif(binary.LittleEndian, 3)
	change := func(at int, b ...byte) []byte {
		broken := slices.Clone(good)
		copy(broken[at:], b)
		return broken
	}
	entry := len(good) - 4 - 12 // of the orientation
	tests := map[string][]byte{
		"an orientation of 0":        exif(binary.LittleEndian, 0),
		"an orientation of 9":        exif(binary.LittleEndian, 9),
		"another type":               change(entry+2, 4),
		"two of them":                change(entry+4, 2),
		"a directory past the end":   change(10, 0xff, 0xff, 0xff, 0xff),
		"a directory at the end":     change(10, byte(len(good)-6-1)),
		"another byte order":         change(6, 'X', 'X'),
		"no TIFF":                    good[:6],
		"entries that are cut off":   good[:entry+11],
		"another part of that kind":  append([]byte("http://ns.adobe.com/xap/1.0/\x00"), good...),
		"an orientation after a cut": append([]byte("Exif\x00"), good...),
	}
	for name, part := range tests {
		t.Run(name, func(t *testing.T) {
			in, err := dataset.Picture(withEXIF(stored, part), spec(tensor.Uint8, 3, 2), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]byte{10, 20, 30, 40, 50, 60}, in.Data); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheOrientationMayFollowOtherParts(t *testing.T) {
	stored := chequered(t, []byte{10, 20})
	data := withEXIF(stored, []byte("http://ns.adobe.com/xap/1.0/\x00<x/>"), exif(binary.LittleEndian, 2), exif(binary.LittleEndian, 1))
	data = slices.Insert(data, 2, 0xff, 0xfe, 0, 4, 'h', 'i', 0xff) // a comment, and a byte that fills
	in, err := dataset.Picture(data, spec(tensor.Uint8, 2, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]byte{20, 10, 20, 10}, in.Data); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(exif(binary.LittleEndian, 6))
	f.Add(exif(binary.BigEndian, 8))
	stored := chequered(f, []byte{10, 20})
	f.Fuzz(func(t *testing.T, part []byte) {
		if len(part) > 1<<15 {
			return
		}
		if _, err := dataset.Picture(withEXIF(stored, part), spec(tensor.Uint8, 2, 2), nil); err != nil {
			t.Errorf("a picture with the part %q: %v", part, err)
		}
	})
}

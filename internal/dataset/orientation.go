package dataset

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
)

// orientation says which way the rows and columns of a stored picture lie when
// it is upright, from 1 to 8 (Exif 2.32, tag 0x0112).
type orientation uint16

// The orientations, by where the first stored row and the first stored column
// belong.
const (
	topLeft orientation = iota + 1 // upright
	topRight
	bottomRight
	bottomLeft
	leftTop
	rightTop
	rightBottom
	leftBottom
)

// orientationOf returns the orientation that the EXIF part of a JPEG gives, and
// topLeft where there is none, or none that makes sense. Parts are looked at up
// to the first scan (ITU-T T.81, B.1.1 and B.2.1).
func orientationOf(data []byte) orientation {
	const (
		startOfScan, endOfImage, app1 = 0xda, 0xd9, 0xe1
		fill                          = 0xff
	)
	data = data[min(2, len(data)):] // the start of the image
	for len(data) >= 4 && data[0] == fill {
		marker := data[1]
		if marker == fill {
			data = data[1:]
			continue
		}
		length := int(binary.BigEndian.Uint16(data[2:])) // its own two bytes count
		if marker == startOfScan || marker == endOfImage || length < 2 || length > len(data)-2 {
			break
		}
		part := data[4 : 2+length]
		if tiff, isEXIF := bytes.CutPrefix(part, []byte("Exif\x00\x00")); marker == app1 && isEXIF {
			return orientationIn(tiff)
		}
		data = data[2+length:]
	}
	return topLeft
}

// orientationIn reads the first directory of a TIFF file, which EXIF is (TIFF
// 6.0, section 2).
func orientationIn(tiff []byte) orientation {
	const (
		header, entry    = 8, 12 // bytes
		tag, short, unit = 0x0112, 3, 1
	)
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case len(tiff) < header:
		return topLeft
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		order = binary.BigEndian
	case !bytes.HasPrefix(tiff, []byte("II*\x00")):
		return topLeft
	}
	at := order.Uint32(tiff[4:])
	if uint64(at)+2 > uint64(len(tiff)) {
		return topLeft
	}
	count, entries := int(order.Uint16(tiff[at:])), tiff[at+2:]
	for range min(count, len(entries)/entry) {
		if order.Uint16(entries) == tag {
			if o := orientation(order.Uint16(entries[8:])); order.Uint16(entries[2:]) == short && order.Uint32(entries[4:]) == unit && o >= topLeft && o <= leftBottom {
				return o
			}
			return topLeft
		}
		entries = entries[entry:]
	}
	return topLeft
}

// turned is a picture seen upright.
type turned struct {
	image.Image
	how orientation
}

// upright returns the picture as it is to be seen.
func upright(picture image.Image, how orientation) image.Image {
	if how == topLeft {
		return picture
	}
	return turned{picture, how}
}

// Bounds implements image.Image. It begins at 0, 0.
func (t turned) Bounds() image.Rectangle {
	stored := t.Image.Bounds()
	if t.how >= leftTop {
		return image.Rect(0, 0, stored.Dy(), stored.Dx())
	}
	return image.Rect(0, 0, stored.Dx(), stored.Dy())
}

// At implements image.Image.
func (t turned) At(x, y int) color.Color {
	stored := t.Image.Bounds()
	if t.how >= leftTop { // stored rows are columns
		x, y = y, x
	}
	mirrorX, mirrorY := t.mirrored()
	if mirrorX {
		x = stored.Dx() - 1 - x
	}
	if mirrorY {
		y = stored.Dy() - 1 - y
	}
	return t.Image.At(stored.Min.X+x, stored.Min.Y+y)
}

// mirrored reports whether stored columns run from right to left, and stored
// rows from bottom to top; where rows are seen as columns, bottom to top and
// right to left.
func (t turned) mirrored() (columns, rows bool) {
	switch t.how {
	case topRight, leftBottom:
		return true, false
	case bottomRight, rightBottom:
		return true, true
	case bottomLeft, rightTop:
		return false, true
	case topLeft, leftTop:
	}
	return false, false
}

package dataset

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"

	"verge/internal/fault"
)

// codec reads one kind of picture.
type codec struct {
	magic, name string
	config      func(io.Reader) (image.Config, error)
	decode      func(io.Reader) (image.Image, error)
}

// codecs are the kinds of picture that are read.
var codecs = [...]codec{ //nolint:gochecknoglobals // a constant table
	{"\x89PNG\r\n\x1a\n", "PNG", png.DecodeConfig, png.Decode},
	{"\xff\xd8\xff", jpegName, jpeg.DecodeConfig, jpeg.Decode},
	{"BM", "BMP", bmp.DecodeConfig, bmp.Decode},
}

const jpegName = "JPEG"

// pictureKinds are other kinds of picture by the bytes that they begin with.
var pictureKinds = [...]struct{ magic, name string }{ //nolint:gochecknoglobals // a constant table
	{"GIF8", "GIF"},
	{"RIFF", "WebP"},
	{"II*\x00", "TIFF"},
	{"MM\x00*", "TIFF"},
	{"\x00\x00\x00\x0cJXL ", "JPEG XL"},
	{"\x00\x00\x00\x1cftyp", "HEIC or AVIF"},
	{"\x00\x00\x00\x18ftyp", "HEIC or AVIF"},
	{"\x00\x00\x00\x20ftyp", "HEIC or AVIF"},
	{"%PDF", "PDF"},
}

// codecOf returns the codec for a picture, or says why there is none.
func codecOf(data []byte) (codec, error) {
	const hint = "Convert it to PNG, JPEG or BMP."
	for _, c := range codecs {
		if bytes.HasPrefix(data, []byte(c.magic)) {
			return c, nil
		}
	}
	for _, kind := range pictureKinds {
		if bytes.HasPrefix(data, []byte(kind.magic)) {
			return codec{}, fault.New(fault.Unsupported, opPicture, "the picture is %s; this version reads PNG, JPEG and BMP", kind.name).WithHint(hint)
		}
	}
	return codec{}, invalid(opPicture, "the data is not a PNG, JPEG or BMP picture").WithHint(hint)
}

// decode reads a picture whose size it has checked, and turns it upright.
func decode(data []byte) (image.Image, error) {
	c, err := codecOf(data)
	if err != nil {
		return nil, err
	}
	config, err := c.config(bytes.NewReader(data))
	if err != nil {
		return nil, c.refusal(err)
	}
	if config.Width < 1 || config.Height < 1 {
		return nil, invalid(opPicture, "the picture is empty: %d×%d pixels", config.Width, config.Height).WithHint(damagedHint)
	}
	if config.Width > MaxPixels/config.Height {
		return nil, fault.New(fault.TooLarge, opPicture, "the picture has %d×%d pixels, the limit is %d in all", config.Width, config.Height, MaxPixels).
			WithHint("Shrink the picture.")
	}
	picture, err := c.decode(bytes.NewReader(data))
	if err != nil {
		return nil, c.refusal(err)
	}
	if c.name == jpegName {
		picture = upright(picture, orientationOf(data))
	}
	return picture, nil
}

const damagedHint = "Copy or export the picture again; the file is damaged or was cut off."

// refusal is the error for a picture that the codec does not read.
func (c codec) refusal(err error) error {
	if errors.Is(err, bmp.ErrUnsupported) {
		return fault.New(fault.Unsupported, opPicture, "the BMP picture is packed, or has a header or a number of bits that this version does not read").
			WithHint("Convert it to PNG, or to BMP of 24 bits without compression.")
	}
	if errors.Is(err, io.EOF) { // between two rows of a BMP
		err = io.ErrUnexpectedEOF
	}
	return invalid(opPicture, "read the %s picture: %w", c.name, err).WithHint(damagedHint)
}

package tensor

import "math"

// Half returns the value of an FP16 element.
func Half(bits uint16) float32 {
	sign := uint32(bits>>15) << 31
	exponent, fraction := uint32(bits>>10&0x1f), uint32(bits&0x3ff)
	switch exponent {
	case 0: // zero, or a subnormal: fraction × 2^-24
		f := float32(fraction) * 0x1p-24
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// ToHalf returns the FP16 element nearest to f, of two the even one. What is too
// large becomes an infinity; NaN stays NaN.
func ToHalf(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000) // one bit
	a := bits &^ (1 << 31)
	switch {
	case a > 0xff<<23:
		return sign | 0x7e00 | uint16(a>>13&0x3ff) // a quiet NaN with the upper bits of its payload
	case a >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case a < 0x38800000: // below 2^-14: in units of 2^-24, which is exact in float64
		n := math.RoundToEven(float64(math.Float32frombits(a)) * 0x1p24)
		return sign | uint16(n)
	}
	a += 0xfff + a>>13&1                       // round half to even
	return sign | uint16((a-(127-15)<<23)>>13) // compared above
}

// BFloat returns the value of a BF16 element.
func BFloat(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }

// ToBFloat returns the BF16 element nearest to f, of two the even one; NaN stays NaN.
func ToBFloat(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f { // NaN, kept quiet so that its payload cannot round to an infinity
		return uint16(bits>>16) | 0x40 // the upper half
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16) // the upper half
}

package strictjson

import (
	"math"
	"math/bits"
	"strconv"
)

// number is what the text of a number says: ±digits × 10^exponent, where it has at
// most 19 digits. Where it has more, long is set, and digits and exponent mean nothing.
type number struct {
	start    int
	negative bool
	long     bool
	digits   uint64
	exponent int
}

const (
	mostDigits  = 19      // any number of so many digits fits 64 bits
	hugeDecimal = 1 << 30 // no exponent beyond it makes a difference
)

// number reads a number. It stays where it is unless it succeeds.
func (s *Scanner) number(n *number) error {
	if s.err == nil && s.shortNumber(n) {
		return nil
	}
	if err := s.want(Number); err != nil {
		return err
	}
	text, i := s.text, s.pos
	*n = number{start: i}
	if text[i] == '-' {
		n.negative = true
		i++
	}
	if i >= len(text) || text[i] < '0' || text[i] > '9' {
		return s.failAt(i, "no digit, want one in a number")
	}
	from := i
	i, count := n.take(text, i, 0, 0, 1)
	if text[from] == '0' && i > from+1 {
		return s.failAt(from, "a number that begins with 0")
	}
	if i < len(text) && text[i] == '.' {
		from = i + 1
		if i, _ = n.take(text, from, count, -1, 0); i == from {
			return s.failAt(i, "no digit, want one after the point of a number")
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		exponent, end := decimalExponent(text, i+1)
		if end == 0 {
			return s.failAt(i, "no digit, want one in the exponent of a number")
		}
		n.exponent += exponent
		i = end
	}
	s.pos = i
	return nil
}

// take reads the digits from i on, where count were taken before them, without
// leading zeros. The exponent changes by inside for each digit that is taken, and by
// beyond for each that is one too many. It returns where the digits end, and the count.
func (n *number) take(text []byte, i, count, inside, beyond int) (end, taken int) {
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		if count == mostDigits {
			n.long = true
			n.exponent += beyond
			continue
		}
		n.digits = n.digits*10 + uint64(text[i]-'0')
		n.exponent += inside
		if n.digits != 0 {
			count++
		}
	}
	return i, count
}

// shortNumber reads a number that begins here, has at most 18 digits and no
// exponent, as most have. It leaves all others, and all that is wrong, to number.
func (s *Scanner) shortNumber(n *number) bool {
	const most = 18 // digits that cannot overflow
	text, i := s.text, s.pos
	negative := i < len(text) && text[i] == '-'
	if negative {
		i++
	}
	var mantissa uint64
	from := i
	for ; i < len(text) && text[i]-'0' <= 9; i++ {
		mantissa = mantissa*10 + uint64(text[i]-'0')
	}
	digits, decimals := i-from, 0
	if digits == 0 || digits > 1 && text[from] == '0' {
		return false
	}
	if i < len(text) && text[i] == '.' {
		i++
		from = i
		for ; i < len(text) && text[i]-'0' <= 9; i++ {
			mantissa = mantissa*10 + uint64(text[i]-'0')
		}
		if decimals = i - from; decimals == 0 {
			return false
		}
	}
	if digits+decimals > most || i < len(text) && text[i]|0x20 == 'e' {
		return false
	}
	*n = number{start: s.pos, negative: negative, digits: mantissa, exponent: -decimals}
	s.pos = i
	return true
}

// decimalExponent reads an exponent behind its e. end is 0 where there is none.
func decimalExponent(text []byte, i int) (exponent, end int) {
	negative := false
	if i < len(text) && (text[i] == '+' || text[i] == '-') {
		negative = text[i] == '-'
		i++
	}
	for ; i < len(text) && text[i] >= '0' && text[i] <= '9'; i++ {
		exponent = min(exponent*10+int(text[i]-'0'), hugeDecimal)
		end = i + 1
	}
	if negative {
		exponent = -exponent
	}
	return exponent, end
}

// whole returns the absolute value of a number that is whole. exact is false
// where it is not; fits is false where it does not fit 64 bits.
func (s *Scanner) whole(n *number) (value uint64, exact, fits bool) {
	value, exponent := n.digits, n.exponent
	if n.long {
		return s.wholeLong(n)
	}
	for ; exponent < 0 && value != 0; exponent++ {
		if value%10 != 0 {
			return 0, false, true
		}
		value /= 10
	}
	for ; exponent > 0 && value != 0; exponent-- {
		high, low := bits.Mul64(value, 10)
		if high != 0 {
			return 0, true, false
		}
		value = low
	}
	return value, true, true
}

// wholeLong is whole for a number of more than 19 digits, read once more from
// the text.
func (s *Scanner) wholeLong(n *number) (value uint64, exact, fits bool) {
	exponent, zeros, fraction, fits := 0, 0, false, true
	for i := n.start; i < s.pos; i++ {
		switch c := s.text[i]; {
		case c == '.':
			fraction = true
		case c|0x20 == 'e':
			e, _ := decimalExponent(s.text, i+1)
			exponent += e
			i = s.pos
		case c >= '0' && c <= '9':
			if fraction {
				exponent--
			}
			if c == '0' {
				zeros++ // counted in once another digit follows
				continue
			}
			for ; zeros > 0; zeros-- {
				value, fits = times10(value, 0, fits)
			}
			value, fits = times10(value, uint64(c-'0'), fits)
		}
	}
	exponent += zeros
	if value == 0 && fits {
		return 0, true, true
	}
	if exponent < 0 {
		return 0, false, fits
	}
	for ; exponent > 0 && fits; exponent-- {
		value, fits = times10(value, 0, fits)
	}
	return value, true, fits
}

// times10 returns value×10+digit, and whether all so far has fitted.
func times10(value, digit uint64, fits bool) (uint64, bool) {
	high, low := bits.Mul64(value, 10)
	sum, carry := bits.Add64(low, digit, 0)
	return sum, fits && high == 0 && carry == 0
}

// Int reads an integer of at most size bits: 8, 16, 32 or 64.
func (s *Scanner) Int(size int) (int64, error) {
	var n number
	if err := s.number(&n); err != nil {
		return 0, err
	}
	value, exact, fits := s.whole(&n)
	limit := uint64(1) << (size - 1)
	switch {
	case !exact:
		return 0, s.failAt(n.start, "%s is not a whole number", s.spelt(&n))
	case !fits || value > limit || value == limit && !n.negative:
		return 0, s.failAt(n.start, "%s is outside %d to %d", s.spelt(&n), -int64(limit-1)-1, limit-1) //nolint:gosec // limit-1 fits
	case n.negative:
		return -int64(value), nil //nolint:gosec // at most 2^63, whose negative is itself
	}
	return int64(value), nil //nolint:gosec // compared above
}

// Uint reads an integer of at most size bits that is not negative.
func (s *Scanner) Uint(size int) (uint64, error) {
	var n number
	if err := s.number(&n); err != nil {
		return 0, err
	}
	value, exact, fits := s.whole(&n)
	limit := uint64(math.MaxUint64) >> (64 - size)
	switch {
	case !exact:
		return 0, s.failAt(n.start, "%s is not a whole number", s.spelt(&n))
	case !fits || value > limit || n.negative && value != 0:
		return 0, s.failAt(n.start, "%s is outside 0 to %d", s.spelt(&n), limit)
	}
	return value, nil
}

// pow10 holds the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{ //nolint:gochecknoglobals // a constant table
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// fast returns the float64 nearest to n, where one multiplication or division of
// exact values gives it.
func (n *number) fast() (float64, bool) {
	if n.long || n.digits >= 1<<53 || n.exponent < -22 || n.exponent > 22 {
		return 0, false
	}
	f := float64(n.digits)
	if n.exponent < 0 {
		f /= pow10[-n.exponent]
	} else {
		f *= pow10[n.exponent]
	}
	if n.negative {
		f = -f
	}
	return f, true
}

// Float64 reads a number, rounded to the nearest float64. One that rounds to
// infinity is refused.
func (s *Scanner) Float64() (float64, error) {
	var n number
	if err := s.number(&n); err != nil {
		return 0, err
	}
	if f, ok := n.fast(); ok {
		return f, nil
	}
	f, err := strconv.ParseFloat(string(s.text[n.start:s.pos]), 64)
	if err != nil {
		return 0, s.failAt(n.start, "%s is too large for 64 bits of floating point", s.spelt(&n))
	}
	return f, nil
}

// Float32 reads a number, rounded once to the nearest float32. One that rounds
// to infinity is refused.
func (s *Scanner) Float32() (float32, error) {
	var n number
	if err := s.number(&n); err != nil {
		return 0, err
	}
	if f, ok := n.fast(); ok && singleRounding(f) {
		return float32(f), nil
	}
	f, err := strconv.ParseFloat(string(s.text[n.start:s.pos]), 32)
	if err != nil {
		return 0, s.failAt(n.start, "%s is too large for 32 bits of floating point", s.spelt(&n))
	}
	return float32(f), nil
}

// singleRounding reports whether rounding f, itself the float64 nearest to some
// number, to a float32 gives the float32 nearest to that number. It does unless f
// lies exactly between two of them; numbers near the ends of the range are left out.
func singleRounding(f float64) bool {
	const halfway, below = 1 << 28, 1<<29 - 1
	a := math.Abs(f)
	return f == 0 || a >= 0x1p-126 && a < 0x1p127 && math.Float64bits(f)&below != halfway
}

// spelt returns the text of a number for a message.
func (s *Scanner) spelt(n *number) string {
	const limit = 40
	text := s.text[n.start:s.pos]
	if len(text) > limit {
		return string(text[:limit]) + "…"
	}
	return string(text)
}

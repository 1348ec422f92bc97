package openvino

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"verge/internal/fault"
	"verge/internal/tensor"
)

// maxElements is such that the size of the widest element type fits an int64.
const maxElements = math.MaxInt64 / 8

// shape is a shape that is read dimension by dimension. The zero value is a scalar's.
type shape struct {
	dims    []int64 // the first tensor.MaxRank of them; -1 is dynamic
	rank    int
	less1   int64 // product of the dimensions that are neither 0 nor dynamic, less 1; -1 once it has overflowed
	zero    bool
	dynamic bool
	anyRank bool // then nothing else is known
}

// add notes one more dimension, which is -1 or more.
func (s *shape) add(dim int64) {
	if s.rank++; s.rank <= tensor.MaxRank {
		s.dims = append(s.dims, dim)
	}
	switch {
	case dim < 0:
		s.dynamic = true
	case dim == 0:
		s.zero = true
	case s.less1 < 0:
	case dim > maxElements/(s.less1+1):
		s.less1 = -1
	default:
		s.less1 = (s.less1+1)*dim - 1
	}
}

// elements returns the product, in which a dynamic dimension is 1; false where
// it is over maxElements or not known.
func (s *shape) elements() (int64, bool) {
	switch {
	case s.anyRank || s.less1 < 0:
		return 0, false
	case s.zero:
		return 0, true
	}
	return s.less1 + 1, true
}

// parseShape reads attribute shape of a Parameter layer (partial_shape.cpp and
// dimension.cpp of OpenVINO): "1,3,?", "[1..4,-1]", "..." for any rank, "" for
// a scalar. A range of more than one number is dynamic.
func parseShape(text string) (shape, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		text = strings.TrimSpace(text[1 : len(text)-1])
	}
	switch text {
	case "...":
		return shape{anyRank: true}, nil
	case "":
		return shape{}, nil
	}
	var s shape
	for part := range strings.SplitSeq(text, ",") {
		dim, err := parseDimension(strings.TrimSpace(part))
		if err != nil {
			return s, err
		}
		s.add(dim)
	}
	return s, nil
}

// parseDimension reads one dimension of a Parameter layer.
func parseDimension(text string) (int64, error) {
	if text == "?" || text == "-1" {
		return -1, nil
	}
	low, high, ranged := strings.Cut(text, "..")
	if !ranged {
		return parseCount(text, text)
	}
	from, to := int64(0), int64(-1)
	var err error
	if low = strings.TrimSpace(low); low != "" {
		if from, err = parseCount(low, text); err != nil {
			return 0, err
		}
	}
	if high = strings.TrimSpace(high); high != "" {
		if to, err = parseCount(high, text); err != nil {
			return 0, err
		}
	}
	if from == to {
		return from, nil
	}
	return -1, nil
}

// parseCount reads a number of 0 or more; text is what it stands in.
func parseCount(number, text string) (int64, error) {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || number[0] == '+' { // an empty one is an error before
		return 0, fmt.Errorf("dimension %s is not a number, a range or ?", fault.Quote(text))
	}
	return n, nil
}

// parseStatic reads attribute shape of a Const layer: numbers with commas.
func parseStatic(text string) (shape, error) {
	var s shape
	if strings.TrimSpace(text) == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		n, err := parseCount(part, part)
		if err != nil {
			return s, fmt.Errorf("dimension %s is not a number", fault.Quote(part))
		}
		s.add(n)
	}
	return s, nil
}

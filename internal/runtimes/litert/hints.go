package litert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"verge/internal/fault"
)

// Operators that say for what a model was made, as edgeTPUOperator does.
const (
	ethosOperator = "ethos-u"
	flexPrefix    = "Flex" // of TensorFlow's own
)

// bundled are the custom operators that both libraries have.
var bundled = []string{"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"} //nolint:gochecknoglobals // a constant table

// liteOperators are the custom operators that LiteRT has besides these.
var liteOperators = []string{"Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D"} //nolint:gochecknoglobals // a constant table

// What a user can do about values that LiteRT does not take.
const (
	hintStrings   = "Set deployment.runtime to tflite: the classic TensorFlow Lite library takes strings."
	hintVariables = "Set deployment.runtime to tflite: the classic TensorFlow Lite library runs them. Compare its answers (tests.functional_test.golden): its integer kernels are older."
)

// withHint adds what a user can do about a model that no place took.
func (s *session) withHint(err *fault.Error, f *failure) *fault.Error {
	operator, missing := f.missing()
	switch {
	case !missing:
		return err
	case operator != edgeTPUOperator:
		return err.WithHint("%s", operatorHint(operator))
	case slices.Contains(s.info.ProvidersRequested, providerEdgeTPU) && len(s.info.Fallbacks) > 0:
		return err.WithHint("The model was compiled for an Edge TPU and runs nowhere else; %s.", s.info.Fallbacks[0])
	}
	return err.WithHint("Set deployment.device_type to tpu: the model was compiled for an Edge TPU, which needs the runtime tflite and libedgetpu.")
}

// endHint says what a user can do about an input or output that LiteRT does not take.
func (o *outline) endHint(err error) string {
	var element *elementError
	switch {
	case !errors.As(err, &element) || element.number != elementText:
		return "Export the model with inputs and outputs of numbers."
	case o.custom != "":
		return fmt.Sprintf("The model needs the operator %s as well. %s", fault.Clip(o.custom), operatorHint(o.custom))
	}
	return hintStrings
}

// missing returns the custom operator that the library lacks, if that is why it failed.
func (f *failure) missing() (operator string, ok bool) {
	if strings.Contains(f.text, "Select TensorFlow op(s)") {
		return flexPrefix, true
	}
	_, rest, ok := strings.Cut(f.text, "unresolved custom op: ")
	operator, _, _ = strings.Cut(rest, ";")
	return operator, ok
}

// operatorHint says what a user can do about a custom operator that the library lacks.
func operatorHint(operator string) string {
	switch {
	case operator == ethosOperator:
		return "The model was compiled by Vela for an Arm Ethos-U: give the file that Vela was given."
	case strings.HasPrefix(operator, flexPrefix):
		return "Convert the model again without operators of TensorFlow (SELECT_TF_OPS)."
	case slices.Contains(liteOperators, operator):
		return "Set deployment.runtime to litert, which has this operator."
	}
	return "Convert the model again with built-in operators only: this one is part of the program that the model was made for."
}

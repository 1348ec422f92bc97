package modelname_test

import (
	"slices"
	"testing"

	"verge/internal/modelname"
)

func TestNamesOfStages(t *testing.T) {
	for name, want := range map[string][]string{
		"digits":             {"digits.production", "digits.staging", "digits", "digits.development"},
		"digits.testing":     {"digits"},
		"digits.production":  {"digits.production"},
		"digits.v2":          {"digits.v2.production", "digits.v2.staging", "digits.v2", "digits.v2.development"},
		"digits.development": {"digits.development"},
		".staging":           {".staging.production", ".staging.staging", ".staging", ".staging.development"},
	} {
		if got := modelname.Order(name); !slices.Equal(got, want) {
			t.Errorf("Order(%q) = %q, want %q", name, got, want)
		}
	}
	for _, stage := range modelname.Stages() {
		model, got, named := modelname.Split(modelname.Served("digits", stage))
		if model != "digits" || got != stage || named != (stage != modelname.Testing) {
			t.Errorf("Split(Served(digits, %s)) = %s, %s, %t", stage, model, got, named)
		}
	}
}

package modelname

import "strings"

// The stages of a model, the highest first: the plain name of a model stands for the
// highest one that has a version.
const (
	Production  = "production"
	Staging     = "staging"
	Testing     = "testing"
	Development = "development"
)

// Stages returns all of them, the highest first.
func Stages() []string { return []string{Production, Staging, Testing, Development} }

// Served is the name under which the version of a stage is served: "digits.staging", and
// "digits" itself for testing, which is the stage of who names none.
func Served(model, stage string) string {
	if stage == Testing || stage == "" {
		return model
	}
	return model + "." + stage
}

// Split is the inverse of Served: the model's plain name, and the stage that the name asks
// for. named says that it does so: a plain name leaves it open.
func Split(name string) (model, stage string, named bool) {
	for _, stage := range Stages() {
		if model, ok := strings.CutSuffix(name, "."+stage); ok && model != "" {
			return model, stage, true
		}
	}
	return name, Testing, false
}

// Order returns the served names that a name may stand for, in the order in which they
// are looked for.
func Order(name string) []string {
	model, stage, named := Split(name)
	if named {
		return []string{Served(model, stage)}
	}
	all := make([]string, 0, len(Stages()))
	for _, stage := range Stages() {
		all = append(all, Served(model, stage))
	}
	return all
}

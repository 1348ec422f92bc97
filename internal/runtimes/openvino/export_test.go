package openvino

import "verge/internal/inference"

// Clean is clean.
func Clean(text string) string { return clean(text) }

// CheckVersion says why a library of that version, without those functions, is refused.
func CheckVersion(version string, lacking ...string) error {
	if err := (&api{version: version}).check(lacking); err != nil {
		return err
	}
	return nil
}

// Property returns a property of a compiled model.
func Property(loaded inference.Session, key string) string {
	s := loaded.(*session)
	return s.property(key)
}

// WithoutProperties returns the runtime as it is over a library that lacks the
// functions of later releases.
func WithoutProperties(rt inference.Runtime) inference.Runtime {
	old := *rt.(*ovRuntime)
	a := *old.api
	for s := firstOptional; s < symbols; s++ {
		a.functions[s] = 0
	}
	old.api = &a
	return &old
}

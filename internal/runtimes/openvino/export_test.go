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

// Compilations returns how often a model was compiled.
func Compilations(loaded inference.Session) int {
	s := loaded.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times
}

// Fluid reports whether a model is compiled again after a run that failed.
func Fluid(loaded inference.Session) bool { return loaded.(*session).fluid }

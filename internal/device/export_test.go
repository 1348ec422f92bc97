package device

// WithAccess returns the machine as a user sees it who may open what access says.
func (m *Machine) WithAccess(access func(name string) bool) *Machine {
	other := *m
	other.access = access
	return &other
}

// MayOpen is what a Machine asks without WithAccess.
func MayOpen(name string) bool { return mayOpen(name) }

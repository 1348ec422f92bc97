package provider

import "verge/internal/device"

// Machine is a machine whose accelerators come with their candidates.
type Machine struct {
	*device.Machine

	Installed func() []Installed // the runtimes' libraries that are here
}

// Devices returns the accelerators of a kind, each with its candidates, and where
// the kind was looked for.
func (m Machine) Devices(kind string) (found []device.Accelerator, lookedFor []string) {
	facts := m.Facts("")
	Add(m.Machine, &facts, m.Installed())
	for _, a := range facts.Accelerators {
		if a.Kind == kind {
			found = append(found, a)
		}
	}
	return found, device.LookedFor()[kind]
}

// Provider is one of a runtime's providers for an accelerator.
type Provider struct{ Kind, Provider string }

// Driven returns the providers of a runtime that this version has an adapter for, in
// the order in which a device is served best.
func Driven(runtime string) []Provider {
	var all []Provider
	for _, e := range table {
		if e.adapter && e.runtime == runtime {
			all = append(all, Provider{Kind: e.kind, Provider: e.provider})
		}
	}
	return all
}

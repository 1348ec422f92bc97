package onnx

import "verge/internal/fault"

// The newest versions that ONNX had when this was written, 1.23 of 2026, and
// the oldest that ONNX Runtime reads without doubt.
const (
	newestIRVersion = 14
	oldestIRVersion = 3
	newestOpset     = 28
	oldestOpset     = 7
)

// note adds what a person should know before the model is deployed.
func (p *parser) note() {
	switch v := p.m.IRVersion; {
	case v > newestIRVersion:
		p.addNote("IR version %d is newer than %d, the newest that this version knows: a library may refuse it.", v, newestIRVersion)
	case v < oldestIRVersion:
		p.addNote("IR version %d is older than %d: a library may refuse it.", v, oldestIRVersion)
	}
	for _, o := range p.m.Opsets {
		if o.Domain != StandardDomain {
			continue
		}
		switch {
		case o.Version > newestOpset:
			p.addNote("Operator set %d is newer than %d, the newest that this version knows: a library may refuse it.", o.Version, newestOpset)
		case o.Version < oldestOpset:
			p.addNote("Operator set %d is older than %d: a library may refuse it.", o.Version, oldestOpset)
		}
	}
	for _, domain := range p.m.CustomDomains() {
		p.addNote("Operators of %s need an extension of the library.", fault.Clip(domain))
	}
	if p.training {
		p.addNote("The file holds information for training, which is not used.")
	}
}

package litert

import (
	"path/filepath"
	"sync"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
)

// Tags and types of LiteRtEnvOption.
const (
	tagCompilerPlugins = 0  // directory of vendors' compilers for NPUs
	tagDispatch        = 1  // directory of vendors' libraries that run what they compiled
	tagLibraries       = 22 // directory of accelerators
	tagAccelerators    = 24 // mask of accelerators to look for
	tagSeverity        = 25 // lowest severity that is written to the standard error

	typeInt  = 2
	typeText = 8

	severityWarning = 2
	severitySilent  = 4
)

// envOption is a LiteRtEnvOption: 24 bytes.
type envOption struct {
	tag   int32
	_     int32
	kind  int32
	_     int32
	value uintptr
}

// environment is a LiteRtEnvironment: one for each library, kept as long as the
// process.
type environment struct {
	handle       uintptr
	accelerators []accelerator
}

// accelerator is what the library can hand a model's operators to.
type accelerator struct {
	name string
	mask int32 // of LiteRtHwAccelerators
}

// Bits of LiteRtHwAccelerators.
const (
	onCPU = 1
	onGPU = 2
	onNPU = 4
)

// environments are those of this process.
type environments struct {
	mu        sync.Mutex               // guards byLibrary
	byLibrary map[uintptr]*environment // by the address of one of its functions
}

var process environments //nolint:gochecknoglobals // the library keeps one log level and one set of accelerators for each process

// get returns the environment of a library, and makes it on first use.
func (p *environments) get(a *api) (*environment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := a.functions[createEnvironment]
	if env := p.byLibrary[key]; env != nil {
		return env, nil
	}
	env := &environment{}
	var failed *failure
	if env.handle, failed = a.newEnvironment(severitySilent, a.beside()); failed != nil {
		return nil, failed.fault(fault.Internal, "litert.open").On(a.path)
	}
	if env.accelerators, failed = a.accelerators(env.handle); failed != nil {
		return nil, failed.fault(fault.Internal, "litert.open").On(a.path)
	}
	if p.byLibrary == nil {
		p.byLibrary = map[uintptr]*environment{}
	}
	p.byLibrary[key] = env
	return env, nil
}

// beside returns the mask of accelerators whose libraries lie beside the library.
// Others are not looked for: the library would search the system's folders for them.
func (a *api) beside() uintptr {
	mask := uintptr(onCPU)
	for pattern, bit := range map[string]uintptr{"libLiteRt*Accelerator*.so": onGPU, "libLiteRtDispatch*.so": onNPU} {
		if found, err := filepath.Glob(filepath.Join(filepath.Dir(a.path), pattern)); err == nil && len(found) > 0 {
			mask |= bit
		}
	}
	return mask
}

// newEnvironment makes an environment with those of the accelerators that it finds
// beside the library. The severity holds for all of the process from then on.
func (a *api) newEnvironment(severity, accelerators uintptr) (uintptr, *failure) {
	folder := a.text(filepath.Dir(a.path)) // the library keeps it
	options := []envOption{
		{tag: tagSeverity, kind: typeInt, value: severity},
		{tag: tagAccelerators, kind: typeInt, value: accelerators},
		{tag: tagLibraries, kind: typeText, value: folder},
		{tag: tagCompilerPlugins, kind: typeText, value: folder},
		{tag: tagDispatch, kind: typeText, value: folder},
	}
	var env uintptr
	s := a.call(createEnvironment, uintptr(len(options)), uintptr(unsafe.Pointer(&options[0])), uintptr(unsafe.Pointer(&env)))
	return env, fail(s)
}

// accelerators lists what the library has found. That one is there does not say that
// its device is.
func (a *api) accelerators(env uintptr) ([]accelerator, *failure) {
	count, s := a.get(getNumAccelerators, env)
	if s != statusOK {
		return nil, fail(s)
	}
	var all []accelerator
	for i := range count {
		handle, s := a.getAt(getAccelerator, env, i)
		if s != statusOK {
			return nil, fail(s)
		}
		name, s := a.get(getAcceleratorName, handle)
		if s != statusOK {
			return nil, fail(s)
		}
		mask, s := a.get(getAcceleratorSupport, handle)
		if s != statusOK {
			return nil, fail(s)
		}
		all = append(all, accelerator{name: native.String(name, 256), mask: int32(mask)}) //nolint:gosec // the library wrote an int
	}
	return all, nil
}

// has reports whether one of the accelerators is for that device.
func (e *environment) has(mask int32) bool {
	for _, acc := range e.accelerators {
		if acc.mask&mask != 0 {
			return true
		}
	}
	return false
}

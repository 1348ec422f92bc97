package onnxruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
)

// libraryOption is the key of a provider's options that names its plug-in library.
const libraryOption = "library"

// isLibrary reports whether a provider's name is the path of a plug-in library.
func isLibrary(name string) bool {
	return strings.Contains(name, "/") || strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}

// providerDevice is an OrtEpDevice: a device as a provider of a plug-in drives it.
type providerDevice struct {
	handle   uintptr // belongs to the environment
	provider string
	kind     string // "cpu", "gpu" or "npu"
}

// devices are all that the environment knows.
func (env *environment) devices(a *api) ([]providerDevice, *statusError) {
	var list, count uintptr
	if status := a.call(getProviderDevices, env.handle, uintptr(unsafe.Pointer(&list)), uintptr(unsafe.Pointer(&count))); status != nil {
		return nil, status
	}
	var devices []providerDevice
	for _, handle := range native.Words(list, int(count)) { // in memory already
		hardware := native.Call(a.functions[providerDeviceHardware], handle)
		kind := "cpu"
		switch int32(native.Call(a.functions[hardwareType], hardware)) { //nolint:gosec // the function returns an enum
		case 1:
			kind = "gpu"
		case 2:
			kind = "npu"
		}
		devices = append(devices, providerDevice{handle, native.String(native.Call(a.functions[providerDeviceName], handle), 256), kind})
	}
	return devices, nil
}

// plugin is a library of providers that is registered with the environment. It stays
// so, as it stays loaded.
type plugin struct {
	devices  []providerDevice // that it drives here
	messages *journal         // of its registration
}

// plugin registers a plug-in library on first use, under a name that the library may
// take for that of its provider. It fails as native.Open does, and with
// fault.Unsupported where the library has no providers or the runtime refuses it.
func (env *environment) plugin(a *api, path, name string) (*plugin, *fault.Error) {
	const op = "onnxruntime.plugin"
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	env.registering.Lock()
	defer env.registering.Unlock()
	if p := env.plugins[path]; p != nil {
		return p, nil
	}
	library, err := native.Open(path)
	if err != nil {
		return nil, asFault(err, op)
	}
	if _, err = library.Symbol("CreateEpFactories"); err != nil {
		return nil, fault.New(fault.Unsupported, op, "not a library of execution providers: it has no function CreateEpFactories").On(path)
	}
	before, status := env.devices(a)
	if status != nil {
		return nil, status.fault(fault.Internal, op)
	}
	p := &plugin{messages: &journal{}}
	if failure := env.register(a, path, name, p.messages); failure != nil {
		return nil, p.messages.explain(failure).On(path)
	}
	after, status := env.devices(a)
	if status != nil {
		return nil, status.fault(fault.Internal, op)
	}
	p.devices = slices.DeleteFunc(after, func(d providerDevice) bool {
		return slices.ContainsFunc(before, func(b providerDevice) bool { return b.handle == d.handle })
	})
	if env.plugins == nil {
		env.plugins = map[string]*plugin{}
	}
	env.plugins[path] = p
	return p, nil
}

// asFault returns err as a fault of the operation.
func asFault(err error, op string) *fault.Error {
	var failure *fault.Error
	if !errors.As(err, &failure) {
		return fault.New(fault.Internal, op, "%w", err)
	}
	return &fault.Error{Kind: failure.Kind, Op: op, Subject: failure.Subject, Hint: failure.Hint, Err: failure.Err}
}

// register hands a library to the runtime. A name that is taken gets a number.
func (env *environment) register(a *api, path, name string, messages *journal) *fault.Error {
	const op = "onnxruntime.plugin"
	if slices.Contains(env.registered, name) {
		name += "-" + strconv.Itoa(len(env.registered))
	}
	registration, err := native.CString(name)
	if err != nil {
		return &fault.Error{Kind: fault.Invalid, Op: op, Err: err}
	}
	file, err := native.CString(path)
	if err != nil {
		return &fault.Error{Kind: fault.Invalid, Op: op, Err: err}
	}
	defer keepSignalStack()()
	defer env.onThread(messages)()
	if status := a.call(registerProviderLibrary, env.handle, uintptr(unsafe.Pointer(&registration[0])), uintptr(unsafe.Pointer(&file[0]))); status != nil {
		return status.fault(fault.Unsupported, op)
	}
	env.registered = append(env.registered, name)
	return nil
}

// pluginStem is how the files of plug-ins are called, up to the provider's short name.
const pluginStem = "libonnxruntime_providers_"

// pluginName is the name under which to register a candidate's library: the
// provider's where that is known, else the stem of the file.
func (c candidate) pluginName() string {
	name := c.name
	if isLibrary(name) {
		name, _, _ = strings.Cut(filepath.Base(c.library), ".so")
		name = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, pluginStem), "lib"), "_plugin")
	}
	if b := findBuiltin(name); b != nil {
		return b.name
	}
	return name
}

// pluginBeside returns the path of a plug-in with the provider that lies beside the
// runtime's library; "" where there is none.
func pluginBeside(library string, b *builtin) string {
	for _, end := range []string{".so", "_plugin.so"} {
		path := filepath.Join(filepath.Dir(library), pluginStem+strings.ToLower(b.short)+end)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && b.short != "" {
			return path
		}
	}
	return ""
}

// resolve opens the plug-in of a candidate and chooses the device: the first of the
// kind that is asked for. Where that is a CPU and the plug-in has none, it is any:
// a plug-in was asked for by name then, and the CPU is only the default.
func (c candidate) resolve(a *api, env *environment) (candidate, *fault.Error) {
	if c.library == "" {
		return c, nil
	}
	p, failure := env.plugin(a, c.library, c.pluginName())
	if failure != nil {
		return c, failure
	}
	i := slices.IndexFunc(p.devices, func(d providerDevice) bool { return d.kind == c.device })
	if i < 0 && c.device == "cpu" && len(p.devices) > 0 {
		i = 0
	}
	if i < 0 {
		return c, p.messages.explain(fault.New(fault.Unsupported, "onnxruntime.plugin", "%s", p.has()).On(c.library))
	}
	c.name, c.device, c.handle = p.devices[i].provider, p.devices[i].kind, p.devices[i].handle
	return c, nil
}

// has says what a plug-in drives here.
func (p *plugin) has() string {
	if len(p.devices) == 0 {
		return "the library finds no device here that it can drive"
	}
	var list []string
	for _, d := range p.devices {
		list = append(list, fmt.Sprintf("%s on a %s", d.provider, d.kind))
	}
	return fmt.Sprintf("the library has %s", strings.Join(list, ", "))
}

// addPlugin adds the device of a plug-in to session options.
func (c candidate) addPlugin(a *api, env *environment, options uintptr) error {
	p, err := newPairs(c.options)
	if err != nil {
		return err
	}
	defer runtime.KeepAlive(p)
	handles := [1]uintptr{c.handle}
	if status := a.call(addProviderDevices, options, env.handle, uintptr(unsafe.Pointer(&handles[0])), 1,
		first(p.keys), first(p.values), uintptr(len(p.keys))); status != nil {
		return status
	}
	return nil
}

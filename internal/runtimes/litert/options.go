package litert

import (
	"fmt"
	"strings"
	"unsafe"

	"verge/internal/native"
)

// How the library runs operators on the CPU, kernel_mode of its CPU options.
const (
	kernelsXNNPACK   = "delegate"  // whole parts of the graph by XNNPACK
	kernelsBuiltin   = "builtin"   // each operator by TensorFlow Lite's optimised kernel
	kernelsReference = "reference" // each operator by its plainest kernel
)

// Where the library's error texts go, error_reporter_mode of its runtime options.
const (
	reportToStderr = 1
	reportToBuffer = 2
)

// settings say how a model is compiled.
type settings struct {
	accelerators int32 // mask
	kernels      string
	threads      int
	cache        string // file with weights as XNNPACK wants them; "" for none
	reports      int
	profile      bool // measures each operator
}

// newOptions makes a LiteRtOptions, which the caller destroys.
func (a *api) newOptions(s settings) (uintptr, *failure) {
	var options uintptr
	if f := fail(a.call(createOptions, uintptr(unsafe.Pointer(&options)))); f != nil {
		return 0, f
	}
	cpu := fmt.Sprintf("kernel_mode = %q\nnum_threads = %d\n", s.kernels, s.threads)
	if s.cache != "" {
		cpu += "weight_cache_file_path = " + quoteTOML(s.cache) + "\n"
	}
	f := fail(a.call(setAccelerators, options, uintptr(s.accelerators))) //nolint:gosec // a mask
	for identifier, text := range map[string]string{
		"xnnpack":                cpu,
		"runtime_options_string": fmt.Sprintf("error_reporter_mode = %d\nenable_profiling = %t\n", s.reports, s.profile),
	} {
		if f == nil {
			f = a.addOptions(options, identifier, text)
		}
	}
	if f != nil {
		a.destroy(destroyOptions, options)
		return 0, f
	}
	return options, nil
}

// addOptions adds options that the library reads as TOML. They belong to it then.
func (a *api) addOptions(options uintptr, identifier, text string) *failure {
	id, err := native.CString(identifier)
	if err != nil {
		return &failure{status: statusInvalidArgument, text: err.Error()}
	}
	payload := a.text(text)
	var opaque uintptr
	if f := fail(a.call(createOpaqueOptions, uintptr(unsafe.Pointer(&id[0])), payload, a.free, uintptr(unsafe.Pointer(&opaque)))); f != nil {
		native.Call(a.free, payload)
		return f
	}
	return fail(a.call(addOpaqueOptions, options, opaque))
}

// quoteTOML writes a TOML string.
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

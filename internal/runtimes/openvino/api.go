package openvino

import (
	"strings"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
	"verge/internal/version"
)

// MinimumVersion is the oldest version of the library that is used: the first of the
// releases whose ov_core_t, ov_tensor_t and last error message this package was written for.
const MinimumVersion = "2024.0.0"

// maxText is the longest text of the library that is read, in bytes.
const maxText = 16 << 10

// symbol is a function of the library.
type symbol int

// The functions, by the part of their names behind "ov_". What they take is in the
// headers openvino/c/*.h of release 2026.4.
const (
	getVersion symbol = iota
	versionFree
	getErrorInfo  // (status) → a text that stays
	getLastErrMsg // () → a text to be freed
	freeText
	coreCreate
	coreGetAvailableDevices
	availableDevicesFree
	coreReadModel
	coreReadModelFromMemoryBuffer
	coreCompileModel // variadic
	modelIsDynamic   // (model) → bool
	modelFree
	compiledModelInputsSize
	compiledModelOutputsSize
	compiledModelInputByIndex
	compiledModelOutputByIndex
	compiledModelGetProperty
	compiledModelCreateInferRequest
	compiledModelFree
	portGetAnyName
	portGetElementType
	portGetPartialShape
	partialShapeFree
	portFree
	tensorCreateFromHostPtr
	tensorGetShape
	tensorGetByteSize
	tensorGetElementType
	tensorData
	tensorFree
	shapeFree
	setInputTensorByIndex
	setOutputTensorByIndex
	getInputTensorByIndex
	getOutputTensorByIndex
	requestStartAsync
	requestWait
	requestCancel
	requestGetProfilingInfo
	profilingInfoListFree
	requestFree

	firstOptional // what follows is 0 where the library lacks it

	coreCompileModelProps = iota - 1
	modelGetFriendlyName
	modelInputsSize
	modelOutputsSize
	modelInputByIndex
	modelOutputByIndex
	setLogCallback
	symbols
)

// names are the names of the functions in the library.
var names = [symbols]string{ //nolint:gochecknoglobals // a constant table
	getVersion:                      "ov_get_openvino_version",
	versionFree:                     "ov_version_free",
	getErrorInfo:                    "ov_get_error_info",
	getLastErrMsg:                   "ov_get_last_err_msg",
	freeText:                        "ov_free",
	coreCreate:                      "ov_core_create",
	coreGetAvailableDevices:         "ov_core_get_available_devices",
	availableDevicesFree:            "ov_available_devices_free",
	coreReadModel:                   "ov_core_read_model",
	coreReadModelFromMemoryBuffer:   "ov_core_read_model_from_memory_buffer",
	coreCompileModel:                "ov_core_compile_model",
	modelIsDynamic:                  "ov_model_is_dynamic",
	modelFree:                       "ov_model_free",
	compiledModelInputsSize:         "ov_compiled_model_inputs_size",
	compiledModelOutputsSize:        "ov_compiled_model_outputs_size",
	compiledModelInputByIndex:       "ov_compiled_model_input_by_index",
	compiledModelOutputByIndex:      "ov_compiled_model_output_by_index",
	compiledModelGetProperty:        "ov_compiled_model_get_property",
	compiledModelCreateInferRequest: "ov_compiled_model_create_infer_request",
	compiledModelFree:               "ov_compiled_model_free",
	portGetAnyName:                  "ov_port_get_any_name",
	portGetElementType:              "ov_port_get_element_type",
	portGetPartialShape:             "ov_port_get_partial_shape",
	partialShapeFree:                "ov_partial_shape_free",
	portFree:                        "ov_output_const_port_free",
	tensorCreateFromHostPtr:         "ov_tensor_create_from_host_ptr",
	tensorGetShape:                  "ov_tensor_get_shape",
	tensorGetByteSize:               "ov_tensor_get_byte_size",
	tensorGetElementType:            "ov_tensor_get_element_type",
	tensorData:                      "ov_tensor_data",
	tensorFree:                      "ov_tensor_free",
	shapeFree:                       "ov_shape_free",
	setInputTensorByIndex:           "ov_infer_request_set_input_tensor_by_index",
	setOutputTensorByIndex:          "ov_infer_request_set_output_tensor_by_index",
	getInputTensorByIndex:           "ov_infer_request_get_input_tensor_by_index",
	getOutputTensorByIndex:          "ov_infer_request_get_output_tensor_by_index",
	requestStartAsync:               "ov_infer_request_start_async",
	requestWait:                     "ov_infer_request_wait",
	requestCancel:                   "ov_infer_request_cancel",
	requestGetProfilingInfo:         "ov_infer_request_get_profiling_info",
	profilingInfoListFree:           "ov_profiling_info_list_free",
	requestFree:                     "ov_infer_request_free",
	coreCompileModelProps:           "ov_core_compile_model_props",
	modelGetFriendlyName:            "ov_model_get_friendly_name",
	modelInputsSize:                 "ov_model_inputs_size",
	modelOutputsSize:                "ov_model_outputs_size",
	modelInputByIndex:               "ov_model_const_input_by_index",
	modelOutputByIndex:              "ov_model_const_output_by_index",
	setLogCallback:                  "ov_util_set_log_callback",
}

// api is the functions of an open library. It never changes.
type api struct {
	version   string // of the library: "2026.4.1"
	build     string // the same with what it was built from
	functions [symbols]uintptr
}

// bind finds the functions of an open library. It fails with fault.Unsupported when
// the library is too old, or another library.
func bind(library *native.Library) (*api, error) {
	const op = "openvino.open"
	a := &api{}
	var lacking []string
	for s, name := range names {
		address, err := library.Symbol(name)
		switch {
		case err == nil:
			a.functions[s] = address
		case symbol(s) == getVersion:
			return nil, fault.New(fault.Unsupported, op, "not OpenVINO: it has no function %s", name).On(library.Path()).
				WithHint("Name the file libopenvino_c.so.")
		case symbol(s) < firstOptional:
			lacking = append(lacking, name)
		}
	}
	var told [2]uintptr                                                                                     // ov_version_t: {build number, description}
	if status := native.Call(a.functions[getVersion], uintptr(unsafe.Pointer(&told))); int32(status) != 0 { //nolint:gosec // the function returns an int
		return nil, fault.New(fault.Unsupported, op, "the library does not tell its version").On(library.Path())
	}
	a.build = clean(native.String(told[0], maxText))
	if a.functions[versionFree] != 0 {
		native.Call(a.functions[versionFree], uintptr(unsafe.Pointer(&told)))
	}
	a.version, _, _ = strings.Cut(a.build, "-")
	if err := a.check(lacking); err != nil {
		return nil, err.On(library.Path()).WithHint("Install it with `verge runtime install openvino`.")
	}
	return a, nil
}

// check refuses a version that is too old, or that lacks functions.
func (a *api) check(lacking []string) *fault.Error {
	const op = "openvino.open"
	if version.Compare(a.version, MinimumVersion) < 0 {
		return fault.New(fault.Unsupported, op, "OpenVINO has version %q, want %s or newer", a.version, MinimumVersion)
	}
	if len(lacking) > 0 {
		return fault.New(fault.Unsupported, op, "OpenVINO %s lacks %s", a.version, strings.Join(lacking, ", "))
	}
	return nil
}

// call calls a function that returns a status. Arguments as native.Call.
//
//go:uintptrescapes
func (a *api) call(s symbol, args ...uintptr) *statusError {
	return a.status(native.Call(a.functions[s], args...))
}

// release frees an object with its function; the null pointer is left alone.
func (a *api) release(s symbol, object uintptr) {
	if object != 0 {
		native.Call(a.functions[s], object)
	}
}

// take returns a copy of a text that the library handed over, and frees it.
func (a *api) take(text uintptr) string {
	s := native.String(text, maxText)
	a.release(freeText, text)
	return s
}

// devices returns the names of the devices that the library can use, such as "CPU".
func (a *api) devices(core uintptr) ([]string, *statusError) {
	var found [2]uintptr // ov_available_devices_t: {texts, how many}
	if err := a.call(coreGetAvailableDevices, core, uintptr(unsafe.Pointer(&found))); err != nil {
		return nil, err
	}
	list := []string{}
	for _, name := range native.Words(found[0], int(found[1])) { // as many as it wrote
		list = append(list, native.String(name, 256))
	}
	native.Call(a.functions[availableDevicesFree], uintptr(unsafe.Pointer(&found)))
	return list, nil
}

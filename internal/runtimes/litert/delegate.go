package litert

import (
	"errors"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// delegate is a TfLiteDelegate, which takes operators over from the classic library.
// An interpreter has its own.
type delegate struct {
	handle, free uintptr
}

func (d delegate) close() { native.Call(d.free, d.handle) }

// xnnpackOptions is a TfLiteXNNPackDelegateOptions of xnnpack_delegate.h, with room
// for the fields that later versions have added.
type xnnpackOptions struct {
	threads int32
	_       uint32 // flags; with those for quantised operators, 2.9 fails on models that it runs without
	_       [30]uint64
}

// xnnpack makes the delegate that is part of the library.
func (c *classic) xnnpack(threads int) (delegate, *failure) {
	options := &xnnpackOptions{threads: int32(threads)} //nolint:gosec // a small number
	d := delegate{handle: c.call(xnnpackCreate, uintptr(unsafe.Pointer(options))), free: c.functions[xnnpackDelete]}
	if d.handle == 0 {
		return delegate{}, &failure{status: statusRuntime, text: "XNNPACK did not start"}
	}
	return d, nil
}

// externalDelegate is the place of a delegate in a library of its own, which exports
// tflite_plugin_create_delegate and tflite_plugin_destroy_delegate as
// tensorflow/lite/delegates/external says. Its options are the delegate's own. The
// second result says why it cannot be had.
func externalDelegate(p inference.Provider, device string) (place, string) {
	library, err := native.Open(p.Name)
	if err != nil {
		return place{}, unsubject(err)
	}
	create, err := library.Symbol("tflite_plugin_create_delegate")
	if err != nil {
		return place{}, "no delegate of TensorFlow Lite: it has no function tflite_plugin_create_delegate"
	}
	destroy, err := library.Symbol("tflite_plugin_destroy_delegate")
	if err != nil {
		return place{}, "no delegate of TensorFlow Lite: it has no function tflite_plugin_destroy_delegate"
	}
	if device == "" {
		device = "cpu"
	}
	return place{name: p.Name, device: device, accelerator: true, fragile: true, make: func(int) (delegate, *failure) {
		return plugin(create, destroy, p.Options)
	}}, ""
}

// plugin calls tflite_plugin_create_delegate(keys, values, count, report).
func plugin(create, destroy uintptr, options map[string]string) (delegate, *failure) {
	var pins runtime.Pinner
	defer pins.Unpin()
	keys, values, f := texts(&pins, options)
	if f != nil {
		return delegate{}, f
	}
	d, said := delegate{free: destroy}, &journal{}
	reports.during(said, func(function uintptr) {
		d.handle = native.Call(create, uintptr(unsafe.Pointer(unsafe.SliceData(keys))), uintptr(unsafe.Pointer(unsafe.SliceData(values))),
			uintptr(len(keys)), function) // not negative
	})
	if d.handle == 0 {
		f := &failure{status: statusNoLibrary, text: said.take()}
		if f.text == "" {
			f.text = "the delegate did not start, and did not say why"
		}
		return delegate{}, f
	}
	return d, nil
}

// texts returns the addresses of keys and values as C strings, sorted by key, which
// stay where they are as long as pins holds.
func texts(pins *runtime.Pinner, options map[string]string) (keys, values []uintptr, f *failure) {
	keys, values = make([]uintptr, 0, len(options)+1), make([]uintptr, 0, len(options)+1)
	for _, key := range slices.Sorted(maps.Keys(options)) {
		k, f := pinText(pins, key)
		if f != nil {
			return nil, nil, f
		}
		v, f := pinText(pins, options[key])
		if f != nil {
			return nil, nil, f
		}
		keys, values = append(keys, k), append(values, v)
	}
	return keys, values, nil
}

// pinText returns the address of a C string that stays where it is as long as pins holds.
func pinText(pins *runtime.Pinner, text string) (uintptr, *failure) {
	c, err := native.CString(text)
	if err != nil {
		return 0, &failure{status: statusInvalidArgument, text: "options: " + fault.Message(err)}
	}
	pins.Pin(&c[0])
	return native.Address(c), nil
}

// unsubject returns the text of an error whose subject the caller names.
func unsubject(err error) string {
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

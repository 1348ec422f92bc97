package openvino

import (
	"strings"

	"verge/internal/tensor"
)

// elementType is an index of elementTypes; 0 is no type or one that is decided later.
type elementType uint8

// elementInfo describes an element type.
type elementInfo struct {
	name      string // of attribute element_type
	precision string // of attribute precision of a port
	bits      int    // of one element in the .bin file; 0 for strings
	dtype     tensor.DType
}

// Element types that are spoken of by name.
const (
	typeF16 elementType = iota + 1
	typeF32
	typeI32
	typeI64
	typeU32
	typeU64
	typeString
	typeUnknown // one that a newer OpenVINO may have added
)

// elementTypes lists element::Type of OpenVINO 2026.4 with the names of its
// serializer. The library takes a name of element_type in any case.
var elementTypes = [...]elementInfo{ //nolint:gochecknoglobals // a constant table
	{"dynamic", "UNSPECIFIED", 0, tensor.Invalid},
	typeF16: {"f16", "FP16", 16, tensor.FP16}, typeF32: {"f32", "FP32", 32, tensor.FP32},
	typeI32: {"i32", "I32", 32, tensor.Int32}, typeI64: {"i64", "I64", 64, tensor.Int64},
	typeU32: {"u32", "U32", 32, tensor.Uint32}, typeU64: {"u64", "U64", 64, tensor.Uint64},
	typeString:  {"string", "STRING", 0, tensor.Bytes},
	typeUnknown: {"", "", 0, tensor.Invalid},
	{"bf16", "BF16", 16, tensor.BF16},
	{"f64", "FP64", 64, tensor.FP64},
	{"boolean", "BOOL", 8, tensor.Bool},
	{"i8", "I8", 8, tensor.Int8},
	{"i16", "I16", 16, tensor.Int16},
	{"u8", "U8", 8, tensor.Uint8},
	{"u16", "U16", 16, tensor.Uint16},
	{"u1", "BIN", 1, tensor.Invalid},
	{"u1", "U1", 1, tensor.Invalid},
	{"u2", "U2", 2, tensor.Invalid},
	{"u3", "U3", 3, tensor.Invalid},
	{"u4", "U4", 4, tensor.Invalid},
	{"u6", "U6", 6, tensor.Invalid},
	{"i2", "I2", 2, tensor.Invalid},
	{"i4", "I4", 4, tensor.Invalid},
	{"nf4", "NF4", 4, tensor.Invalid},
	{"f4e2m1", "F4E2M1", 4, tensor.Invalid},
	{"f8e4m3", "F8E4M3", 8, tensor.Invalid},
	{"f8e5m2", "F8E5M2", 8, tensor.Invalid},
	{"f8e8m0", "F8E8M0", 8, tensor.Invalid},
}

// elementOf returns the type with that name in a layer's data.
func elementOf(name string) elementType {
	if strings.EqualFold(name, "undefined") { // of old files
		return 0
	}
	for i := range elementTypes {
		if name != "" && strings.EqualFold(name, elementTypes[i].name) {
			return elementType(i)
		}
	}
	return typeUnknown
}

// precisionOf returns the type with that name at a port.
func precisionOf(name string) elementType {
	for i := range elementTypes {
		if name != "" && strings.EqualFold(name, elementTypes[i].precision) {
			return elementType(i)
		}
	}
	if name == "" {
		return 0
	}
	return typeUnknown
}

// bytes returns the size of n elements, of which the last byte may be filled in
// part. The caller has checked that n times 8 bytes fit an int64.
func (t elementType) bytes(n int64) int64 {
	bits := int64(elementTypes[t].bits)
	return n/8*bits + (n%8*bits+7)/8
}

// legacy returns the type with which the library serves an input or output of a
// file of IR version 10 (to_legacy_type in its model_reader.cpp).
func (t elementType) legacy(output bool) elementType {
	switch {
	case !output && t == typeF16:
		return typeF32
	case !output, t == 0, t == typeString, t == typeUnknown:
		return t
	case t == typeI32, t == typeI64, t == typeU32, t == typeU64:
		return typeI32
	}
	return typeF32
}

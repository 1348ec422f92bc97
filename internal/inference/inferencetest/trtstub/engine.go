package trtstub

import (
	"encoding/binary"
	"math"
	"slices"

	"verge/internal/tensor"
)

// Operation is what an engine computes.
type Operation uint8

// The operations.
const (
	Copy       Operation = iota // y is x
	Concat                      // joined is a and b beside each other, count is a's shape
	AddWeights                  // y is x plus the weights
	Tile                        // y[times] is x[0], times is a shape tensor
	Positions                   // y's shape depends on values
	ShapeOf                     // y is x's shape
	WaitThen                    // Copy, but not before Stub.Release
)

// Port is an input or output of an engine.
type Port struct {
	Name   string
	Output bool
	Type   int // DataType of TensorRT's header; see TypeOf
	Host   bool
	Format int // TensorFormat of the header; 0 is linear
	Shape  []int64
}

// Profile is the least, best and most shape of every input, by name.
type Profile map[string][3][]int64

// Engine describes an engine file of the stand-in.
type Engine struct {
	Name       string
	Capability int // 100 * major + minor; 806 where it is 0
	Tag        int // serialization version; that of Major where it is 0
	Major      int // of the library that reads it: 10 or 11; 10 where it is 0
	Version    [4]byte
	Operation  Operation
	Layers     int
	Memory     int64 // device memory of each execution context, bytes
	Plugin     string
	Ports      []Port
	Profiles   []Profile // at least one is written
	Weights    int       // of 4 bytes, all 1
}

// TypeOf returns the number of an element type in TensorRT's header, DataType; false
// for one that it has not.
func TypeOf(d tensor.DType) (int, bool) {
	i := slices.Index([]tensor.DType{tensor.FP32, tensor.FP16, tensor.Int8, tensor.Int32, tensor.Bool, tensor.Uint8, tensor.Invalid, tensor.BF16, tensor.Int64}, d)
	return i, i >= 0 && d != tensor.Invalid
}

// Encode returns the file.
func (e Engine) Encode() []byte {
	e = e.complete()
	le := binary.LittleEndian
	b := append([]byte("ftrt"), 0, 0, 0, 0)
	b = le.AppendUint32(b, uint32(e.Tag))
	b = append(b, make([]byte, 12)...)
	b = append(b, e.Version[:]...)
	b = le.AppendUint16(b, uint16(e.Capability))
	b = append(b, byte(e.Operation))
	b = le.AppendUint16(b, uint16(e.Layers))
	b = le.AppendUint64(b, uint64(e.Memory))
	b = appendText(appendText(b, e.Name), e.Plugin)
	b = le.AppendUint16(b, uint16(len(e.Ports)))
	for _, p := range e.Ports {
		mode := byte(1)
		if p.Output {
			mode = 2
		}
		host := byte(0)
		if p.Host {
			host = 1
		}
		b = appendShape(append(appendText(b, p.Name), mode, byte(p.Type), host, byte(p.Format)), p.Shape)
	}
	b = le.AppendUint16(b, uint16(len(e.Profiles)))
	for _, profile := range e.Profiles {
		for _, p := range e.Ports {
			shapes, ok := profile[p.Name]
			if !ok {
				shapes = [3][]int64{p.Shape, p.Shape, p.Shape}
			}
			for _, shape := range shapes {
				b = appendShape(b, shape)
			}
		}
	}
	b = le.AppendUint32(b, uint32(e.Weights))
	b = append(b, slices.Repeat(le.AppendUint32(nil, math.Float32bits(1)), e.Weights)...)
	le.PutUint64(b[16:], uint64(len(b)-24))
	return b
}

// complete returns e with what it leaves out.
func (e Engine) complete() Engine {
	if e.Capability == 0 {
		e.Capability = 806
	}
	if e.Version == [4]byte{} {
		e.Version = [4]byte{10, 16, 0, 72}
		if e.Major == 11 {
			e.Version = [4]byte{11, 1, 0, 106}
		}
	}
	if e.Tag == 0 {
		e.Tag = 237
		if e.Major == 11 {
			e.Tag = 240
		}
	}
	if len(e.Profiles) == 0 {
		e.Profiles = []Profile{{}}
	}
	return e
}

func appendText(b []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)
}

func appendShape(b []byte, shape []int64) []byte {
	b = append(b, byte(len(shape)))
	for _, n := range shape {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return b
}

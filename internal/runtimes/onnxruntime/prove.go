package onnxruntime

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// load compiles a model with the first provider of the plan that works and runs some
// of it, else on the CPU where the plan allows that.
func (r *ortRuntime) load(ctx context.Context, m inference.Model, o inference.Options, p plan) (*session, *fault.Error) {
	const op = "onnxruntime.load"
	var reasons []string
	found, kind := false, fault.Unsupported // whether a device of the kind that was asked for is there
	for _, c := range p.try {
		s, proved, failure := r.attempt(ctx, m, o, c)
		if failure == nil {
			s.info.ProvidersRequested, s.info.Fallbacks = p.requested, p.fallbacks(reasons, s.info.Providers[0])
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ended(ctx, op)
		}
		found, kind = found || proved, failure.Kind
		reason := fmt.Sprintf("provider %s: %s", c.name, fault.Message(failure))
		if p.named && o.Fallback == "none" {
			return nil, fault.New(failure.Kind, op, "%s", reason).
				WithHint("Set deployment.fallback to cpu, or name %s.", cpuProvider)
		}
		reasons = append(reasons, reason)
	}
	if failure := p.refuse(o.Fallback, found, kind, reasons); failure != nil {
		return nil, failure
	}
	s, failure := r.newSession(ctx, m, o, candidate{})
	if failure == nil {
		s.info.ProvidersRequested, s.info.Fallbacks = p.requested, p.fallbacks(reasons, cpuProvider)
	}
	return s, failure
}

// attempt compiles a model with one provider. proved says whether the provider works
// here at all.
func (r *ortRuntime) attempt(ctx context.Context, m inference.Model, o inference.Options, c candidate) (s *session, proved bool, failure *fault.Error) {
	const op = "onnxruntime.load"
	if c.refusal != "" {
		return nil, false, fault.New(fault.Unsupported, op, "%s", c.refusal)
	}
	c, failure = c.resolve(r.api, r.env)
	if failure != nil {
		if isLibrary(c.name) {
			failure.Subject = "" // the reader has it already
		}
		return nil, false, fault.New(fault.Unsupported, op, "%s", fault.Message(failure))
	}
	if failure = r.prove(ctx, c); failure != nil {
		return nil, false, failure
	}
	s, failure = r.newSession(ctx, m, o, c)
	if failure != nil {
		return nil, true, fault.New(failure.Kind, op, "does not load the model: %w", failure.Err)
	}
	if s.idle(c) {
		failure = s.messages.explain(fault.New(fault.Unsupported, op, "takes no operator of the model"))
		s.Close() //nolint:errcheck,gosec // it never ran
		return nil, true, failure
	}
	return s, true, nil
}

// prove finds out whether a provider works here: a model of one operator is compiled
// with it. That a build has a provider says nothing about its libraries and devices.
// The result is kept for the next model.
func (r *ortRuntime) prove(ctx context.Context, c candidate) *fault.Error {
	r.proving.Lock()
	defer r.proving.Unlock()
	key := c.key()
	if failure, ok := r.proofs[key]; ok {
		return failure
	}
	s, failure := r.newSession(ctx, inference.Model{Name: "proof", Data: proofModel(), FD: -1}, inference.Options{LogLevel: levelCritical}, c)
	if failure != nil {
		failure = fault.New(fault.Unsupported, failure.Op, "does not work here: %w", failure.Err)
	} else {
		// A provider may leave an operator alone that it has no kernel for; one that
		// cannot reach its device logs an error and leaves all of them alone.
		if s.idle(c) && s.messages.has(slog.LevelError) {
			failure = s.messages.explain(fault.New(fault.Unsupported, "onnxruntime.load", "does not work here"))
		}
		s.Close() //nolint:errcheck,gosec // it never ran
	}
	if ctx.Err() == nil {
		if r.proofs == nil {
			r.proofs = map[string]*fault.Error{}
		}
		r.proofs[key] = failure
	}
	return failure
}

// assigned returns the providers that operators of a session's model were given to,
// each once. The session's options ask for that to be recorded.
func (a *api) assigned(session uintptr) ([]string, *statusError) {
	var list, count uintptr
	if status := a.call(sessionAssignments, session, uintptr(unsafe.Pointer(&list)), uintptr(unsafe.Pointer(&count))); status != nil {
		return nil, status
	}
	var names []string
	for _, part := range native.Words(list, int(count)) { // in memory already
		var text uintptr
		if status := a.call(assignmentProvider, part, uintptr(unsafe.Pointer(&text))); status != nil {
			return nil, status
		}
		if name := native.String(text, 256); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// idle reports whether no operator of the model was given to the provider. A model
// that is left without operators, since all are computed at load, is nobody's.
func (s *session) idle(c candidate) bool {
	return len(s.assigned) > 0 && !slices.Contains(s.assigned, c.name)
}

// proofModel returns an ONNX model that every provider has a kernel for: the product
// y of x FP32[1,2] and a constant matrix. Field numbers are those of onnx.proto.
func proofModel() []byte {
	const (
		float     = 1 // TensorProto.DataType
		irVersion = 8
		opset     = 13
	)
	weights := make([]byte, 0, 16)
	for _, w := range []float32{1, 2, 3, 4} {
		weights = binary.LittleEndian.AppendUint32(weights, math.Float32bits(w))
	}
	value := func(name string) []byte {
		dimension := func(n byte) []byte { return field(1, []byte{1 << 3, n}) } // TensorShapeProto.dim.dim_value
		shape := append(dimension(1), dimension(2)...)
		typed := field(1, append([]byte{1 << 3, float}, field(2, shape)...)) // TypeProto.tensor_type
		return append(field(1, []byte(name)), field(2, typed)...)
	}
	node := slices.Concat(field(1, []byte("x")), field(1, []byte("w")), field(2, []byte("y")), field(4, []byte("MatMul")))
	matrix := slices.Concat([]byte{1 << 3, 2, 1 << 3, 2, 2 << 3, float}, field(8, []byte("w")), field(9, weights))
	graph := slices.Concat(field(1, node), field(2, []byte("proof")), field(5, matrix), field(11, value("x")), field(12, value("y")))
	return slices.Concat([]byte{1 << 3, irVersion}, field(7, graph), field(8, []byte{2 << 3, opset}))
}

// field encodes a field of a protobuf message that holds bytes; its number is below 16.
func field(number byte, content []byte) []byte {
	const lengthDelimited = 2
	encoded := binary.AppendUvarint([]byte{number<<3 | lengthDelimited}, uint64(len(content)))
	return append(encoded, content...)
}

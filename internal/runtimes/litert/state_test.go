package litert_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/arena"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/inference/inferencetest/tflitemodel"
	"verge/internal/runtimes/litert"
	"verge/internal/tensor"
)

// libraries open each of the two.
func libraries() map[string]func(testing.TB) inference.Runtime {
	return map[string]func(testing.TB) inference.Runtime{litert.Name: open, litert.ClassicName: openClassic}
}

// newSlot makes a slot of a session.
func newSlot(tb testing.TB, session inference.Session) inference.Slot {
	tb.Helper()
	memory := arena.New("test", 1<<20, 1<<20)
	tb.Cleanup(func() { memory.Close() })
	slot, err := session.NewSlot(memory)
	if err != nil {
		tb.Fatalf("NewSlot = %v, want a slot", err)
	}
	return slot
}

// answers checks what a slot answers to numbers, one after the other.
func answers(tb testing.TB, session inference.Session, slot inference.Slot, numbers, want []float32) {
	tb.Helper()
	spec := session.Signature().Inputs[0]
	for i, x := range numbers {
		got, err := inference.Run(tb.Context(), session.Signature(), slot, []tensor.Tensor{onnxmodel.Floats(spec.Name, spec.Shape, x)})
		if err != nil || !bytes.Equal(got[0].Data, onnxmodel.Floats("", nil, want[i]).Data) {
			tb.Fatalf("Run %d of %v = %v, %v; want %v", i, x, got, err, want[i])
		}
	}
}

func TestEachSlotKeepsValuesOfItsOwn(t *testing.T) {
	for name, open := range libraries() {
		for level := range 2 {
			tests := map[string]struct {
				model []byte
				want  []float32
			}{"in a variable": {tflitemodel.Sum(10), []float32{11, 13, 16, 20}}}
			if name == litert.ClassicName {
				tests["in a tensor"] = struct {
					model []byte
					want  []float32
				}{tflitemodel.Previous(), []float32{1, 3, 5, 7}}
			}
			for where, tt := range tests {
				t.Run(name+" "+where, func(t *testing.T) {
					session, err := loadIn(t, open(t), tt.model, inference.Options{OptimizationLevel: level, Parallel: 1})
					if err != nil {
						t.Fatal(err)
					}
					defer session.Close()
					if info := session.Info(); !info.Stateful || info.Parallel != 1 {
						t.Errorf("Stateful = %t, Parallel = %d; want true, 1", info.Stateful, info.Parallel)
					}
					numbers := []float32{1, 2, 3, 4}
					first, second := newSlot(t, session), newSlot(t, session)
					answers(t, session, first, numbers[:3], tt.want[:3])
					answers(t, session, second, numbers[:1], tt.want[:1])
					answers(t, session, first, numbers[3:], tt.want[3:])
					for _, slot := range []inference.Slot{first, second} {
						if err := slot.Close(); err != nil {
							t.Fatal(err)
						}
						third := newSlot(t, session)
						answers(t, session, third, numbers, tt.want)
					}
				})
			}
		}
	}
}

func TestAVariableThatNoRunWritesIsNoState(t *testing.T) {
	for name, open := range libraries() {
		t.Run(name, func(t *testing.T) {
			session, err := loadIn(t, open(t), tflitemodel.Constant(5), inference.Options{Parallel: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			if info := session.Info(); info.Stateful || info.Parallel != 2 || info.Fallbacks != nil {
				t.Errorf("Stateful = %t, Parallel = %d, fell back %q; want false, 2, nothing", info.Stateful, info.Parallel, info.Fallbacks)
			}
			for range 2 {
				slot := newSlot(t, session)
				answers(t, session, slot, []float32{1, 1}, []float32{6, 6})
				if err := slot.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAStatefulModelRunsOneRequestAtATime(t *testing.T) {
	for name, open := range libraries() {
		t.Run(name, func(t *testing.T) {
			session, err := loadIn(t, open(t), tflitemodel.Sum(0), inference.Options{Parallel: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			want := []string{"3 parallel runs: the model keeps values from one run to the next; 1 is used"}
			if info := session.Info(); info.Parallel != 1 || !cmp.Equal(want, info.Fallbacks) {
				t.Errorf("Parallel = %d, fell back %q; want 1, %q", info.Parallel, info.Fallbacks, want)
			}
		})
	}
}

func TestLiteRTRefusesTensorsThatKeepValuesWithAHintThatHelps(t *testing.T) {
	_, err := loadIn(t, open(t), tflitemodel.Previous(), inference.Options{})
	check(t, err, fault.Unsupported, "model m@1: Variable tensors not yet supported",
		"Set deployment.runtime to tflite: the classic TensorFlow Lite library runs them. Compare its answers (tests.functional_test.golden): its integer kernels are older.")
}

// repeatAndSum returns a model whose output y FP32[?] holds x FP32[1] as many times as
// the input times INT32[1] says, and whose output sum FP32[1] is that of Sum(10).
func repeatAndSum() []byte {
	const callOnceOptions, handleOptions = 103, 111
	value := func(name string, shape ...int) tflitemodel.Tensor {
		return tflitemodel.Tensor{Name: name, DType: tensor.FP32, Shape: shape}
	}
	handle := tflitemodel.Tensor{Name: "handle", Resource: true, Shape: []int{}}
	times := tflitemodel.Tensor{Name: "times", DType: tensor.Int32, Shape: []int{1}}
	initial := value("initial", 1)
	initial.Data = onnxmodel.Floats("", nil, 10).Data
	open := tflitemodel.Operator{Op: tflitemodel.VarHandle, Outputs: []int{0}, Options: tflitemodel.Options{Table: handleOptions, Fields: []any{"", "sum"}}}
	return tflitemodel.Model{Graphs: []tflitemodel.Graph{
		{
			Tensors: []tflitemodel.Tensor{
				handle, value("x", 1), times, value("before", 1), value("sum", 1), value("repeated", -1), value("y", -1),
			},
			Operators: []tflitemodel.Operator{
				{Op: tflitemodel.CallOnce, Options: tflitemodel.Options{Table: callOnceOptions, Fields: []any{int32(1)}}},
				open,
				{Op: tflitemodel.ReadVariable, Inputs: []int{0}, Outputs: []int{3}},
				{Op: tflitemodel.Add, Inputs: []int{3, 1}, Outputs: []int{4}, Options: tflitemodel.Options{Table: 11}},
				{Op: tflitemodel.AssignVariable, Inputs: []int{0, 4}},
				{Op: tflitemodel.Tile, Inputs: []int{1, 2}, Outputs: []int{5}},
				{Op: tflitemodel.ReLU, Inputs: []int{5}, Outputs: []int{6}},
			},
			Inputs: []int{1, 2}, Outputs: []int{6, 4},
		},
		{
			Tensors: []tflitemodel.Tensor{handle, initial}, Operators: []tflitemodel.Operator{open, {Op: tflitemodel.AssignVariable, Inputs: []int{0, 1}}},
		},
	}}.Encode()
}

func TestARunThatChangedWhatTheModelKeepsIsNotMadeAgain(t *testing.T) {
	many := []tensor.Tensor{onnxmodel.Floats("x", []int64{1}, 3), {Name: "times", DType: tensor.Int32, Shape: []int64{1}, Data: []byte{100, 0, 0, 0}}}
	session := load(t, repeatAndSum(), inference.Options{})
	slot := newSlot(t, session)
	for range 2 {
		_, err := inference.Run(t.Context(), session.Signature(), slot, many)
		check(t, err, fault.Unsupported, "model m@1: an output takes its shape from values, and the model keeps values from one run to the next, of which LiteRT's interface can give one only",
			"Set deployment.runtime to tflite.")
	}
	classic, err := loadIn(t, openClassic(t), repeatAndSum(), inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer classic.Close()
	slot = newSlot(t, classic)
	for _, want := range []float32{13, 16} {
		got, err := inference.Run(t.Context(), classic.Signature(), slot, many)
		if err != nil || len(got[0].Data) != 400 || !bytes.Equal(got[1].Data, onnxmodel.Floats("", nil, want).Data) {
			t.Errorf("Run = %v, %v; want 100 values and the sum %v", got, err, want)
		}
	}
}

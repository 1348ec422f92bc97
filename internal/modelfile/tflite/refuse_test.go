package tflite_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
)

const (
	damaged = "Copy or convert the model again; the file is damaged or was cut off."
	check   = "Check that the file is a TensorFlow Lite model, and convert it again."
)

// refusal is a file and the error that it gives.
type refusal struct {
	data    []byte
	kind    fault.Kind
	message string
	hint    string
}

func checkRefusals(t *testing.T, tests map[string]refusal) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := read(tt.data)
			if err == nil {
				t.Fatalf("no error, but %+v", m)
			}
			got := [...]string{fault.KindOf(err).String(), fault.Message(err), fault.HintOf(err)}
			want := [...]string{tt.kind.String(), tt.message, tt.hint}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// graphWith is tiny with other fields of its subgraph.
func graphWith(more fields) []byte {
	return file(model([]fields{code(addCode)}, []fields{tinyGraph().with(more)}, make([]byte, 16)))
}

// operators is tiny with another operator.
func operators(more fields) []byte {
	return graphWith(fields{3: []fields{operator(0, []int32{0, 1}, []int32{2}, more)}})
}

// first is tiny with more fields of tensor x.
func first(more fields) []byte {
	tensors := append([]fields{}, tinyGraph()[0].([]fields)...)
	tensors[0] = tensors[0].with(more)
	return graphWith(fields{0: tensors})
}

func TestReadRefusesWhatIsNoModel(t *testing.T) {
	root := file(tiny())
	root[0], root[1] = 0xf0, 0xff
	checkRefusals(t, map[string]refusal{
		"an empty file": {nil, fault.Corrupt, "at byte 0: the file is empty", damaged},
		"four bytes":    {[]byte("TFL3"), fault.Corrupt, "at byte 0: 4 bytes are too few for a Model", damaged},
		"another identifier": {
			encode(tiny(), "TFL2"), fault.Corrupt, `at byte 4: a Model has the identifier "TFL2", want "TFL3"`, damaged,
		},
		"a root outside the file": {root, fault.Corrupt, "at byte 65520: a Model lies outside the file, which ends at byte 432", damaged},
		"an old schema": {
			file(tiny(fields{0: uint32(2)})), fault.Unsupported, "the file has schema version 2, want 3",
			"Convert the model again with a TensorFlow of 2018 or later.",
		},
		"no subgraph":       {file(tiny(fields{2: nil})), fault.Corrupt, "the file has no subgraph", check},
		"an empty subgraph": {file(model(nil, []fields{{}})), fault.Corrupt, "subgraph 0 has neither operators nor outputs", check},
		"no operator codes": {
			file(tiny(fields{1: nil})), fault.Corrupt, "at byte 168: operator 0 of subgraph 0 has operator code 0, the file has 0", damaged,
		},
		"an operator without a number": {
			file(tiny(fields{1: []fields{{3: int32(-5), 0: int8(-1)}}})), fault.Corrupt, "at byte 420: operator code 0 has the number -1, want 0 or more", damaged,
		},
		"a custom operator without a name": {
			file(tiny(fields{1: []fields{code(customCode)}})), fault.Corrupt, "at byte 420: operator code 0 is a custom operator without a name", damaged,
		},
		"metadata in a buffer that is not there": {
			file(tiny(fields{6: []fields{{0: "m", 1: uint32(2)}}})), fault.Corrupt, "at byte 72: metadata entry 0 has buffer 2, the file has 2", damaged,
		},
	})
}

func TestReadRefusesASignatureThatDoesNotFit(t *testing.T) {
	many := make([]int32, 257)
	sign := func(inputs, outputs []string, first ...uint32) []byte {
		return file(tiny(fields{7: []fields{signature("s", inputs, outputs, first...)}}))
	}
	checkRefusals(t, map[string]refusal{
		"of a subgraph that is not there": {
			sign(nil, nil, 0, 0, 1), fault.Corrupt, `at byte 80: signature "s" is of subgraph 1, the file has 1`, damaged,
		},
		"a tensor that is not there": {
			sign([]string{"i"}, nil, 3, 0, 0), fault.Corrupt, `at byte 228: input "i" has tensor 3, subgraph 0 has 3`, damaged,
		},
		"an input that is none": {
			sign([]string{"i"}, nil, 1, 0, 0), fault.Corrupt, `at byte 420: input "i" of the signature is no input of subgraph 0`, damaged,
		},
		"an output that is none": {
			sign(nil, []string{"o"}, 1, 0, 0), fault.Corrupt, `at byte 476: output "o" of the signature is no output of subgraph 0`, damaged,
		},
		"a constant as an input": {
			graphWith(fields{1: []int32{0, 1}}), fault.Corrupt, `at byte 324: input tensor "w" of subgraph 0 is a constant`, damaged,
		},
		"too many inputs": {graphWith(fields{1: many}), fault.TooLarge, "the model has 257 inputs, the limit is 256", ""},
		"an input of a type that the protocol lacks": {
			first(fields{1: complex64s}), fault.Unsupported, `input "x" has element type COMPLEX64, which the protocol cannot carry`,
			"Convert the model with FLOAT32 inputs and outputs, or cast inside it.",
		},
		"a scale that is no number": {
			first(fields{1: int8Type, 4: fields{2: []float32{nan()}, 3: []int64{0}}}), fault.Corrupt, `at byte 376: scale 0 of tensor "x" is NaN`, damaged,
		},
	})
}

func TestReadRefusesTensorsThatALibraryWouldStumbleOver(t *testing.T) {
	scales := func(f fields) []byte { return first(fields{4: f}) }
	checkRefusals(t, map[string]refusal{
		"a buffer that is not there": {first(fields{2: uint32(2)}), fault.Corrupt, `at byte 368: tensor "x" has buffer 2, the file has 2`, damaged},
		"a negative dimension":       {first(fields{0: []int32{1, -1}}), fault.Corrupt, `at byte 364: dimension 1 of tensor "x" is -1, want 0 or more`, damaged},
		"a shape that overflows": {
			first(fields{0: []int32{1 << 30, 1 << 30}}), fault.Corrupt, `at byte 364: tensor "x" claims more than 576460752303423487 elements`, damaged,
		},
		"too many dimensions": {first(fields{0: make([]int32, 17)}), fault.Unsupported, `tensor "x" has 17 dimensions, the limit is 16`, ""},
		"a signature of another rank": {
			first(fields{7: []int32{-1}}), fault.Corrupt, `at byte 380: tensor "x" has 2 dimensions in shape and 1 in shape_signature`, damaged,
		},
		"a signature of another size": {
			first(fields{7: []int32{-2, 4}}), fault.Corrupt, `at byte 384: dimension 0 of tensor "x" is 1 in shape and -2 in shape_signature`, damaged,
		},
		"a type of a later schema": {first(fields{1: int8(99)}), fault.Unsupported, `tensor "x" has element type number 99, which this version does not know`, ""},
		"a buffer that is too small": {
			file(tiny(fields{4: []fields{{}, {0: make([]byte, 15)}}})), fault.Corrupt,
			`at byte 316: tensor "w" claims 4 elements of FLOAT32 in 16 bytes, its buffer 1 has 15`, damaged,
		},
		"a name without an end": {
			first(fields{3: []byte("\x01\x02\x03\x04")}), fault.Corrupt, "at byte 380: the bytes of the name of a tensor do not end with a zero byte", damaged,
		},
		"a buffer that is too small for packed elements": {
			file(tinyWith(constant("w", int4Type, []int32{3}, 1), make([]byte, 1))), fault.Corrupt,
			`at byte 300: tensor "w" claims 3 elements of INT4 in 2 bytes, its buffer 1 has 1`, damaged,
		},
		"data in another file": {
			first(fields{10: uint32(1)}), fault.Unsupported, `tensor "x" keeps its data in another file`, "Convert the model to one file, without external weights.",
		},
		"scales without zero points": {scales(fields{2: []float32{1}}), fault.Corrupt, `at byte 376: tensor "x" has 1 scales and 0 zero points`, damaged},
		"scales along no dimension": {
			scales(fields{2: []float32{1}, 3: []int64{0}, 6: int32(2)}), fault.Corrupt,
			`at byte 380: tensor "x" with 2 dimensions has its scales along dimension 2`,
			"Convert the model again: TensorFlow Lite refuses it, although TensorFlow Lite Micro may not.",
		},
		"too few scales": {
			scales(fields{2: []float32{1, 1}, 3: []int64{0, 0}, 6: int32(1)}), fault.Corrupt,
			`at byte 380: tensor "x" has 2 scales for 4 entries of dimension 1`, damaged,
		},
		"scales in a tensor that is not there": {
			scales(fields{4: uint8(2), 5: fields{0: int32(3)}}), fault.Corrupt,
			`at byte 368: tensor "x" has its scales in tensor 3 and its zero points in tensor 0, the subgraph has 3`, damaged,
		},
	})
}

func TestReadRefusesConstantsWithAWrongLayout(t *testing.T) {
	text := func(data []byte) []byte { return file(tinyWith(constant("w", stringType, []int32{2}, 1), data)) }
	wrong := words("a", "b")
	wrong[8] = 99
	compressed := func(segments []int32, indices []uint16) []byte {
		return file(tinyWith(sparse(sparsity(segments, indices)), make([]byte, 8)))
	}
	dense := func(more fields) []byte {
		f := fields{0: []int32{0}, 2: []fields{{1: int32(4)}}}
		return file(tinyWith(sparse(f.with(more)), make([]byte, 16)))
	}
	checkRefusals(t, map[string]refusal{
		"no strings":           {text([]byte{1, 2, 3}), fault.Corrupt, `at byte 300: tensor "w" has 3 bytes, too few for strings`, damaged},
		"too few strings":      {text(words("a")), fault.Corrupt, `at byte 316: tensor "w" has 1 strings in 13 bytes for 2 elements`, damaged},
		"a billion of strings": {text([]byte{0, 0, 0, 64, 0}), fault.Corrupt, `at byte 308: tensor "w" has 1073741824 strings in 5 bytes for 2 elements`, damaged},
		"a string outside":     {text(wrong), fault.Corrupt, `at byte 316: string 0 of tensor "w" ends at byte 99 of 18`, damaged},
		"too few sparse values": {
			compressed([]int32{0, 3}, []uint16{0, 1, 2}), fault.Corrupt, `at byte 312: tensor "w" claims 3 elements of FLOAT32 in 12 bytes, its buffer 1 has 8`, damaged,
		},
		"a sparse index outside":     {compressed([]int32{0, 2}, []uint16{0, 4}), fault.Corrupt, `at byte 312: sparse index 1 of tensor "w" is 4, want 0 to 3`, damaged},
		"a sparse segment outside":   {compressed([]int32{0, 3}, []uint16{0, 1}), fault.Corrupt, `at byte 312: sparse segment 0 of tensor "w" ends at 3 of 2 indices`, damaged},
		"too many sparse segments":   {compressed([]int32{0, 1, 2}, []uint16{0, 1}), fault.Corrupt, `at byte 312: tensor "w" has 2 sparse segments, want 1`, damaged},
		"a sparse order with a hole": {dense(fields{0: []int32{1}}), fault.Corrupt, `at byte 328: level 0 of tensor "w" is dimension 1, which is not possible`, damaged},
		"a level of another size":    {dense(fields{2: []fields{{1: int32(5)}}}), fault.Corrupt, `at byte 328: level 0 of tensor "w" has 5 entries, want 4`, damaged},
		"a block without a map": {
			dense(fields{0: []int32{0, 1}}), fault.Corrupt, `at byte 328: tensor "w" with 1 dimensions has 1 sparse dimensions in an order of 2 with 0 blocks`, damaged,
		},
		"a block of size 0": {
			dense(fields{0: []int32{0, 1}, 1: []int32{0}, 2: []fields{{1: int32(4)}, {}}}), fault.Corrupt,
			`at byte 320: block 0 of tensor "w" has size 0 in dimension 0`, damaged,
		},
		"indices of no kind": {
			dense(fields{2: []fields{{0: int8(1)}}}), fault.Corrupt, "at byte 384: a sparse dimension has no indices of a known kind", damaged,
		},
	})
}

func TestReadRefusesOperatorsThatALibraryWouldStumbleOver(t *testing.T) {
	loop := func(graphs ...fields) []byte { return file(model([]fields{code(whileCode)}, graphs)) }
	runs := func(condition, body int32) fields {
		return subgraph([]int32{0}, []int32{0}, []fields{tensor("x", float32s, []int32{1})},
			[]fields{operator(0, []int32{0}, nil, fields{3: uint8(93), 4: fields{0: condition, 1: body}})})
	}
	checkRefusals(t, map[string]refusal{
		"an operator code that is not there": {
			operators(fields{0: uint32(1)}), fault.Corrupt, "at byte 168: operator 0 of subgraph 0 has operator code 1, the file has 1", damaged,
		},
		"an input that is not there": {
			operators(fields{1: []int32{3}}), fault.Corrupt, "at byte 168: operator 0 (ADD) of subgraph 0 has tensor 3 as an input, the subgraph has 3", damaged,
		},
		"an output that is not there": {
			operators(fields{2: []int32{-1}}), fault.Corrupt, "at byte 168: operator 0 (ADD) of subgraph 0 has tensor -1 as an output, the subgraph has 3", damaged,
		},
		"an intermediate that is not there": {
			operators(fields{8: []int32{-2}}), fault.Corrupt, "at byte 180: operator 0 (ADD) of subgraph 0 has tensor -2 as an intermediate, the subgraph has 3", damaged,
		},
		"an intermediate past the last tensor": {
			operators(fields{8: []int32{3}}), fault.Corrupt, "at byte 180: operator 0 (ADD) of subgraph 0 has tensor 3 as an intermediate, the subgraph has 3", damaged,
		},
		"an input that nothing has made": {
			operators(fields{1: []int32{2}}), fault.Corrupt, `at byte 168: operator 0 (ADD) of subgraph 0 reads tensor "y", which nothing has made`, damaged,
		},
		"a constant as an output": {
			operators(fields{2: []int32{1}}), fault.Corrupt, `at byte 168: operator 0 (ADD) of subgraph 0 writes tensor "w", which is a constant`, damaged,
		},
		"an input as an output": {
			operators(fields{2: []int32{0}}), fault.Corrupt, `at byte 168: operator 0 (ADD) of subgraph 0 writes tensor "x", which is an input`, damaged,
		},
		"an output twice": {
			operators(fields{2: []int32{2, 2}}), fault.Corrupt, `at byte 164: operator 0 (ADD) of subgraph 0 writes tensor "y", which is the output of another operator`, damaged,
		},
		"an output that nothing makes": {
			graphWith(fields{3: []fields{}}), fault.Corrupt, `at byte 128: output tensor "y" of subgraph 0 is made by no operator`, damaged,
		},
		"a graph's output that is not there": {
			graphWith(fields{2: []int32{3}}), fault.Corrupt, "at byte 124: the outputs of subgraph 0 have tensor 3, it has 3", damaged,
		},
		"options that lead outside the file": {
			operators(fields{3: uint8(17), 4: fields{0: uint32(1 << 20)}}), fault.Corrupt,
			"at byte 196: the offset 1048576 of entries of options leads outside the file", damaged,
		},
		"options of the second union that lead outside the file": {
			operators(fields{11: uint8(21), 12: fields{0: uint32(1 << 20)}}), fault.Corrupt,
			"at byte 212: the offset 1048576 of bytes of a string in options leads outside the file", damaged,
		},
		"custom options outside the file": {
			operators(fields{9: uint64(1 << 40), 10: uint64(1)}), fault.Corrupt,
			"at byte 180: the custom options of operator 0 (ADD) of subgraph 0 would lie at byte 1099511627776 with 1 bytes, the file has 440", damaged,
		},
		"a loop over a subgraph that is not there": {
			loop(runs(0, 1)), fault.Corrupt, "at byte 128: operator 0 (WHILE) of subgraph 0 runs subgraph 1, the file has 1", damaged,
		},
		"a loop over itself": {
			loop(runs(1, 1), runs(1, 0)), fault.Corrupt, "subgraph 1 runs itself", "Convert the model again; recursion is not possible.",
		},
	})
}

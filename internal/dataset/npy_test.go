package dataset_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/dataset"
	"verge/internal/fault"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/tensor"
)

// npy is an array as NumPy writes it, with that header text.
func npy(version byte, header string, data ...byte) []byte {
	b := append([]byte("\x93NUMPY"), version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	}
	return append(append(b, header...), data...)
}

func head(descr, order, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", descr, order, shape)
}

func checkFault(t *testing.T, err error, kind fault.Kind, message, hint string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	got := [...]string{fault.KindOf(err).String(), fault.Message(err), fault.HintOf(err)}
	if diff := cmp.Diff([...]string{kind.String(), message, hint}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadNPYReadsWhatNumPyWrites(t *testing.T) {
	golden := "934e554d5059010076007b276465736372273a20273c6634272c2027666f727472616e5f6f72646572273a2046616c73652c20277368617065273a2028322c2033292c207d" +
		strings.Repeat("20", 58) + "0a" + "000000000000803f0000004000004040000080400000a040"
	data, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := tensor.Tensor{DType: tensor.FP32, Shape: []int64{2, 3}, Data: data[len(data)-24:]}
	got, err := dataset.ReadNPY(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadNPYUnderstandsEveryForm(t *testing.T) {
	tests := map[string]struct {
		data []byte
		want tensor.Tensor
	}{
		"version 2":      {npy(2, head("|u1", "False", "(2,)"), 5, 6), tensor.Tensor{DType: tensor.Uint8, Shape: []int64{2}, Data: []byte{5, 6}}},
		"version 3":      {npy(3, head("|i1", "False", "(1, 1)"), 5), tensor.Tensor{DType: tensor.Int8, Shape: []int64{1, 1}, Data: []byte{5}}},
		"a scalar":       {npy(1, head("<i2", "False", "()"), 5, 1), tensor.Tensor{DType: tensor.Int16, Shape: []int64{}, Data: []byte{5, 1}}},
		"no element":     {npy(1, head("<f8", "False", "(0, 4)")), tensor.Tensor{DType: tensor.FP64, Shape: []int64{0, 4}, Data: []byte{}}},
		"booleans":       {npy(1, head("|b1", "False", "(2,)"), 1, 0), tensor.Tensor{DType: tensor.Bool, Shape: []int64{2}, Data: []byte{1, 0}}},
		"half precision": {npy(1, head("<f2", "False", "(1,)"), 0, 0x3c), tensor.Tensor{DType: tensor.FP16, Shape: []int64{1}, Data: []byte{0, 0x3c}}},
		"big-endian":     {npy(1, head(">u4", "False", "(1,)"), 1, 2, 3, 4), tensor.Tensor{DType: tensor.Uint32, Shape: []int64{1}, Data: []byte{4, 3, 2, 1}}},
		"columns first":  {npy(1, head("|u1", "True", "(2, 3)"), 1, 4, 2, 5, 3, 6), tensor.Tensor{DType: tensor.Uint8, Shape: []int64{2, 3}, Data: []byte{1, 2, 3, 4, 5, 6}}},
		"other quotes":   {npy(1, "{\"shape\":(1,),\"descr\":\"|u1\",\"fortran_order\":True}", 9), tensor.Tensor{DType: tensor.Uint8, Shape: []int64{1}, Data: []byte{9}}},
		"byte strings": {
			npy(1, head("|S3", "False", "(2,)"), []byte("a\x00b\xff\x00\x00")...), onnxmodel.Strings("", "a\x00b", "\xff"),
		},
		"strings": {
			npy(1, head("<U2", "False", "(2,)"), 'h', 0, 0, 0, 0xac, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), onnxmodel.Strings("", "h€", ""),
		},
		"strings, big-endian, columns first": {
			npy(1, head(">U1", "True", "(1, 2)"), 0, 0, 0, 'x', 0, 1, 0xf6, 0),
			tensor.Tensor{DType: tensor.Bytes, Shape: []int64{1, 2}, Data: onnxmodel.Strings("", "x", "😀").Data},
		},
		"empty strings":    {npy(1, head("<U0", "False", "(2,)")), onnxmodel.Strings("", "", "")},
		"Python 2's longs": {npy(1, head("|u1", "False", "(1L,)"), 9), tensor.Tensor{DType: tensor.Uint8, Shape: []int64{1}, Data: []byte{9}}},
	}
	for name, tt := range tests {
		got, err := dataset.ReadNPY(tt.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadNPYRefusesWithAReason(t *testing.T) {
	const save = "Give a file that numpy.save wrote."
	tests := map[string]struct {
		data    []byte
		kind    fault.Kind
		message string
		hint    string
	}{
		"nothing":   {nil, fault.Invalid, "the data is not a NumPy array", save},
		"version 9": {npy(9, "{}"), fault.Unsupported, "the array has version 9.0 of the .npy format, 1.0, 2.0 and 3.0 are read", save},
		"cut": {
			npy(1, head("<f4", "False", "(2,)"), 1, 2), fault.Invalid, "the array has 2 bytes of data, want 8 for FP32[2]",
			"Save the array again with numpy.save; the file is damaged or was cut off.",
		},
		"cut inside its header": {npy(1, head("<f4", "False", "(2,)"))[:40], fault.Invalid, "the array is cut off inside its header", save},
		"a long header":         {npy(2, strings.Repeat(" ", 10_001)), fault.TooLarge, "the header of the array has 10001 bytes, the limit is 10000", save},
		"a terabyte": {
			npy(1, head("<f4", "False", "(1048576, 1048576)")), fault.TooLarge,
			"the array claims FP32[1048576,1048576], the limit is 268435456 bytes", "Give a smaller array.",
		},
		"an overflow":   {npy(1, head("<f4", "False", "(9223372036854775807, 4)")), fault.TooLarge, "the array claims FP32[9223372036854775807,4], the limit is 268435456 bytes", "Give a smaller array."},
		"code":          {npy(1, "__import__('os')"), fault.Invalid, `the header of the array, "__import__('os')", is not one of NumPy's`, save},
		"a key twice":   {npy(1, "{'descr': '<f4', 'descr': '<f4', 'shape': ()}"), fault.Invalid, `the header of the array, "{'descr': '<f4', 'descr': '<f4', 'shape': ()}", is not one of NumPy's`, save},
		"a number":      {npy(1, "{'descr': '|u1', 'shape': (-1,)}"), fault.Invalid, `the header of the array, "{'descr': '|u1', 'shape': (-1,)}", is not one of NumPy's`, save},
		"objects":       {npy(1, head("|O", "False", "(2,)")), fault.Unsupported, `the array holds Python objects ("|O")`, "Save an array of numbers, or of strings as array.astype(str) makes it; objects could run code when they are read."},
		"no character":  {npy(1, head("<U1", "False", "(2,)"), 'a', 0, 0, 0, 0, 0xd8, 0, 0), fault.Invalid, "the array: string 1 has 0xd800 at 0, which is no character", "Save the array again with numpy.save."},
		"long strings":  {npy(1, head("|S1048577", "False", "(2,)")), fault.Unsupported, `the array holds an element type that is not read ("|S1048577")`, "Convert the array, for instance with array.astype(numpy.float32)."},
		"swapped bytes": {npy(1, head("|U1", "False", "(2,)")), fault.Unsupported, `the array holds an element type that is not read ("|U1")`, "Convert the array, for instance with array.astype(numpy.float32)."},
		"strings of nothing": {
			npy(1, head("<U0", "False", "(1000000000,)")), fault.TooLarge, "the array claims BYTES[1000000000], the limit is 268435456 bytes", "Give a smaller array.",
		},
		"cut strings": {
			npy(1, head("|S3", "False", "(2,)"), 'a', 'b'), fault.Invalid, "the array has 2 bytes of data, want 6 for BYTES[2]",
			"Save the array again with numpy.save; the file is damaged or was cut off.",
		},
		"complex":       {npy(1, head("<c8", "False", "(2,)")), fault.Unsupported, `the array holds complex numbers ("<c8")`, "Save the real and the imaginary part as two arrays."},
		"long doubles":  {npy(1, head("<f16", "False", "(2,)")), fault.Unsupported, `the array holds an element type that is not read ("<f16")`, "Convert the array, for instance with array.astype(numpy.float32)."},
		"records":       {npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}"), fault.Unsupported, "the array holds records, arrays of numbers are read", "Save each field as an array of its own, with numpy.savez."},
		"a strange bit": {npy(1, head("|b1", "False", "(1,)"), 7), fault.Invalid, "the array: element 0 of BOOL is the byte 7, want 0 or 1", "Save the array again with numpy.save."},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dataset.ReadNPY(tt.data)
			checkFault(t, err, tt.kind, tt.message, tt.hint)
		})
	}
}

// member is one file of an archive.
type member struct {
	name string
	data []byte
}

func npz(tb testing.TB, members ...member) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		f, err := w.Create(m.name)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := f.Write(m.data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func example(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "digits", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestReadNPZReadsTheDigits(t *testing.T) {
	for file, want := range map[string]string{
		"heldout.npz": "images UINT8 [360 8 8], labels UINT8 [360]",
		"golden.npz":  "image FP32 [10 1 8 8], probabilities FP32 [10 10]",
	} {
		arrays, err := dataset.ReadNPZ(example(t, file))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range arrays {
			got = append(got, fmt.Sprintf("%s %s %v", a.Name, a.DType, a.Shape))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s = %s, want %s", file, s, want)
		}
	}
}

func TestReadNPZKeepsTheOrderOfTheArchive(t *testing.T) {
	// numpy.savez_compressed(f, b=[1, 2] as uint8, a=[[0, 1], [2, 3]] as big-endian int16, columns first)
	const golden = "504b03042d0000000800000021006202655fffffffffffffffff05001400622e6e707901001000820000000000000046000000000000009bec17ea1b10c9c8" +
		"50c650ad9e925a9c5ca46ea5a05e536aa8aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91a463a9a3a0ab50a14002e462600504b03042d" +
		"00000008000000210029bcd9acffffffffffffffff05001400612e6e70790100100088000000000000004d000000000000009bec17ea1b10c9c850c650ad9e925a9c5c" +
		"a46ea5a06e9769a4aea3a09e965f54529498179f5f94920a120f292a4d050a17672416a402b91a463a0a469a3a0ab50ae4032e060606260646066600504b01022d032d" +
		"0000000800000021006202655f4600000082000000050000000000000000000000800100000000622e6e7079504b01022d032d00000008000000210029bcd9ac4d0000" +
		"008800000005000000000000000000000080017d000000612e6e7079504b0506000000000200020066000000010100000000"
	data, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, err := dataset.ReadNPZ(data)
	if err != nil {
		t.Fatal(err)
	}
	want := []tensor.Tensor{
		{Name: "b", DType: tensor.Uint8, Shape: []int64{2}, Data: []byte{1, 2}},
		{Name: "a", DType: tensor.Int16, Shape: []int64{2, 2}, Data: []byte{0, 0, 1, 0, 2, 0, 3, 0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadNPZRefusesWithAReason(t *testing.T) {
	const hint = "Give a file that numpy.savez or numpy.savez_compressed wrote."
	one := npy(1, head("|u1", "False", "(2,)"), 5, 6)
	bomb := npz(t, member{"x.npy", npy(1, head("|u1", "False", "(2,)"), make([]byte, 1<<20)...)})
	huge := npz(t, member{"x.npy", one})
	central := bytes.LastIndex(huge, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(huge[central+24:], 1<<30)
	sum := npz(t, member{"x.npy", one})
	central = bytes.LastIndex(sum, []byte("PK\x01\x02"))
	sum[central+16] ^= 1                                // the checksum
	vast := npy(1, head("<U0", "False", "(33554433,)")) // 128 MiB of lengths
	tests := map[string]struct {
		data    []byte
		kind    fault.Kind
		message string
		hint    string
	}{
		"nothing":     {nil, fault.Invalid, "the data is not a NumPy archive: zip: not a valid zip file", hint},
		"empty":       {npz(t), fault.Invalid, "the archive has 0 arrays, want 1 to 256", hint},
		"another":     {npz(t, member{"../a.txt", nil}), fault.Invalid, `the archive has a member "../a.txt", want only .npy files`, hint},
		"twice":       {npz(t, member{"x.npy", one}, member{"x.npy", one}), fault.Invalid, `the archive has two arrays named "x"`, hint},
		"a bad array": {npz(t, member{"x.npy", []byte("x")}), fault.Invalid, `array "x": the data is not a NumPy array`, "Give a file that numpy.save wrote."},
		"a bomb":      {bomb, fault.Invalid, `array "x": has 1048643 bytes, want 69 by its header`, hint},
		"a claim":     {huge, fault.TooLarge, `array "x" brings the archive to more than 268435456 bytes`, "Give fewer or smaller arrays."},
		"strings that take more than their bytes": {
			npz(t, member{"x.npy", vast}, member{"y.npy", vast}), fault.TooLarge, `array "y" brings the archive to more than 268435456 bytes`, "Give fewer or smaller arrays.",
		},
		"a checksum": {sum, fault.Invalid, "array \"x\": the checksum or the size is wrong\nzip: checksum error", hint},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dataset.ReadNPZ(tt.data)
			checkFault(t, err, tt.kind, tt.message, tt.hint)
		})
	}
}

func FuzzReadNPY(f *testing.F) {
	f.Add(npy(1, head(">f4", "True", "(1, 2)"), 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(npy(3, head("|b1", "False", "()"), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := dataset.ReadNPY(data); err == nil {
			if err := tensor.CheckData(a.DType, a.Shape, a.Data); err != nil {
				t.Fatalf("accepted what is no tensor: %v", err)
			}
		}
	})
}

func FuzzReadNPZ(f *testing.F) {
	f.Add(example(f, "golden.npz"))
	f.Add(npz(f, member{"x.npy", npy(1, head("|u1", "False", "(2,)"), 5, 6)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		arrays, err := dataset.ReadNPZ(data)
		for _, a := range arrays {
			if err = tensor.CheckData(a.DType, a.Shape, a.Data); err != nil {
				t.Fatalf("accepted what is no tensor: %v", err)
			}
		}
		if err == nil && len(arrays) == 0 {
			t.Fatal("accepted no arrays")
		}
	})
}

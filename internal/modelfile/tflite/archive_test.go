package tflite_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/modelfile/tflite"
)

func TestLabelsReadsTheFileThatTheOutputNames(t *testing.T) {
	tests := map[string]struct {
		model fields
		files []string
		want  []string
	}{
		"the metadata name one of several": {small(), []string{"labels.txt", "cat\r\n\ndog\n", "more.txt", "x"}, []string{"cat", "", "dog"}},
		"the only text file":               {tiny(), []string{"a.bin", "y", "names.TXT", "\ufeffone"}, []string{"one"}},
		"two text files":                   {tiny(), []string{"a.txt", "y", "b.txt", "one"}, nil},
		"an empty file":                    {tiny(), []string{"a.txt", ""}, []string{}},
		"no archive":                       {tiny(), nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			data := file(tt.model)
			if tt.files != nil {
				data = append(data, archive(tt.files...)...)
			}
			got, err := labels(data, tflite.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Labels (-want +got):\n%s", diff)
			}
		})
	}
}

func labels(data []byte, limits tflite.Limits) ([]string, error) {
	r := bytes.NewReader(data)
	m, err := tflite.Read(r, r.Size(), limits)
	if err != nil {
		return nil, err
	}
	return tflite.Labels(r, r.Size(), m, limits)
}

func TestLabelsRefusesWithAReason(t *testing.T) {
	long := strings.Repeat("x", 5000)
	damaged := archive("a.txt", long)
	damaged[60] ^= 0xff
	strange := archive("a.txt", "x")
	strange[bytes.Index(strange, []byte("PK\x01\x02"))+10] = 99 // the method of packing
	tests := map[string]struct {
		model   fields
		archive []byte
		kind    fault.Kind
		message string
	}{
		"a file that is not there": {
			small(), archive("b.txt", "x"), fault.Corrupt, `the metadata name the label file "labels.txt", which is not among the appended files`,
		},
		"a line that is too long": {tiny(), archive("a.txt", "x\n"+long), fault.TooLarge, `label file "a.txt" has 5000 bytes in line 2, the limit is 4096`},
		"too many lines":          {tiny(), archive("a.txt", strings.Repeat("\n", 1<<17+1)), fault.TooLarge, `label file "a.txt" has 131073 lines, the limit is 131072`},
		"a bomb":                  {tiny(), archive("a.txt", strings.Repeat("\n", 1<<23)), fault.TooLarge, `label file "a.txt" has more than 4194304 bytes`},
		"no text":                 {tiny(), archive("a.txt", "\xff\xfe"), fault.Corrupt, `label file "a.txt" is not UTF-8 text`},
		"packed in another way":   {tiny(), strange, fault.Unsupported, `label file "a.txt": zip: unsupported compression algorithm`},
		"damaged":                 {tiny(), damaged, fault.Corrupt, `label file "a.txt": flate: corrupt input before offset 26`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := labels(append(file(tt.model), tt.archive...), tflite.DefaultLimits())
			if fault.KindOf(err) != tt.kind || fault.Message(err) != tt.message {
				t.Errorf("Labels = %v (%v), want %q", err, fault.KindOf(err), tt.message)
			}
		})
	}
}

func TestAHugeDirectoryIsNotRead(t *testing.T) {
	var files []string
	for range 20000 {
		files = append(files, strings.Repeat("n", 100), "")
	}
	got, err := read(append(file(tiny()), archive(files...)...))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"The appended files cannot be read: reading the appended files takes more than 1048576 bytes."}
	if diff := cmp.Diff(want, got.Notes); diff != "" || got.Files != nil {
		t.Errorf("%d files, notes (-want +got):\n%s", len(got.Files), diff)
	}
}

func TestMetadataThatAreWrongAreNoError(t *testing.T) {
	twice := metadata()
	twice[3] = []fields{{2: []fields{{0: "one"}, {0: "two"}}}}
	bad := metadata()
	bad[3] = []fields{{2: []fields{{4: []fields{{0: uint8(1), 1: fields{0: []float32{nan()}}}}}}}}
	tests := map[string]struct {
		data  []byte
		want  *tflite.Metadata
		notes []string
	}{
		"cut":              {encode(metadata(), "M001")[:6], nil, []string{"The TFLite metadata cannot be read: at byte 136: 6 bytes are too few for a ModelMetadata."}},
		"another format":   {encode(metadata(), "X001"), nil, []string{`The TFLite metadata cannot be read: at byte 136: a ModelMetadata has the identifier "X001", want "M001".`}},
		"not a number":     {encode(bad, "M001"), nil, []string{"The TFLite metadata cannot be read: the normalization in the metadata has the number NaN."}},
		"another model's":  {encode(twice, "M001"), &tflite.Metadata{Name: "small", Description: "A model.", Version: "v1", Author: "nobody", Licence: "none"}, nil},
		"none of subgraph": {encode(fields{0: "m"}, "M001"), &tflite.Metadata{Name: "m"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := model([]fields{code(addCode)}, []fields{tinyGraph()}, make([]byte, 16), tt.data)
			got, err := read(file(m.with(fields{6: []fields{{0: "TFLITE_METADATA", 1: uint32(2)}}})))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Metadata); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, got.Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

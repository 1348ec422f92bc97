package deployfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verge/internal/deployfile"
	"verge/internal/document"
	"verge/internal/fault"
)

var update = flag.Bool("update", false, "rewrite the expected messages and documents")

// corpus returns the files of testdata whose names match, by name.
func corpus(tb testing.TB, patterns ...string) map[string][]byte {
	tb.Helper()
	all := map[string][]byte{}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil {
			tb.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				tb.Fatal(err)
			}
			all[filepath.Base(path)] = text
		}
	}
	if len(all) == 0 {
		tb.Fatal("no file matches")
	}
	return all
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestBadFilesAreRefusedWithEveryProblem(t *testing.T) {
	for name, text := range corpus(t, "*.bad.json", "*.bad.yaml") {
		t.Run(name, func(t *testing.T) {
			file, err := deployfile.Parse(text, name)
			if err == nil {
				t.Fatalf("Parse took %+v", file)
			}
			if got := fault.KindOf(err); got != fault.Invalid {
				t.Errorf("kind = %v, want %v", got, fault.Invalid)
			}
			golden(t, name+".message", []byte(fault.Message(err)+"\nhint: "+fault.HintOf(err)+"\n"))
		})
	}
}

func TestGoodFilesAreResolvedWithTheirDefaults(t *testing.T) {
	for name, text := range corpus(t, "*.good.json", "*.good.yaml") {
		t.Run(name, func(t *testing.T) {
			file, err := deployfile.Parse(text, name)
			if err != nil {
				t.Fatal(err)
			}
			resolved, err := file.Resolved()
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			b.Write(resolved)
			for _, note := range file.Notes() {
				b.WriteString(note.String() + "\n")
			}
			golden(t, name+".resolved", b.Bytes())

			again, err := deployfile.Parse(resolved, name)
			if err != nil {
				t.Fatalf("the resolved file is refused: %v", err)
			}
			if diff := cmp.Diff(file, again, cmpopts.IgnoreUnexported(deployfile.File{}, deployfile.Requirement{})); diff != "" {
				t.Errorf("the resolved file means something else (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDocumentedFormOfTheExamplesIsTaken(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/deployment*")
	if err != nil || len(paths) == 0 {
		t.Fatal("no example", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := deployfile.Parse(text, path); err != nil {
			t.Error(err)
		}
	}
}

func TestAFileOverTheSizeLimitIsTooLarge(t *testing.T) {
	_, err := deployfile.Parse(bytes.Repeat([]byte(" "), document.MaxBytes+1), "big.json")
	if got, want := fault.Message(err), "big.json: the deployment file has 1048577 bytes, at most 1048576 are read"; got != want || fault.KindOf(err) != fault.TooLarge {
		t.Errorf("Parse = %v %q, want %v %q", fault.KindOf(err), got, fault.TooLarge, want)
	}
}

func TestASpecIsAnObjectOrAText(t *testing.T) {
	yaml, _ := json.Marshal("model:\n  path: a.onnx\n")
	for name, test := range map[string]struct {
		spec    string
		wantErr string
	}{
		"an object":                    {spec: ` {"model": {"path": "a.onnx"}}`},
		"a text of YAML":               {spec: string(yaml)},
		"a text of JSON":               {spec: `"{\"model\": {\"path\": \"a.onnx\"}}"`},
		"a list":                       {spec: `[]`, wantErr: "spec: spec is neither a JSON object nor a JSON string with the text of a deployment file"},
		"nothing":                      {spec: ``, wantErr: "spec: spec is neither a JSON object nor a JSON string with the text of a deployment file"},
		"an object has no lines":       {spec: "{\n\"modle\": 1}", wantErr: "spec: model: is missing\nunknown key \"modle\"; did you mean model?"},
		"a text has lines":             {spec: `"\nmodel: {}"`, wantErr: "spec: line 2: model.path: is missing"},
		"a text that is no deployment": {spec: `"hello"`, wantErr: `spec: line 1: is "hello", want an object`},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := deployfile.ParseSpec(json.RawMessage(test.spec), "spec", deployfile.Options{})
			if got := fault.Message(err); got != test.wantErr {
				t.Fatalf("error = %q, want %q", got, test.wantErr)
			}
			if err == nil && file.Model.Path != "a.onnx" {
				t.Errorf("path = %q", file.Model.Path)
			}
		})
	}
}

func TestIgnoredPackagesAreNotLookedFor(t *testing.T) {
	spec := json.RawMessage(`{"model": {"path": "a.onnx"}, "required_packages": ["my_torch>=2", "onnxruntime", "numpy"]}`)
	file, err := deployfile.ParseSpec(spec, "spec", deployfile.Options{Ignore: []string{"My.Torch", "onnxruntime"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range file.RequiredPackages {
		got = append(got, r.Capability())
	}
	if diff := cmp.Diff([]string{"ignored", "ignored", "builtin:numpy"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestNamesFollowTheGrammar(t *testing.T) {
	for name, wantErr := range map[string]string{
		"a": "", "digits-2.v1_x": "", strings.Repeat("x", 128): "", "production": "", "x.productions": "",
		"":            `model name "" breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`,
		"-a":          `model name "-a" breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`,
		"a..b":        `model name "a..b" breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`,
		"ü":           `model name "ü" breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`,
		"a b":         `model name "a b" breaks the grammar: 1 to 128 of A-Z a-z 0-9 . _ -, first a letter or a digit, no ".."`,
		"a.staging":   `model name "a.staging" ends in .staging, which names a stage of a model`,
		"a.b.testing": `model name "a.b.testing" ends in .testing, which names a stage of a model`,
	} {
		err := deployfile.CheckName(name)
		if got := fault.Message(err); got != wantErr {
			t.Errorf("CheckName(%q) = %q, want %q", name, got, wantErr)
		}
		if err != nil && (fault.KindOf(err) != fault.Invalid || fault.HintOf(err) != "Give another name, in the deployment file or with --name.") {
			t.Errorf("CheckName(%q): kind %v, hint %q", name, fault.KindOf(err), fault.HintOf(err))
		}
	}
	if err := deployfile.CheckName(strings.Repeat("x", 129)); err == nil {
		t.Error("a name of 129 bytes is taken")
	}
}

func TestAModelIsNamedByItsFileOrItsFolder(t *testing.T) {
	for _, test := range []struct{ name, path, spec, want string }{
		{"digits", "x.onnx", "/a/d.json", "digits"},
		{"", "models/faces.v2.onnx", "/a/d.json", "faces.v2"},
		{"", "model.onnx", "/home/me/faces/d.json", "faces"},
		{"", "sub/model.tflite", "faces/d.json", "faces"},
		{"", "model.onnx", "d.json", "model"},
		{"", "model.onnx", "/d.json", "model"},
		{"", "plain", "d.json", "plain"},
	} {
		file := &deployfile.File{Name: test.name, Model: deployfile.Model{Path: test.path}}
		if got := file.ModelName(test.spec); got != test.want {
			t.Errorf("ModelName(%q) of %q %q = %q, want %q", test.spec, test.name, test.path, got, test.want)
		}
	}
}

func TestSmallDevicesHaveTighterLimits(t *testing.T) {
	for _, test := range []struct {
		deployment string
		memory     int
		size       int64
	}{
		{`{}`, 512, 0},
		{`{"device_type": "mobile"}`, 256, 256 << 20},
		{`{"device_type": "embedded"}`, 128, 64 << 20},
		{`{"memory_limit_mb": 300, "device_type": "embedded"}`, 300, 64 << 20},
	} {
		file, err := deployfile.Parse([]byte(`{"model": {"path": "a"}, "deployment": `+test.deployment+`}`), "d.json")
		if err != nil {
			t.Fatal(err)
		}
		if file.Deployment.MemoryLimitMB != test.memory || file.ModelSizeLimit() != test.size {
			t.Errorf("%s: %d MB, %d bytes; want %d, %d", test.deployment, file.Deployment.MemoryLimitMB, file.ModelSizeLimit(), test.memory, test.size)
		}
	}
}

func TestLogLevelsAreThoseOfSlog(t *testing.T) {
	for name, want := range map[string]slog.Level{"DEBUG": -4, "INFO": 0, "WARNING": 4, "ERROR": 8, "CRITICAL": 12} {
		if got := (deployfile.Deployment{LogLevel: name}).Level(); got != want {
			t.Errorf("Level of %s = %d, want %d", name, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range corpus(f, "*.good.json", "*.good.yaml", "*.bad.json", "*.bad.yaml") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := deployfile.Parse(text, "fuzz")
		if err != nil {
			var problems fault.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("an error without problems: %v", err)
			}
			return
		}
		resolved, err := file.Resolved()
		if err != nil {
			t.Fatal(err)
		}
		again, err := deployfile.Parse(resolved, "resolved")
		if err != nil {
			t.Fatalf("the resolved file is refused: %v\n%s", err, resolved)
		}
		if diff := cmp.Diff(file, again, cmpopts.IgnoreUnexported(deployfile.File{}, deployfile.Requirement{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the resolved file means something else (-want +got):\n%s", diff)
		}
	})
}

func TestAFallbackFromNamedProvidersIsNoIdleKey(t *testing.T) {
	for text, want := range map[string]int{
		`{"model":{"path":"m"},"deployment":{"fallback":"none"}}`:                            1,
		`{"model":{"path":"m"},"deployment":{"fallback":"none","providers":["CUDA","CPU"]}}`: 0,
	} {
		file, err := deployfile.Parse([]byte(text), "d.json")
		if err != nil {
			t.Fatal(err)
		}
		if notes := file.Notes(); len(notes) != want {
			t.Errorf("%s: notes %v, want %d", text, notes, want)
		}
	}
}

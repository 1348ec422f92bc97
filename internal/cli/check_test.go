package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verge/internal/cli"
)

func environ(entries ...string) cli.IO { return cli.IO{Environ: entries} }

// folder is a deployment file beside the demo model and models that are none.
func folder(t *testing.T, text string) (dir, path string) {
	t.Helper()
	dir, _ = badModels(t)
	write(t, dir, "digits.onnx", read(t, examples+"digits.onnx"))
	return dir, write(t, dir, "deployment.yaml", []byte(text))
}

func TestCheckFindsWhatIsWrongWithADeployment(t *testing.T) {
	const small = "deployment: {memory_limit_mb: 1, cpu_threads: 1}\n"
	var all strings.Builder
	runtimes := library(t)
	for _, text := range []string{
		"model: {path: digits.onnx}\n" + small,
		"model: {path: digits.onnx, optimization_config: {quantize: true}}\n" + small,
		"model: {path: digits.onnx, optimize: true, labels: picture.onnx}\ndeployment: {memory_limit_mb: 1, cpu_threads: 1, optimization_level: 3}\n",
		"model: {path: digits.onnx, format: tflite, sha256: " + strings.Repeat("a", 64) + "}\n" + small + "required_packages: [onnxruntime>=99]\n",
		"model: {path: digits.onnx, formt: onnx}\ndeployment: {batch_size: 0, cpu_threads: many}\nstage: live\nisolation: thread\nrequired_packages: [tensorfow]\n",
		"model: {path: absent.onnx, labels: folder}\ntests: {functional_test: {golden: empty.onnx}}\n",
		"model: {path: model.tflite}\n" + small,
		"model: {path: truncated.onnx}\n" + small,
		"model: {path: digits.onnx}\nname: digits.testing\n",
		"model: [\n",
	} {
		dir, path := folder(t, text)
		r := verge(t, "check", path, "--runtime-dir", runtimes)
		all.WriteString(text + strings.ReplaceAll(r.transcript(), dir, "DIR") + "\n")
	}
	golden(t, "check", all.String())
}

func TestCheckTellsProgramsWhatItFound(t *testing.T) {
	runtimes := library(t)
	_, path := folder(t, "model: {path: digits.onnx}\ndeployment: {memory_limit_mb: 1, cpu_threads: 1}\n")
	golden(t, "check-json", verge(t, "check", path, "--json", "--runtime-dir", runtimes).transcript())

	for text, paths := range map[string][]string{
		"model: {path: digits.onnx, format: openvino}\n": {"model.format"},
		"model: {path: absent.onnx, labels: absent}\n":   {"model.path", "model.labels"},
		"model: {path: 7}\nstag: x\n":                    {"model.path", ""},
	} {
		_, path := folder(t, text)
		r := verge(t, "check", path, "--json", "--runtime-dir", runtimes)
		var got struct {
			Problems []struct{ Path, Message string }
			Warnings []string
		}
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.status != 1 || r.err != "" || got.Warnings == nil {
			t.Errorf("%s%v: %s", text, err, r.transcript())
			continue
		}
		var seen []string
		for _, p := range got.Problems {
			seen = append(seen, p.Path)
		}
		if strings.Join(seen, " ") != strings.Join(paths, " ") {
			t.Errorf("%sproblems with %v, want %v", text, seen, paths)
		}
	}
	verge(t, "check", "--json", "/nowhere").want(t, 1, "", "verge: /nowhere: no such file\nHint: Check the path.\n")
}

func TestPackagesThatAreIgnoredAreNotLookedFor(t *testing.T) {
	_, path := folder(t, "model: {path: digits.onnx}\ndeployment: {memory_limit_mb: 1, cpu_threads: 1}\nrequired_packages: [torch, onnxruntime>=99]\n")
	r := verge(t, "check", path, "--runtime-dir", library(t), "--ignore-package", "torch,onnxruntime", "--name", "numbers")
	if r.status != 0 || !strings.Contains(r.out, "numbers would run in onnxruntime on 1 thread; nothing was loaded\n") {
		t.Errorf("%s", r.transcript())
	}
}

func TestAModelCalledModelIsNamedAfterItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "faces")
	write(t, dir, "model.onnx", read(t, examples+"digits.onnx"))
	path := write(t, dir, "deployment.yaml", []byte("model: {path: model.onnx}\ndeployment: {memory_limit_mb: 1, cpu_threads: 1}\n"))
	t.Chdir(dir)
	for _, given := range []string{path, "deployment.yaml"} {
		if r := verge(t, "check", given, "--runtime-dir", library(t)); !strings.Contains(r.out, ": faces would run") {
			t.Errorf("%s: %s", given, r.transcript())
		}
	}
	verge(t, "check", "absent.yaml").want(t, 1, "",
		"verge: absent.yaml: no such file\nHint: Paths on the command line count from here ("+dir+"), those in a deployment file from its folder.\n")
}

func TestAHugeLabelsFileIsNotRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "digits.onnx", read(t, examples+"digits.onnx"))
	labels := write(t, dir, "labels.txt", nil)
	const size = 1 << 40 // it has no blocks on the disk
	if err := os.Truncate(labels, size); err != nil {
		t.Skip(err)
	}
	r := verge(t, "check", write(t, dir, "d.yaml", []byte("model: {path: digits.onnx, labels: labels.txt}\n")))
	if want := "labels.txt: the labels file has 1099511627776 bytes, the limit is 25800000"; r.status != 1 || !strings.Contains(r.out+r.err, want) {
		t.Errorf("no %q in\n%s", want, r.transcript())
	}
}

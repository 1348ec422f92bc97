package cli_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/client"
	"verge/internal/config"
	"verge/internal/deployfile"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/inference/inferencetest/onnxmodel"
	"verge/internal/runtimeinstall"
	"verge/internal/tensor"
	"verge/internal/version"
)

func TestHelpTellsCommandsAndFlags(t *testing.T) {
	golden(t, "help", verge(t).transcript())
	if bare, asked := verge(t), verge(t, "--help"); bare != asked {
		t.Errorf("without arguments: %+v, with --help: %+v", bare, asked)
	}
	var all strings.Builder
	for _, command := range []string{
		"run", "serve", "deploy", "undeploy", "predict", "status", "check", "inspect", "device",
		"watch", "cancel", "history", "diff", "test", "shadow", "promote", "rollback", "pin", "runtime", "runtime install", "runtime list", "runtime verify", "config", "config check", "config show", "version",
	} {
		r := verge(t, append(strings.Fields(command), "--help")...)
		if r.status != 0 || r.err != "" {
			t.Errorf("verge %s --help: %s", command, r.transcript())
		}
		all.WriteString(withoutSettings(r.out) + "----\n")
	}
	golden(t, "help-commands", all.String())
}

// withoutSettings cuts out the flags that every command has.
func withoutSettings(help string) string {
	before, rest, _ := strings.Cut(help, "      --config=FILE")
	_, after, _ := strings.Cut(rest, "settings.\n")
	return before + after
}

func TestWrongUsageIsExitStatus2(t *testing.T) {
	var all strings.Builder
	for _, line := range []string{
		"deplyo x", "deploy", "deploy a b", "status --every 1ms", "status --jsn", "check", "check x --schema",
		"predict digits a.npy --input x=@b.npy", "predict digits --top=-1", "predict digits --timeout=-1s", "run x --for=-1s", "run x --for=soon",
		"history --limit 0", "runtime install", "runtime install onnxruntime --platform plan9", "runtime install onnxruntime --platform linux/riscv64", "runtime install onnxruntime --client curl",
		"inspect", "version now",
	} {
		r := verge(t, strings.Fields(line)...)
		if r.status != 2 || r.out != "" {
			t.Errorf("verge %s: %s", line, r.transcript())
		}
		all.WriteString("$ verge " + line + "\n" + r.err)
	}
	golden(t, "usage", all.String())
}

func TestVersionSaysWhatThisProgramIs(t *testing.T) {
	golden(t, "version", verge(t, "version").transcript()+verge(t, "version", "--json").transcript(),
		version.Version, "VERSION", runtime.Version(), "GO", runtime.GOOS+"/"+runtime.GOARCH, "OS/ARCH")
}

func TestInspectShowsWhatAModelFileSays(t *testing.T) {
	golden(t, "inspect", verge(t, "inspect", examples+"digits.onnx").transcript())
	golden(t, "inspect-json", verge(t, "inspect", examples+"digits.onnx", "--json").transcript())
}

func TestInspectShowsTheNamesOfOpenDimensions(t *testing.T) {
	value := func(name string, shape ...any) onnxmodel.Value {
		return onnxmodel.Value{Name: name, DType: tensor.FP32, Shape: shape}
	}
	path := write(t, t.TempDir(), "model.onnx", onnxmodel.Model{
		Nodes:   []onnxmodel.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:  []onnxmodel.Value{value("x", "batch", 3, "", "?", strings.Repeat("wide", 50)), value("open", "", 4), value("any")},
		Outputs: []onnxmodel.Value{value("y", "batch", 3)},
	}.Encode())
	r := verge(t, "inspect", path)
	for _, want := range []string{
		"input       x FP32[batch,3,?,?," + strings.Repeat("wide", 16) + "…]\n", "input       open FP32[-1,4]\n", "input       any FP32",
		"output      y FP32[batch,3]\n",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("want %q in %s", want, r.transcript())
		}
	}
	input := irmodel.Parameter("x", tensor.FP32)
	input.Data["shape"] = "..."
	ir := write(t, t.TempDir(), "model.xml", irmodel.Model{Layers: []irmodel.Layer{input, irmodel.Result("x")}}.Encode())
	if r := verge(t, "inspect", ir); !strings.Contains(r.out, "input       x FP32 of any rank\n") {
		t.Errorf("%s", r.transcript())
	}
}

// badModels are files that are no model, by name.
func badModels(t *testing.T) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, "empty.onnx", nil)
	write(t, dir, "model.tflite", append([]byte{28, 0, 0, 0}, "TFL3\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...))
	write(t, dir, "truncated.onnx", read(t, examples+"digits.onnx")[:5000])
	write(t, dir, "picture.onnx", read(t, examples+"samples/07.png"))
	write(t, dir, "text.onnx", []byte("this is no model at all, only text\n"))
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"absent.onnx", "empty.onnx", "folder", "pipe", "model.tflite", "truncated.onnx", "picture.onnx", "text.onnx", "text.onnx/deeper"}
}

func TestInspectSaysWhyAFileIsNoModel(t *testing.T) {
	dir, names := badModels(t)
	var all strings.Builder
	for _, name := range names {
		r := verge(t, "inspect", filepath.Join(dir, name))
		if r.status != 1 || r.out != "" {
			t.Errorf("%s: %s", name, r.transcript())
		}
		all.WriteString(r.err)
	}
	golden(t, "inspect-bad", all.String(), dir, "DIR")
}

func TestAnUnreadableFileIsNamed(t *testing.T) {
	path := write(t, t.TempDir(), "model.onnx", []byte("x"))
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		verge(t, "inspect", path).want(t, 1, "", "verge: "+path+": permission denied\nHint: Make it readable for this user.\n")
		return
	}
	// Root reads everything: ask as somebody else.
	if os.Getenv("VERGE_TEST_UNREADABLE") != "" {
		return
	}
	dir := publicDir(t)
	self := write(t, dir, "cli.test", read(t, "/proc/self/exe"))
	path = write(t, dir, "model.onnx", []byte("x"))
	for name, mode := range map[string]os.FileMode{self: 0o755, path: 0} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	child := exec.CommandContext(t.Context(), self, "-test.run", "TestAsSomebodyElse", "-test.v")
	child.Env, child.Dir = append(os.Environ(), "VERGE_TEST_UNREADABLE="+path), dir
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestAsSomebodyElse") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// publicDir is a folder that everybody may look into.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "verge-cli-") //nolint:usetesting // t.TempDir is for its owner only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAsSomebodyElse(t *testing.T) {
	path := os.Getenv("VERGE_TEST_UNREADABLE")
	if path == "" {
		t.Skip("is run by TestAnUnreadableFileIsNamed")
	}
	verge(t, "inspect", path).want(t, 1, "", "verge: "+path+": permission denied\nHint: Make it readable for this user.\n")
}

func TestDeviceIsWhatTheClientReads(t *testing.T) {
	r := verge(t, "device", "--json")
	decoder := json.NewDecoder(strings.NewReader(r.out))
	decoder.DisallowUnknownFields()
	var d client.Device
	if err := decoder.Decode(&d); err != nil || r.status != 0 || r.err != "" {
		t.Fatalf("%v: %s", err, r.transcript())
	}
	if d.OS != runtime.GOOS || d.CPU.Architecture != runtime.GOARCH || d.Memory.TotalBytes <= 0 || d.Disk == nil {
		t.Errorf("device = %+v", d)
	}
	text := verge(t, "device", "--runtime-dir", library(t))
	for _, want := range []string{"\nprocessor ", "\nmemory ", "\ndisk ", "\ngpu ", "\nnpu ", "\ntpu ", "\nonnxruntime  1.30.0 at /"} {
		if !strings.Contains("\n"+text.out, want) {
			t.Errorf("no %q in:\n%s", want, text.out)
		}
	}
}

func TestConfigShowIsAFileThatConfigCheckTakes(t *testing.T) {
	dir := t.TempDir()
	shown := verge(t, "config", "show", "--state-dir", dir, "--unix-socket", "/s", "--set", "serve.queue_size=7", "--http-address=")
	path := write(t, dir, "verge.yaml", []byte(shown.out))
	verge(t, "config", "check", "--config", path).want(t, 0, "the settings are valid\n", "")
	got, err := config.Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.StateDir, want.UnixSocket, want.HTTPAddress, want.Serve.QueueSize = dir, "/s", "", 7
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheFileOfSettingsMayComeFromTheEnvironment(t *testing.T) {
	path := write(t, t.TempDir(), "verge.yaml", []byte("serve: {queue_size: 3}\n"))
	r := vergeWith(t.Context(), t, environ("VERGE_CONFIG="+path), "config", "show")
	if !strings.Contains(r.out, "\n  queue_size: 3\n") {
		t.Errorf("VERGE_CONFIG is not heeded:\n%s", r.out)
	}
}

func TestSettingsThatAreWrongAreAllTold(t *testing.T) {
	path := write(t, t.TempDir(), "verge.yaml", []byte("serve: {queue_siz: 3}\nlog_level: loud\n"))
	r := vergeWith(t.Context(), t, environ("VERGE_LOG_FORMAT=xml"), "config", "check", "--config", path, "--set", "serve.max_timeout=x", "--http-address=0.0.0.0:80")
	golden(t, "config-bad", r.transcript(), path, "FILE")
	verge(t, "config", "check", "--config", "/nowhere.yaml").want(t, 1, "",
		"verge: read the settings: open /nowhere.yaml: no such file or directory\nHint: Name a file of settings with --config.\n")
}

func TestMetadataStayInTheirRow(t *testing.T) {
	path := write(t, t.TempDir(), "m.onnx", onnxmodel.Model{
		Nodes:  []onnxmodel.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs: []onnxmodel.Value{{Name: "x", DType: tensor.FP32, Shape: []any{1}}}, Outputs: []onnxmodel.Value{{Name: "y", DType: tensor.FP32, Shape: []any{1}}},
		Metadata: map[string]string{"lines": "one\nfake: two", "long": strings.Repeat("é", 200)},
	}.Encode())
	r := verge(t, "inspect", path)
	for _, want := range []string{"  lines = one fake: two\n", "  long = " + strings.Repeat("é", 100) + "… (400 bytes)\n"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in %s", want, r.transcript())
		}
	}
}

func TestLibrariesAreListed(t *testing.T) {
	dir := library(t)
	write(t, dir, "onnxruntime/1.20.0/libonnxruntime.so.1.20.0", []byte("no library"))
	golden(t, "runtime-list", verge(t, "runtime", "list", "--runtime-dir", dir).transcript(), dir, "DIR")
	r := verge(t, "runtime", "list", "--runtime-dir", dir, "--json")
	var all []client.Runtime
	if err := json.Unmarshal([]byte(r.out), &all); err != nil || len(all) < 2 || all[0].Version != "1.30.0" || all[1].Error == "" {
		t.Errorf("%v: %s", err, r.transcript())
	}
}

func TestWithoutALibraryTheWayToOneIsNamed(t *testing.T) {
	elsewhere, err := runtimeinstall.New(runtimeinstall.Config{Defaults: runtimeinstall.DefaultDirs(os.Getuid(), os.Getenv)})
	if err != nil {
		t.Fatal(err)
	}
	if len(elsewhere.List()) > 0 {
		t.Skip("ONNX Runtime is installed on this machine")
	}
	dir := t.TempDir()
	verge(t, "runtime", "list", "--runtime-dir", dir).want(t, 0, "no library is here; verge runtime install onnxruntime brings one\n", "")
	verge(t, "runtime", "list", "--runtime-dir", dir, "--json").want(t, 0, "[]\n", "")
	r := verge(t, "runtime", "verify", "--runtime-dir", dir)
	r.want(t, 1, "", "verge: no library was installed, so there is none to verify\n"+
		"Hint: verge runtime install brings one; verge runtime list shows those of the system.\n")
	r = verge(t, "runtime", "verify", "onnxruntime", "--runtime-dir", dir)
	if r.status != 1 || !strings.HasPrefix(r.err, "verge: runtime onnxruntime: it is not installed (looked in "+dir) ||
		!strings.HasSuffix(r.err, "\nHint: Run: verge runtime install onnxruntime\n") {
		t.Errorf("verify: %s", r.transcript())
	}
}

func TestALibraryOfOtherBytesIsNotWhatWasPinned(t *testing.T) {
	dir := library(t)
	sum := sha256.Sum256(read(t, dir+"/onnxruntime/1.30.0/libonnxruntime.so.1.30.0"))
	write(t, dir, "litert/2.3.0/libLiteRt.so.2.3.0", read(t, dir+"/onnxruntime/1.30.0/libonnxruntime.so.1.30.0"))
	golden(t, "runtime-verify", verge(t, "runtime", "verify", "--runtime-dir", dir).transcript(), dir, "DIR", hex.EncodeToString(sum[:]), "SHA256")
	verge(t, "runtime", "verify", "tensorflow").want(t, 1, "", verge(t, "runtime", "install", "tensorflow", "--from", dir).err)
	r := verge(t, "runtime", "verify", "--platform", "linux", "--runtime-dir", dir)
	r.want(t, 2, "", "verge: runtime verify: platform \"linux\": want a system and a processor\nHint: verge --help lists the commands, verge COMMAND --help their flags.\n")
}

func TestInstallingFromAFileThatIsNotThePackageIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "onnxruntime.whl", []byte("PK\x03\x04 not the wheel"))
	r := verge(t, "runtime", "install", "onnxruntime", "--from", path, "-o", filepath.Join(dir, "out"))
	if r.status != 1 || !strings.Contains(r.err, "verge: ") || !strings.Contains(r.err, "Hint: ") {
		t.Errorf("%s", r.transcript())
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "out", "onnxruntime", "*")); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
}

func TestTheSchemaIsPrinted(t *testing.T) {
	want, err := deployfile.Schema()
	if err != nil {
		t.Fatal(err)
	}
	verge(t, "check", "--schema").want(t, 0, string(want)+"\n", "")
}

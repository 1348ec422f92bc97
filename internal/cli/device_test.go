package cli_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/cli"
	"verge/internal/device"
	"verge/internal/device/vendorprobe"
)

const machines = "../device/testdata/"

func TestDeviceFollowsTheRoot(t *testing.T) {
	none := t.TempDir() // two processors, and nothing else
	write(t, none, "sys/devices/system/cpu/online", []byte("0-1\n"))
	roots := map[string]string{"none": none}
	for _, name := range []string{"jetsonorin", "raspberrypi5", "rk3588", "intelnpu", "nvidiapc", "coralusb", "coralpcie", "pc", "container"} {
		roots[name] = machines + name
	}
	for name, root := range roots {
		golden(t, "device-"+name, verge(t, "device", "--root", root, "--arch", archOf(name)).transcript())
		r := verge(t, "device", "--root", root, "--arch", archOf(name), "--json")
		var out bytes.Buffer
		if err := json.Indent(&out, []byte(r.out), "", "  "); err != nil {
			t.Fatalf("%s: %v: %s", name, err, r.transcript())
		}
		golden(t, "device-"+name+"-json", out.String())
	}
}

// archOf is the architecture of a machine that does not tell it itself.
func archOf(name string) string {
	if name == "none" {
		return "arm64"
	}
	return ""
}

func TestDeviceOfAnEmptyRootFindsNothing(t *testing.T) {
	dir := t.TempDir()
	r := verge(t, "device", "--root", dir, "--arch", "arm64")
	if !strings.Contains(r.out, "processor   unknown (arm64)\n") || !strings.Contains(r.out, "\nthrottling  none seen\n") || strings.Contains(r.out, "\ndisk ") ||
		!strings.Contains(r.out, "\ntpu         none (looked for /dev/apex_[0-9]*, ") || r.status != 0 || r.err != "" {
		t.Errorf("%s", r.transcript())
	}
}

func TestLibrariesOfAnotherRootAreItsOwn(t *testing.T) {
	root := t.TempDir()
	self := library(t)
	const name = "/onnxruntime/1.30.0/libonnxruntime.so.1.30.0"
	write(t, root, "var/lib/verge/runtimes"+name, read(t, self+name))
	write(t, root, "usr/local/lib/libonnxruntime.so.1.29.0", append(read(t, self+name), 0)) // of its system
	r := verge(t, "device", "--root", root)
	if want := "\nonnxruntime  1.29.0 at " + root + "/usr/local/lib/libonnxruntime.so.1.29.0"; !strings.Contains(r.out, want) {
		t.Errorf("no %q in:\n%s", want, r.transcript())
	}
	if want := "\nonnxruntime  1.30.0 at " + root + "/var/lib/verge/runtimes" + name; !strings.Contains(r.out, want) {
		t.Errorf("no %q in:\n%s", want, r.transcript())
	}
	if want := "\ndisk "; !strings.Contains(r.out, want) { // the state directory is there
		t.Errorf("no %q in:\n%s", want, r.transcript())
	}
}

func TestARootThatIsNoFolderIsRefused(t *testing.T) {
	verge(t, "device", "--root", "/proc/version").want(t, 1, "", "verge: /proc/version: it is no folder\nHint: Name the root folder of a machine with --root.\n")
	verge(t, "device", "--arch", "z80").want(t, 2, "",
		"verge: --arch must be one of \"\",\"amd64\",\"arm64\",\"arm\" but got \"z80\"\nHint: verge --help lists the commands, verge COMMAND --help their flags.\n")
}

func TestDeviceWithoutARootIsThisMachine(t *testing.T) {
	r := verge(t, "device", "--json")
	decoder := json.NewDecoder(strings.NewReader(r.out))
	decoder.DisallowUnknownFields()
	var d client.Device
	if err := decoder.Decode(&d); err != nil || d.CPU.Architecture != runtime.GOARCH || d.Accelerators == nil || len(d.LookedFor) != 3 {
		t.Errorf("%v: %s", err, r.transcript())
	}
}

func TestDeviceShowsWhatVendorsLibrariesTell(t *testing.T) {
	const gib = int64(1 << 30)
	facts := device.At(machines+"nvidiapc", "").Facts("")
	vendorprobe.Merge(&facts, []vendorprobe.Answer{
		{Name: "nvml", Library: "/usr/lib/libnvidia-ml.so.1", Version: "590.48.01", Devices: []vendorprobe.Device{
			{
				Kind: device.GPU, Name: "NVIDIA GeForce RTX 3090", UUID: "GPU-00000000", Bus: "pci", Address: "0000:01:00.0",
				MemoryTotalBytes: new(24 * gib), MemoryFreeBytes: new(23 * gib), Celsius: new(66.0), Watts: new(215.5), BusyPercent: new(0.0),
			},
			{Kind: device.GPU, Name: "NVIDIA T400 4GB", MemoryTotalBytes: new(4 * gib), Bus: "pci", Address: "0000:41:00.0"},
		}},
		{Name: "cuda", Library: "/usr/lib/libcuda.so.1", Error: "libcuda.so.1: the probe died of SIGSEGV"},
	})
	text, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	var d client.Device
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err = decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(d)
	if err != nil || !bytes.Equal(again, text) {
		t.Errorf("%v; the client reads\n%s of\n%s", err, again, text)
	}
	var out bytes.Buffer
	if err = cli.ShowDevice(&out, &d); err != nil {
		t.Fatal(err)
	}
	golden(t, "device-probes", out.String())
}

func TestAProbeIsStartedWithALibraryThatIsKnown(t *testing.T) {
	verge(t, "probe", "opencl", "/lib/libOpenCL.so.1").want(t, 1, "",
		"verge: no library \"opencl\" with 1 paths\nHint: This command is started by verge itself; it knows cuda, edgetpu, nvml, openvino.\n")
}

package vendorprobe_test

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"verge/internal/device"
	"verge/internal/device/vendorprobe"
	"verge/internal/fault"
	"verge/internal/inference/inferencetest"
)

// patience is how long a test waits for what takes well under a second.
const patience = time.Minute

// fastExit keeps the race detector from waiting a second at the end of a process.
func fastExit() []string { return []string{"GORACE=atexit_sleep_ms=0"} }

// TestMain runs the tests, or this process is one that a Prober started: it asks, or
// is none that does.
func TestMain(m *testing.M) {
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch role {
	case "probe":
		if err := vendorprobe.Main(os.Args[2], os.Args[3:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "print": // text status
		os.Stdout.WriteString(os.Args[2])
		fmt.Fprintln(os.Stderr, "first\n\x1b[31mlast")
		if os.Args[3] != "0" {
			os.Exit(3)
		}
		os.Exit(0)
	case "flood":
		text := bytes.Repeat([]byte("x"), 1<<16)
		for {
			if _, err := os.Stdout.Write(text); err != nil {
				os.Exit(4)
			}
		}
	case "killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "hang":
		signal.Ignore(syscall.SIGTERM)
		select {}
	case "environment":
		fmt.Fprint(os.Stderr, strings.Join(os.Environ(), " "))
		os.Exit(5)
	}
	goleak.VerifyTestMain(m)
}

// prober returns one whose processes are this program in that role.
func prober(t *testing.T, role ...string) *vendorprobe.Prober {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return vendorprobe.New(append([]string{self}, role...), fastExit()).WithLimit(patience)
}

// compile builds a stand-in from testdata, with those words defined.
func compile(t *testing.T, source, file string, defined ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", source+".c"))
	if err != nil {
		t.Fatal(err)
	}
	head := ""
	for _, word := range defined {
		head += "#define " + word + "\n"
	}
	return inferencetest.Compile(t, file, head+string(text))
}

// ask asks one stand-in.
func ask(t *testing.T, name string, paths ...string) vendorprobe.Answer {
	t.Helper()
	return prober(t, "probe").Ask(t.Context(), []vendorprobe.Query{{Name: name, Paths: paths}})[0]
}

// nvmlDevices is what the stand-in of NVML has.
func nvmlDevices() []vendorprobe.Device {
	return []vendorprobe.Device{
		{
			Kind: device.GPU, Name: "NVIDIA GeForce RTX 3090", UUID: "GPU-00000000", Bus: "pci", Address: "0000:01:00.0", Node: "/dev/nvidia0",
			MemoryTotalBytes: new(24 * gib), MemoryFreeBytes: new(23 * gib),
			BusyPercent: new(float64(37)), Celsius: new(float64(66)), Watts: new(float64(215.5)),
		},
		{
			Kind: device.GPU, Name: "NVIDIA T400 4GB", UUID: "GPU-00000001", Bus: "pci", Address: "10000:41:00.0", Node: "/dev/nvidia1",
			MemoryTotalBytes: new(4 * gib), MemoryFreeBytes: new(3 * gib),
			BusyPercent: new(float64(0)), Celsius: new(float64(41)), // no reading of the power, which is not 0 W
		},
	}
}

func TestEachLibraryTellsItsDevices(t *testing.T) {
	for name, tc := range map[string]struct {
		source, file string
		defined      []string
		version      string
		devices      []vendorprobe.Device
	}{
		"nvml": {source: "nvml", file: "libnvidia-ml.so.1", version: "570.124.06", devices: nvmlDevices()},
		"cuda": {source: "cuda", file: "libcuda.so.1", version: "12.8", devices: []vendorprobe.Device{
			{Kind: device.GPU, Name: "NVIDIA GeForce RTX 3090", Bus: "pci", Address: "0000:01:00.0", Capability: "8.6", MemoryTotalBytes: new(24 * gib)},
			{Kind: device.GPU, Name: "Orin", Bus: "pci", Address: "0000:0a:00.0", Capability: "8.7", Unified: true, MemoryTotalBytes: new(8 * gib)},
		}},
		"edgetpu": {
			source: "edgetpu", file: "libedgetpu.so.1", version: "BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)",
			devices: []vendorprobe.Device{{Kind: device.TPU, Name: "Edge TPU", Bus: "usb", Address: "2-1"}},
		},
		"edgetpu with a card": {
			source: "edgetpu", file: "libedgetpu.so.1", defined: []string{"PCI"}, version: "BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)",
			devices: []vendorprobe.Device{{Kind: device.TPU, Name: "Edge TPU", Bus: "usb", Address: "2-1"}, {Kind: device.TPU, Name: "Edge TPU", Node: "/dev/apex_0"}},
		},
		"edgetpu without a device": {
			source: "edgetpu", file: "libedgetpu.so.1", defined: []string{"NONE"}, version: "BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)",
			devices: []vendorprobe.Device{},
		},
		"openvino": {source: "openvino", file: "libopenvino_c.so.2641", version: "2026.4.1-22982", devices: []vendorprobe.Device{
			{Kind: device.GPU, Name: "Intel(R) Arc(TM) Graphics (iGPU)", Bus: "pci", Address: "0000:00:02.0", Unified: true},
			{Kind: device.NPU, Name: "Intel(R) AI Boost", Bus: "pci", Address: "0000:00:0b.0"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := compile(t, tc.source, tc.file, tc.defined...)
			want := vendorprobe.Answer{Name: tc.source, Library: path, Version: tc.version, Devices: tc.devices}
			if diff := cmp.Diff(want, ask(t, tc.source, path)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestALibraryThatMisbehavesIsAText(t *testing.T) {
	for name, tc := range map[string]struct{ source, file, defined, want string }{
		"nvml crashes":            {"nvml", "libnvidia-ml.so.1", "CRASH", "libnvidia-ml.so.1: the probe died of SIGSEGV"},
		"nvml aborts":             {"nvml", "libnvidia-ml.so.1", "ABORT", "libnvidia-ml.so.1: the probe died of SIGABRT"},
		"nvml ends the process":   {"nvml", "libnvidia-ml.so.1", "EXIT", "libnvidia-ml.so.1: the probe ended without an answer"},
		"nvml lacks a function":   {"nvml", "libnvidia-ml.so.1", "NO_COUNT", "libnvidia-ml.so.1: it has no function nvmlDeviceGetCount_v2"},
		"nvml without its driver": {"nvml", "libnvidia-ml.so.1", "NO_DRIVER", "libnvidia-ml.so.1: nvmlInit_v2: Driver Not Loaded (status 9)"},
		"cuda crashes":            {"cuda", "libcuda.so.1", "CRASH", "libcuda.so.1: the probe died of SIGSEGV"},
		"cuda lacks a function":   {"cuda", "libcuda.so.1", "NO_COUNT", "libcuda.so.1: it has no function cuDeviceGetCount"},
		"cuda without a device":   {"cuda", "libcuda.so.1", "NO_DEVICE", "libcuda.so.1: cuInit: no CUDA-capable device is detected (CUDA_ERROR_NO_DEVICE)"},
	} {
		t.Run(name, func(t *testing.T) {
			path := compile(t, tc.source, tc.file, tc.defined)
			got := ask(t, tc.source, path)
			got.Version = ""
			if diff := cmp.Diff(vendorprobe.Answer{Name: tc.source, Library: path, Devices: []vendorprobe.Device{}, Error: tc.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestALibraryThatHangsIsKilled(t *testing.T) {
	for source, file := range map[string]string{"nvml": "libnvidia-ml.so.1", "cuda": "libcuda.so.1"} {
		path := compile(t, source, file, "HANG")
		got := prober(t, "probe").WithLimit(300*time.Millisecond).Ask(t.Context(), []vendorprobe.Query{{Name: source, Paths: []string{path}}})[0]
		if want := file + ": no answer in 300ms; the probe was killed"; got.Error != want {
			t.Errorf("error %q, want %q", got.Error, want)
		}
	}
}

func TestWhatALibraryPrintsIsNotItsAnswer(t *testing.T) {
	got := ask(t, "nvml", compile(t, "nvml", "libnvidia-ml.so.1", "GARBAGE"))
	if diff := cmp.Diff(nvmlDevices(), got.Devices); diff != "" || got.Error != "" {
		t.Errorf("error %q, devices (-want +got):\n%s", got.Error, diff)
	}
}

func TestOneLostDeviceDoesNotHideTheOthers(t *testing.T) {
	got := ask(t, "nvml", compile(t, "nvml", "libnvidia-ml.so.1", "LOST"))
	const want = "libnvidia-ml.so.1: device 1: nvmlDeviceGetHandleByIndex_v2: GPU is lost (status 15)"
	if diff := cmp.Diff(nvmlDevices()[:1], got.Devices); diff != "" || got.Error != want {
		t.Errorf("error %q, want %q; devices (-want +got):\n%s", got.Error, want, diff)
	}
	got = ask(t, "openvino", compile(t, "openvino", "libopenvino_c.so", "NO_NAME"))
	const wantNPU = "libopenvino_c.so: device NPU: ov_core_get_property: Exception from src/core.cpp:12: the driver is too old (status -1)"
	if len(got.Devices) != 1 || got.Devices[0].Kind != device.GPU || got.Error != wantNPU {
		t.Errorf("error %q, want %q; devices %v", got.Error, wantNPU, got.Devices)
	}
}

func TestTheFirstLibraryThatCanBeOpenedIsAsked(t *testing.T) {
	other := filepath.Join(t.TempDir(), "libedgetpu.so.1")
	if err := os.WriteFile(other, []byte("of another processor"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := compile(t, "edgetpu", "libedgetpu.so.1")
	if got := ask(t, "edgetpu", other, path); got.Library != path || got.Error != "" || len(got.Devices) != 1 {
		t.Errorf("%+v", got)
	}
	got := ask(t, "edgetpu", other)
	const want = "libedgetpu.so.1: not an ELF file, or not a whole one: "
	if got.Library != other || !strings.HasPrefix(got.Error, want) || len(got.Devices) != 0 {
		t.Errorf("error %q, want %q…: %+v", got.Error, want, got)
	}
}

func TestWhatAProbeLeavesBehindEndsWithIt(t *testing.T) {
	got := ask(t, "nvml", compile(t, "nvml", "libnvidia-ml.so.1", "LEAVE_BEHIND"))
	var pid int
	if _, err := fmt.Sscan(got.Version, &pid); err != nil || pid <= 1 {
		t.Fatalf("%v: %+v", err, got)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return // it is gone
	}
	if err != nil {
		t.Skipf("needs pidfd_open: %v", err)
	}
	defer unix.Close(fd)
	events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(events, int(patience.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Errorf("process %d goes on: %v", pid, err)
			syscall.Kill(pid, syscall.SIGKILL)
		}
		return
	}
}

func TestMainRefusesWhatIsNoQuestion(t *testing.T) {
	for _, tc := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"opencl", []string{"/x"}, `no library "opencl" with 1 paths`},
		{"nvml", nil, `no library "nvml" with 0 paths`},
	} {
		err := vendorprobe.Main(tc.name, tc.paths, os.Stdout)
		const hint = "This command is started by verge itself; it knows cuda, edgetpu, nvml, openvino."
		if fault.KindOf(err) != fault.Invalid || fault.Message(err) != tc.want || fault.HintOf(err) != hint {
			t.Errorf("Main = %v, hint %q, want %q, hint %q", err, fault.HintOf(err), tc.want, hint)
		}
	}
}

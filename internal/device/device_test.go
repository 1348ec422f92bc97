package device_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/client"
	"verge/internal/device"
	"verge/internal/fault"
)

func fixtures() []string {
	return []string{"pc", "raspberrypi5", "container", "cgroup1", "jetsonorin", "rk3588", "intelnpu", "nvidiapc", "coralusb", "coralpcie"}
}

func machine(name, arch string) *device.Machine {
	return device.At(filepath.Join("testdata", name), arch)
}

func TestFactsAreReadFromTheKernelsFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		arch string
		want device.Facts
	}{
		"pc": {"amd64", device.Facts{
			Board: device.Board{Model: "ASUSTeK COMPUTER INC. NUC14RVB", Vendor: "ASUSTeK COMPUTER INC."}, OS: runtime.GOOS, Kernel: "6.12.48+deb13-amd64", Libc: "glibc 2.41",
			CPU: device.CPU{
				Model: "Intel(R) Core(TM) Ultra 5 125H", Vendor: "GenuineIntel", Architecture: "amd64",
				Features: []string{"avx", "avx2", "fma", "f16c", "avx_vnni"}, Logical: 4, Allowed: 4, Usable: 4,
			},
			Memory:      device.Memory{TotalBytes: 16242280 << 10, AvailableBytes: 9884120 << 10, SwapTotalBytes: 2097148 << 10, SwapFreeBytes: 2000000 << 10},
			LoadAverage: []float64{0.52, 1.25, 2},
			Temperatures: []device.Temperature{
				{Sensor: "x86_pkg_temp", Celsius: 51, CPU: true},
				{Sensor: "iwlwifi_1", Celsius: 43},
				{Sensor: "coretemp Package id 0", Celsius: 52.5, CPU: true},
				{Sensor: "nvme Composite", Celsius: 38.85},
			},
		}},
		"raspberrypi5": {"arm64", device.Facts{
			Board: device.Board{Model: "Raspberry Pi 5 Model B Rev 1.0"}, OS: runtime.GOOS, Kernel: "6.6.51+rpt-rpi-2712", Libc: "glibc 2.36",
			CPU: device.CPU{
				Model: "Cortex-A76", Vendor: "ARM", Architecture: "arm64",
				Features: []string{"asimd", "asimdhp", "asimddp"}, Logical: 4, Allowed: 4, Usable: 4,
			},
			Memory:       device.Memory{TotalBytes: 8256368 << 10, AvailableBytes: 7511216 << 10, SwapTotalBytes: 102396 << 10, SwapFreeBytes: 102396 << 10},
			LoadAverage:  []float64{0, 0.01, 0.05},
			Temperatures: []device.Temperature{{Sensor: "cpu-thermal", Celsius: 56.55, CPU: true}, {Sensor: "rp1_adc", Celsius: 49.32}},
		}},
		"container": {"amd64", device.Facts{
			OS: runtime.GOOS, Libc: "musl",
			CPU: device.CPU{
				Model: "Intel(R) Core(TM) Ultra 5 125H", Vendor: "GenuineIntel", Architecture: "amd64",
				Features: []string{"avx", "avx2", "fma", "f16c", "avx_vnni"}, Logical: 16, Allowed: 9, Quota: 3.5, Usable: 3,
			},
			Memory: device.Memory{ // 768 MiB of 1 GiB are taken, 128 MiB of them by files that nobody uses
				TotalBytes: 65000000 << 10, AvailableBytes: 384 << 20, LimitBytes: 512 << 20,
			},
			LoadAverage: []float64{}, Temperatures: []device.Temperature{},
		}},
		"cgroup1": {"amd64", device.Facts{
			OS: runtime.GOOS,
			CPU: device.CPU{
				Model: "AMD EPYC", Vendor: "AuthenticAMD", Architecture: "amd64", Logical: 2, Allowed: 2, Quota: 0.5, Usable: 1,
				Features: []string{"avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16"},
			},
			Memory:      device.Memory{TotalBytes: 24684084 << 10, AvailableBytes: 268435456 - 100000000 + 40000000, LimitBytes: 268435456},
			LoadAverage: []float64{}, Temperatures: []device.Temperature{},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(name, tt.arch)
			got := m.Facts("")
			got.Accelerators, got.LookedFor = nil, nil // have tests of their own
			tt.want.Frequencies, tt.want.Throttling = []device.Frequency{}, device.Throttling{Active: []string{}, Past: []string{}}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if m.CPUs() != tt.want.CPU.Usable {
				t.Errorf("CPUs = %d, want %d", m.CPUs(), tt.want.CPU.Usable)
			}
			if free, err := m.AvailableMemory(); err != nil || free != tt.want.Memory.AvailableBytes {
				t.Errorf("AvailableMemory = %d, %v, want %d", free, err, tt.want.Memory.AvailableBytes)
			}
		})
	}
}

func TestFactsAreWhatTheClientReads(t *testing.T) {
	for _, name := range fixtures() {
		facts := machine(name, "amd64").Facts("/proc")
		text, err := json.Marshal(facts)
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		var read client.Device
		if err = decoder.Decode(&read); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(again)); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
	}
}

func TestThisMachineCanBeRead(t *testing.T) {
	m := device.New()
	facts := m.Facts(t.TempDir())
	if facts.CPU.Logical < 1 || facts.CPU.Usable < 1 || facts.Memory.TotalBytes < 1 || facts.Disk == nil || facts.Disk.TotalBytes < 1 {
		t.Errorf("facts of this machine: %+v", facts)
	}
	if _, err := m.NewCPUMeter().Percent(); err != nil && fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
}

func TestAMachineThatTellsNothingIsNoFailure(t *testing.T) {
	m := device.At(t.TempDir(), "riscv64")
	facts := m.Facts("")
	want := device.Facts{
		OS:           runtime.GOOS,
		CPU:          device.CPU{Architecture: "riscv64", Features: []string{}, Usable: 1},
		LoadAverage:  []float64{},
		Temperatures: []device.Temperature{},
		Frequencies:  []device.Frequency{},
		Throttling:   device.Throttling{Active: []string{}, Past: []string{}},
		Accelerators: []device.Accelerator{},
		LookedFor:    device.LookedFor(),
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err := m.AvailableMemory()
	wantError(t, err, fault.Unsupported, "/proc/meminfo: it does not say how much memory there is")
	_, err = m.NewCPUMeter().Percent()
	wantError(t, err, fault.Unsupported, "/proc/stat: it does not tell the processors' time")
	if celsius, ok := m.CPUTemperature(); ok {
		t.Errorf("CPUTemperature = %v without a sensor", celsius)
	}
	if found, lookedFor := m.Accelerators("fpga"); len(found)+len(lookedFor) != 0 {
		t.Errorf("an unknown kind has %v of %v", found, lookedFor)
	}
}

func TestTheHottestSensorOfTheProcessorCounts(t *testing.T) {
	if celsius, ok := machine("pc", "amd64").CPUTemperature(); !ok || celsius != 52.5 {
		t.Errorf("CPUTemperature = %v, %v, want 52.5", celsius, ok)
	}
}

func TestASensorThatAnswersWithAnErrorIsLeftOut(t *testing.T) {
	root := t.TempDir()
	write(t, root, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
	// A directory reads with an error, as a sensor that is off does.
	write(t, root, "sys/class/thermal/thermal_zone0/temp/x", "")
	write(t, root, "sys/class/thermal/thermal_zone1/type", "CPU-therm\n")
	write(t, root, "sys/class/thermal/thermal_zone1/temp", "41500\n")
	want := []device.Temperature{{Sensor: "CPU-therm", Celsius: 41.5, CPU: true}}
	if diff := cmp.Diff(want, device.At(root, "arm64").Temperatures()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSeveralKindsOfCoresAreCounted(t *testing.T) {
	root := t.TempDir()
	const little, big = "CPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n", "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
	write(t, root, "proc/cpuinfo", little+little+big+"CPU implementer\t: 0x99\nCPU part\t: 0x001\n")
	cpu := device.At(root, "arm64").CPU()
	if want := "2 × Cortex-A55 + 1 × Cortex-A76 + 1 × part 0x001"; cpu.Model != want || cpu.Vendor != "ARM" {
		t.Errorf("CPU = %q of %q, want %q of ARM", cpu.Model, cpu.Vendor, want)
	}
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, kind fault.Kind, text string) {
	t.Helper()
	if fault.KindOf(err) != kind || fault.Message(err) != text || fault.HintOf(err) != "" {
		t.Errorf("error = %v %q, hint %q, want %v %q", fault.KindOf(err), fault.Message(err), fault.HintOf(err), kind, text)
	}
}

package device_test

import (
	"math"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"verge/internal/device"
	"verge/internal/fault"
)

func TestTheMeterMeasuresFromOneReadingToTheNext(t *testing.T) {
	root := t.TempDir()
	stat := func(line string) { write(t, root, "proc/stat", line+"\ncpu0 1 2 3 4\n") }
	stat("cpu  1000 50 400 8000 150 0 30 20 7 0")
	m := device.At(root, "amd64")
	meter, other := m.NewCPUMeter(), m.NewCPUMeter()
	percent := func(meter *device.CPUMeter) float64 {
		t.Helper()
		got, err := meter.Percent()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	_, err := meter.Percent()
	wantError(t, err, fault.Unavailable, "processor time: no time has passed to measure")
	for _, step := range []struct {
		name, line string
		want       float64
	}{
		{"half of the time", "cpu  1040 50 405 8030 170 0 35 20 7 0", 50},
		{"no tick since", "cpu  1040 50 405 8030 170 0 35 20 7 0", 50},
		{"all of it, some taken by the hypervisor", "cpu  1060 50 405 8030 170 0 35 100 7 0", 100},
		{"waiting for disks is idle, and may run backwards", "cpu  1060 50 405 8130 160 0 35 110 7 0", 10},
	} {
		stat(step.line)
		if got := percent(meter); math.Abs(got-step.want) > 1e-9 {
			t.Errorf("%s: Percent = %v, want %v", step.name, got, step.want)
		}
	}
	if got := percent(other); math.Abs(got-100*160.0/300) > 1e-9 {
		t.Errorf("the other meter's Percent = %v, want 53.3", got)
	}
	stat("cpu  1 x 3 4 5")
	_, err = meter.Percent()
	wantError(t, err, fault.Corrupt, `/proc/stat: column 2 is "x", want a number`)
}

func TestMemoryInUseIsOfWhatTheProcessMayUse(t *testing.T) {
	for name, tt := range map[string]struct {
		memory device.Memory
		want   float64
	}{
		"the machine's":             {device.Memory{TotalBytes: 1000, AvailableBytes: 250}, 75},
		"the control group's":       {device.Memory{TotalBytes: 1000, LimitBytes: 200, AvailableBytes: 50}, 75},
		"more available than there": {device.Memory{TotalBytes: 1000, AvailableBytes: 2000}, 0},
	} {
		if got := tt.memory.UsagePercent(); got != tt.want {
			t.Errorf("%s: UsagePercent = %v, want %v", name, got, tt.want)
		}
	}
	if got := (device.Memory{}).UsagePercent(); !math.IsNaN(got) {
		t.Errorf("UsagePercent of nothing = %v, want no number", got)
	}
}

func TestADiskIsMeasuredAsDfDoes(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	write(t, dir, "quarter", string(make([]byte, 1<<18)))
	missing := filepath.Join(dir, "not", "made", "yet")
	got, err := device.New().Disk(missing)
	want := device.Disk{Path: missing, TotalBytes: 1 << 20, AvailableBytes: 3 << 18, UsagePercent: 25}
	if err != nil || got != want {
		t.Errorf("Disk = %+v, %v, want %+v", got, err, want)
	}
}

func FuzzKernelFiles(f *testing.F) {
	f.Add("cpu 1 2 3 4", "MemTotal: 5 kB\nMemAvailable: 3 kB", "0::/a/b", "1 2 0:3 / /cg rw - cgroup2 c rw", "max 100000", "0-3,5")
	f.Add("cpu", "MemTotal: -5 kB", "4:memory,cpu:/x/../y", "1 2 0:3 /x /cg rw - cgroup c rw,memory,cpu", "-1", "3-1")
	f.Add("cpu 18446744073709551615 1 1 1", "MemTotal: 9223372036854775807 kB", "0::", "1 2 0:3 / / - cgroup2 c", "1 0", "0-999999999999")
	f.Fuzz(func(t *testing.T, stat, meminfo, cgroup, mountinfo, bound, list string) {
		root := t.TempDir()
		for name, text := range map[string]string{
			"proc/stat": stat, "proc/meminfo": meminfo, "proc/cpuinfo": meminfo, "proc/loadavg": bound, "proc/self/cgroup": cgroup,
			"proc/self/mountinfo": mountinfo, "cg/cpu.max": bound, "cg/memory.max": bound, "cg/memory.current": bound,
			"sys/devices/system/cpu/online": list, "proc/self/status": "Cpus_allowed_list: " + list,
		} {
			write(t, root, name, text)
		}
		m := device.At(root, "arm64")
		facts := m.Facts("")
		if c := facts.CPU; c.Logical < 0 || c.Allowed < 0 || c.Allowed > c.Logical || c.Usable < 1 || c.Usable > max(1, c.Allowed) || c.Quota < 0 {
			t.Errorf("processors: %+v", c)
		}
		if mem := facts.Memory; mem.TotalBytes < 0 || mem.AvailableBytes < 0 || mem.LimitBytes < 0 || mem.SwapFreeBytes < 0 {
			t.Errorf("memory: %+v", mem)
		}
		if p := facts.Memory.UsagePercent(); p < 0 || p > 100 {
			t.Errorf("memory in use: %v", p)
		}
		if p, err := m.NewCPUMeter().Percent(); err == nil && (p < 0 || p > 100) {
			t.Errorf("processors in use: %v", p)
		}
	})
}

func BenchmarkCPUs(b *testing.B) {
	m := device.New()
	for b.Loop() {
		m.CPUs()
	}
}

func BenchmarkFacts(b *testing.B) {
	m := device.New()
	for b.Loop() {
		m.Facts("/")
	}
}

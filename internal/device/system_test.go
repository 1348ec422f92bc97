package device_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/device"
)

func TestABoardIsDescribedByItsFirmware(t *testing.T) {
	for name, want := range map[string]device.Board{
		"jetsonorin": {
			Model: "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", Vendor: "nvidia",
			Compatible: []string{"nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"},
			Release:    "L4T 36.4.3", PowerMode: "25W",
		},
		"rk3588":    {Model: "Radxa ROCK 5B", Vendor: "radxa", Compatible: []string{"radxa,rock-5b", "rockchip,rk3588"}},
		"intelnpu":  {Model: "Example Inc. Example Book 14", Vendor: "Example Inc."},
		"container": {},
	} {
		if diff := cmp.Diff(want, machine(name, "").Board()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAPowerModeWithoutANameIsANumber(t *testing.T) {
	for name, tt := range map[string]struct{ status, conf, release, wantMode, wantRelease string }{
		"no configuration":       {"pmode:0012\n", "", "# R35 (release), REVISION: 5.0, GCID: 1", "mode 12", "L4T 35.5.0"},
		"another number's name":  {"pmode:0001", "< POWER_MODEL ID=10 NAME=A >\n# < POWER_MODEL ID=1 NAME=B >", "", "mode 1", ""},
		"never set":              {"", "< POWER_MODEL ID=0 NAME=A >", "R36", "", ""},
		"no number":              {"pmode:-1", "", "# R36 (release), REVISION: x, GCID: 1", "", ""},
		"more than any has":      {"pmode:99999999999", "", "# R9999 (release), REVISION: 1, GCID: 1", "", ""},
		"blanks around the name": {"pmode:0000", "  <  POWER_MODEL  ID=0  NAME=MAXN  >", "# R32 (release), REVISION: 7.1, GCID: 1", "MAXN", "L4T 32.7.1"},
	} {
		root := t.TempDir()
		write(t, root, "proc/device-tree/compatible", "nvidia,p1\x00nvidia,tegra194\x00")
		write(t, root, "var/lib/nvpmodel/status", tt.status)
		write(t, root, "etc/nvpmodel.conf", tt.conf)
		write(t, root, "etc/nv_tegra_release", tt.release)
		if b := device.At(root, "arm64").Board(); b.PowerMode != tt.wantMode || b.Release != tt.wantRelease {
			t.Errorf("%s: %q, %q, want %q, %q", name, b.PowerMode, b.Release, tt.wantMode, tt.wantRelease)
		}
	}
}

func TestWhatSlowsTheMachineIsTold(t *testing.T) {
	count := int64(27)
	for name, want := range map[string]device.Throttling{
		"coralusb": {Active: []string{"throttled"}, Past: []string{"under-voltage", "throttled"}},
		"rk3588":   {Active: []string{"thermal-cpufreq-1 at 2 of 9", "soc-thermal at 86.1 °C, passive from 75.0 °C"}, Past: []string{}},
		// A fan that runs, an offset that is set and a zone below its trip point slow nothing.
		"jetsonorin": {Active: []string{}, Past: []string{}},
		"intelnpu":   {Active: []string{}, Past: []string{}, Count: &count},
	} {
		if diff := cmp.Diff(want, machine(name, "").Throttling()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTheVoltageAlarmIsUnderVoltage(t *testing.T) {
	root := t.TempDir()
	write(t, root, "sys/class/hwmon/hwmon0/name", "rpi_volt\n")
	write(t, root, "sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1\n")
	write(t, root, "sys/class/hwmon/hwmon1/name", "other\n")
	write(t, root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
	want := device.Throttling{Active: []string{"under-voltage"}, Past: []string{}}
	if diff := cmp.Diff(want, device.At(root, "arm64").Throttling()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProcessorsThatShareAClockAreTogether(t *testing.T) {
	want := []device.Frequency{
		{CPUs: []int{0, 1, 2, 3}, Governor: "schedutil", CurrentMHz: 960, LimitMHz: 1344, MaxMHz: 1728},
		{CPUs: []int{4, 5}, Governor: "schedutil", CurrentMHz: 729, LimitMHz: 1344, MaxMHz: 1728},
	}
	if diff := cmp.Diff(want, machine("jetsonorin", "").Frequencies()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheArchitectureIsThatOfTheFiles(t *testing.T) {
	for name, want := range map[string]string{"pc": "amd64", "rk3588": "arm64"} {
		if got := machine(name, "").CPU().Architecture; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for file, want := range map[string]string{"lib/ld-linux-armhf.so.3": "arm", "usr/lib/ld-linux-aarch64.so.1": "arm64", "lib64/ld-linux-x86-64.so.2": "amd64"} {
		root := t.TempDir()
		write(t, root, file, "")
		if got := device.At(root, "").CPU().Architecture; got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	root := t.TempDir()
	write(t, root, "proc/cpuinfo", "model name\t: ARMv7\nFeatures\t: half thumb neon vfpv4\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n")
	if got := device.At(root, "").CPU().Architecture; got != "arm" {
		t.Errorf("a 32-bit processor is %s, want arm", got)
	}
}

func TestLibrariesAreFoundWhereSystemsHaveThem(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n/opt/a\n")
	write(t, root, "etc/ld.so.conf.d/b.conf", "# comment\n/opt/b # more\nrelative\n")
	all := []string{
		"/opt/a/libx.so.1", "/opt/b/libx.so.2", "/usr/lib/aarch64-linux-gnu/libx.so.3", "/usr/lib/aarch64-linux-gnu/nvidia/libx.so.4",
		"/usr/lib/aarch64-linux-gnu/tegra/libx.so.5", "/usr/lib64/libx.so.6", "/usr/local/cuda-12.6/targets/aarch64-linux/lib/libx.so.7",
	}
	for _, name := range append(all, "/opt/c/libx.so.8", "/relative/libx.so.9", "/usr/lib64/libxy.so") {
		write(t, root, name, "")
	}
	if diff := cmp.Diff(all, device.At(root, "arm64").Libraries().Find("libx.so.*")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzBoardFiles(f *testing.F) {
	f.Add("# R36 (release), REVISION: 4.3, GCID: 1", "pmode:0001", "< POWER_MODEL ID=1 NAME=A >", "50005", "Model: \t\t X\nDevice Minor: \t 0\n", "NVRM version: 590.48.01  Release", "DRIVER=x\nOF_COMPATIBLE_0=nvidia,ga10b\n", "render:x:0:\n")
	f.Add("", "pmode:", "<", "0xffffffffff", "::\n", "\n", "=\nOF_COMPATIBLE_=\n", ":::")
	f.Fuzz(func(t *testing.T, release, mode, conf, throttled, information, version, uevent, group string) {
		root := t.TempDir()
		for name, text := range map[string]string{
			"proc/device-tree/compatible": "nvidia,tegra234", "etc/nv_tegra_release": release, "var/lib/nvpmodel/status": mode, "etc/nvpmodel.conf": conf,
			"sys/devices/platform/soc/soc:firmware/get_throttled": throttled, "proc/driver/nvidia/gpus/0/information": information,
			"proc/driver/nvidia/version": version, "sys/bus/pci/devices/0/uevent": uevent, "sys/bus/pci/devices/0/vendor": "0x10de", "sys/bus/pci/devices/0/device": conf,
			"sys/bus/pci/devices/0/class": "0x030000", "sys/bus/pci/devices/0/mem_info_vram_total": mode, "etc/ld.so.conf": group, "etc/group": group,
			"dev/nvidia0": "", "dev/dri/renderD128": "", "sys/class/drm/renderD128/device/uevent": uevent, "sys/devices/system/cpu/cpufreq/policy0/related_cpus": throttled,
		} {
			write(t, root, name, text)
		}
		m := device.At(root, "").WithAccess(func(string) bool { return false })
		facts := m.Facts("")
		for _, a := range facts.Accelerators {
			if a.State == "" || a.Kind == "" || a.MemoryTotalBytes < 0 || a.MemoryFreeBytes < 0 {
				t.Errorf("accelerator: %+v", a)
			}
		}
		if th := facts.Throttling; len(th.Active) > 4 || len(th.Past) > 4 {
			t.Errorf("throttling: %+v", th)
		}
		m.Libraries().Find("libx.so")
	})
}

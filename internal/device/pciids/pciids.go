// Package pciids names the PCI devices that models run on: makers by their vendor
// ids, and the devices that edge machines commonly have. It is a small excerpt, not
// the list of all devices: what is not in it is named by its numbers, or by its
// driver, and works as well.
//
//	d, ok := pciids.Find("8086", "7d1d")
//	fmt.Println(pciids.Vendor("8086"), d.Name) // Intel Meteor Lake NPU
//
// Numbers and names are those of pci.ids (https://pci-ids.ucw.cz, 2026-08-22); the
// NPUs also those of the kernel's drivers/accel/ivpu/ivpu_drv.h and
// drivers/accel/amdxdna/amdxdna_pci_drv.c.
package pciids

// Device is what is known of a device by its numbers.
type Device struct {
	Name    string
	Kind    string // "gpu", "npu", "tpu" or "other", for what has no display class
	Unified bool   // its memory is the machine's: it is part of the processor
}

// Vendor returns the name of a maker by its id, four hexadecimal digits, or "".
func Vendor(vendor string) string { return vendors[vendor] }

// Find returns a device by its numbers, four hexadecimal digits each, and whether it
// is known.
func Find(vendor, device string) (Device, bool) {
	d, ok := devices[vendor+":"+device]
	return d, ok
}

var vendors = map[string]string{ //nolint:gochecknoglobals // a constant table
	"1002": "AMD",
	"1022": "AMD",
	"106b": "Apple",
	"10de": "NVIDIA",
	"10ee": "AMD Xilinx",
	"15ad": "VMware",
	"17cb": "Qualcomm",
	"19e5": "Huawei",
	"1ac1": "Google", // assigned to Global Unichip, who makes the Edge TPU
	"1af4": "Red Hat (virtio)",
	"1da3": "Habana Labs",
	"1e52": "Tenstorrent",
	"1e60": "Hailo",
	"1ed5": "Moore Threads",
	"8086": "Intel",
}

const (
	gpu   = "gpu"
	npu   = "npu"
	tpu   = "tpu"
	other = "other"
)

var devices = map[string]Device{ //nolint:gochecknoglobals // a constant table
	// NPUs inside processors.
	"8086:7d1d": {"Meteor Lake NPU", npu, true},
	"8086:ad1d": {"Arrow Lake NPU", npu, true},
	"8086:643e": {"Lunar Lake NPU", npu, true},
	"8086:b03e": {"Panther Lake NPU", npu, true},
	"8086:fd3e": {"Wildcat Lake NPU", npu, true},
	"1022:1502": {"Ryzen AI NPU (Phoenix, Hawk Point)", npu, true},
	"1022:17f0": {"Ryzen AI NPU (Strix, Krackan)", npu, true},
	// Accelerator cards.
	"1e60:2864": {"Hailo-8", npu, false},
	"1e60:45c4": {"Hailo-10H", npu, false},
	"17cb:a080": {"Cloud AI 80", npu, false},
	"17cb:a100": {"Cloud AI 100", npu, false},
	"1ac1:089a": {"Coral Edge TPU", tpu, false},
	"1da3:1000": {"Gaudi", other, false},
	"1da3:1010": {"Gaudi", other, false},
	"1da3:1020": {"Gaudi 2", other, false},

	"8086:46a6": {"Alder Lake-P Iris Xe Graphics", gpu, true},
	"8086:46d0": {"Alder Lake-N UHD Graphics", gpu, true},
	"8086:46d1": {"Alder Lake-N UHD Graphics", gpu, true},
	"8086:64a0": {"Lunar Lake Arc Graphics 130V/140V", gpu, true},
	"8086:7d45": {"Meteor Lake Graphics", gpu, true},
	"8086:7d51": {"Arrow Lake Arc Graphics 130T/140T", gpu, true},
	"8086:7d55": {"Meteor Lake Arc Graphics", gpu, true},
	"8086:7d67": {"Arrow Lake Graphics", gpu, true},
	"8086:9a49": {"Tiger Lake Iris Xe Graphics", gpu, true},
	"8086:a7a0": {"Raptor Lake-P Iris Xe Graphics", gpu, true},
	"8086:b080": {"Panther Lake Arc B390", gpu, true},
	"8086:56a0": {"Arc A770", gpu, false},
	"8086:56a1": {"Arc A750", gpu, false},
	"8086:56a5": {"Arc A380", gpu, false},
	"8086:56a6": {"Arc A310", gpu, false},
	"8086:e20b": {"Arc B580", gpu, false},
	"8086:e20c": {"Arc B570", gpu, false},
	"8086:e211": {"Arc Pro B60", gpu, false},

	"1002:1114": {"Krackan Radeon 840M/860M", gpu, true},
	"1002:13c0": {"Granite Ridge Radeon Graphics", gpu, true},
	"1002:150e": {"Strix Radeon 880M/890M", gpu, true},
	"1002:1586": {"Strix Halo Radeon 8050S/8060S", gpu, true},
	"1002:15bf": {"Phoenix Radeon Graphics", gpu, true},
	"1002:15c8": {"Phoenix 2 Radeon Graphics", gpu, true},
	"1002:15d8": {"Picasso Radeon Vega", gpu, true},
	"1002:15dd": {"Raven Ridge Radeon Vega", gpu, true},
	"1002:1636": {"Renoir Radeon Vega", gpu, true},
	"1002:1638": {"Cezanne Radeon Vega", gpu, true},
	"1002:164e": {"Raphael Radeon Graphics", gpu, true},
	"1002:1681": {"Rembrandt Radeon 680M", gpu, true},
	"1002:1900": {"Hawk Point Radeon Graphics", gpu, true},
	"1002:1901": {"Hawk Point Radeon Graphics", gpu, true},
	"1002:73bf": {"Radeon RX 6800/6900 XT", gpu, false},
	"1002:744c": {"Radeon RX 7900", gpu, false},
	"1002:747e": {"Radeon RX 7700 XT/7800 XT", gpu, false},
	"1002:7480": {"Radeon RX 7600", gpu, false},
	"1002:7550": {"Radeon RX 9070", gpu, false},

	"10de:1eb8": {"Tesla T4", gpu, false},
	"10de:20b5": {"A100 PCIe 80GB", gpu, false},
	"10de:2330": {"H100 SXM5 80GB", gpu, false},
	"10de:2504": {"GeForce RTX 3060", gpu, false},
	"10de:25a2": {"GeForce RTX 3050 Mobile", gpu, false},
	"10de:2684": {"GeForce RTX 4090", gpu, false},
	"10de:2786": {"GeForce RTX 4070", gpu, false},
	"10de:27b8": {"L4", gpu, false},
	"10de:2882": {"GeForce RTX 4060", gpu, false},
	"10de:2b85": {"GeForce RTX 5090", gpu, false},
	"10de:2d04": {"GeForce RTX 5060 Ti", gpu, false},
	"10de:2e12": {"GB10", gpu, true},
}

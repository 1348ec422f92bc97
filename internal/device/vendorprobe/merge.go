package vendorprobe

import (
	"cmp"
	"path/filepath"
	"slices"

	"verge/internal/device"
)

// Merge adds what libraries say to the facts: to the accelerator at the same address,
// of the same node, or to the only one of the vendor's; a device that the kernel does
// not show is added. Memory that is the machine's own is not counted as a device's,
// whoever tells of it. The candidates of package provider are to be found afterwards.
func Merge(facts *device.Facts, answers []Answer) {
	for _, a := range answers {
		facts.Probes = append(facts.Probes, device.Probe{Name: a.Name, Library: a.Library, Version: a.Version, Error: a.Error})
		for i := range a.Devices {
			d := &a.Devices[i]
			if at := find(facts.Accelerators, a, d); at != nil {
				fill(at, a, d)
			} else if added := unseen(facts.Accelerators, a, d); added != nil {
				fill(added, a, d)
				facts.Accelerators = append(facts.Accelerators, *added)
			}
		}
	}
	for i := range facts.Accelerators {
		if at := &facts.Accelerators[i]; at.Unified {
			at.MemoryTotalBytes, at.MemoryFreeBytes = 0, 0
		}
	}
	order := append(device.Kinds(), device.Other)
	slices.SortStableFunc(facts.Accelerators, func(a, b device.Accelerator) int {
		return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
	})
}

// vendor is whose devices a library knows.
func vendor(library string) string {
	return map[string]string{NVML: "NVIDIA", CUDA: "NVIDIA", EdgeTPU: "Google", OpenVINO: "Intel"}[library]
}

// find returns the accelerator that a device is, or nil.
func find(all []device.Accelerator, a Answer, d *Device) *device.Accelerator {
	var alike []*device.Accelerator
	for i := range all {
		at := &all[i]
		if at.Kind != d.Kind || at.Vendor != vendor(a.Name) {
			continue
		}
		if d.Address != "" && at.Bus == d.Bus && at.Address == d.Address {
			return at
		}
		// On one bus, addresses decide. A Jetson's GPU is on none, and some libraries give it an address all the same.
		if d.Address == "" || at.Address == "" || at.Bus != d.Bus {
			alike = append(alike, at)
		}
	}
	for _, at := range alike {
		if d.Node != "" && slices.Contains(at.Nodes, d.Node) {
			return at
		}
	}
	rivals := 0
	for _, other := range a.Devices {
		if other.Kind == d.Kind {
			rivals++
		}
	}
	if len(alike) == 1 && rivals == 1 {
		return alike[0]
	}
	return nil
}

// unseen returns a new accelerator for a device that only the library knows, or nil
// where it could be one of those that are known.
func unseen(all []device.Accelerator, a Answer, d *Device) *device.Accelerator {
	if d.Address == "" && d.Node == "" && slices.ContainsFunc(all, func(at device.Accelerator) bool {
		return at.Kind == d.Kind && at.Vendor == vendor(a.Name)
	}) {
		return nil
	}
	added := &device.Accelerator{ // without nodes: those would have shown it
		Kind: d.Kind, Vendor: vendor(a.Name), Bus: d.Bus, Address: d.Address, Nodes: []string{}, Candidates: []device.Candidate{},
		State: device.Ready, Problem: "the kernel does not show it, " + filepath.Base(a.Library) + " does",
	}
	if added.Vendor == "NVIDIA" {
		added.Driver = "nvidia"
	}
	return added
}

// fill adds what a library tells to what is known. What the vendor's own management
// library says of a card counts more than what the kernel does.
func fill(at *device.Accelerator, a Answer, d *Device) {
	if a.Name == NVML {
		at.Name = cmp.Or(d.Name, at.Name)
		at.DriverVersion = cmp.Or(at.DriverVersion, a.Version)
	}
	at.Name = cmp.Or(at.Name, d.Name)
	at.Unified = at.Unified || d.Unified
	at.UUID, at.Capability = cmp.Or(d.UUID, at.UUID), cmp.Or(d.Capability, at.Capability)
	if d.MemoryTotalBytes != nil && (a.Name == NVML || at.MemoryTotalBytes == 0) {
		at.MemoryTotalBytes, at.MemoryFreeBytes = *d.MemoryTotalBytes, 0
		if d.MemoryFreeBytes != nil {
			at.MemoryFreeBytes = *d.MemoryFreeBytes
		}
	}
	at.BusyPercent, at.Celsius, at.Watts = cmp.Or(d.BusyPercent, at.BusyPercent), cmp.Or(d.Celsius, at.Celsius), cmp.Or(d.Watts, at.Watts)
}

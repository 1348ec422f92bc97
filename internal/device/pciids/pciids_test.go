package pciids_test

import (
	"testing"

	"verge/internal/device/pciids"
)

func TestKnownDevicesHaveNames(t *testing.T) {
	for _, tt := range []struct {
		vendor, device, maker string
		want                  pciids.Device
	}{
		{"8086", "7d1d", "Intel", pciids.Device{Name: "Meteor Lake NPU", Kind: "npu", Unified: true}},
		{"1ac1", "089a", "Google", pciids.Device{Name: "Coral Edge TPU", Kind: "tpu"}},
		{"1da3", "1020", "Habana Labs", pciids.Device{Name: "Gaudi 2", Kind: "other"}},
		{"10de", "2684", "NVIDIA", pciids.Device{Name: "GeForce RTX 4090", Kind: "gpu"}},
	} {
		got, ok := pciids.Find(tt.vendor, tt.device)
		if !ok || got != tt.want || pciids.Vendor(tt.vendor) != tt.maker {
			t.Errorf("Find(%s, %s) = %+v, %v of %q, want %+v of %q", tt.vendor, tt.device, got, ok, pciids.Vendor(tt.vendor), tt.want, tt.maker)
		}
	}
}

func TestAnUnknownDeviceIsNotNamed(t *testing.T) {
	if got, ok := pciids.Find("8086", "0000"); ok || got != (pciids.Device{}) || pciids.Vendor("ffff") != "" {
		t.Errorf("Find = %+v, %v, Vendor = %q", got, ok, pciids.Vendor("ffff"))
	}
}

package app_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/app"
	"verge/internal/device"
	"verge/internal/device/provider"
	"verge/internal/device/vendorprobe"
	"verge/internal/inference/inferencetest"
)

// asker notes what it is asked, and has an answer for each library.
type asker struct{ asked []vendorprobe.Query }

func (a *asker) Ask(_ context.Context, queries []vendorprobe.Query) []vendorprobe.Answer {
	a.asked = append(a.asked, queries...)
	answers := make([]vendorprobe.Answer, len(queries))
	for i, q := range queries {
		answers[i] = vendorprobe.Answer{Name: q.Name, Devices: []vendorprobe.Device{}, Error: "x"}
	}
	return answers
}

func TestVendorsLibrariesAreAskedWhereTheyCanTellSomething(t *testing.T) {
	installed := []provider.Installed{
		{Runtime: "openvino", Path: "/broken", Problem: "its file has changed"}, {Runtime: "litert", Path: "/litert"}, {Runtime: "openvino", Path: "/good"},
	}
	for name, want := range map[string][]vendorprobe.Query{
		"intelnpu":     {{Name: "openvino", Paths: []string{"/good"}}},
		"raspberrypi5": nil,
		"container":    nil,
	} {
		m := device.At(filepath.Join("../device/testdata", name), "")
		facts := m.Facts("")
		var a asker
		app.AskVendors(t.Context(), &a, m, &facts, installed)
		if diff := cmp.Diff(want, a.asked); diff != "" || len(facts.Probes) != len(want) {
			t.Errorf("%s: %d probes, asked (-want +got):\n%s", name, len(facts.Probes), diff)
		}
	}
}

func TestALibraryIsAskedInAProcessOfThisProgram(t *testing.T) {
	source, err := os.ReadFile("../device/vendorprobe/testdata/nvml.c")
	if err != nil {
		t.Fatal(err)
	}
	path := inferencetest.Compile(t, "libnvidia-ml.so.1", string(source))
	root := t.TempDir() // of a machine whose system knows the folder of the stand-in
	for name, text := range map[string]string{"etc/ld.so.conf": filepath.Dir(path) + "\n", path: ""} {
		name = filepath.Join(root, name)
		if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
			err = os.WriteFile(name, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := device.At(root, "amd64")
	facts := m.Facts("")
	app.AskVendors(t.Context(), vendorprobe.New([]string{self, "probe"}, nil), m, &facts, nil)
	provider.Add(m, &facts, nil)
	want := []device.Probe{{Name: "nvml", Library: path, Version: "570.124.06"}}
	if diff := cmp.Diff(want, facts.Probes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const gpus = 2 // of the stand-in
	if len(facts.Accelerators) != gpus || facts.Accelerators[0].Name != "NVIDIA GeForce RTX 3090" || len(facts.Accelerators[0].Candidates) == 0 {
		t.Errorf("accelerators %+v", facts.Accelerators)
	}
}

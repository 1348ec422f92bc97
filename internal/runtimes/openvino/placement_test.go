package openvino_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/inference/inferencetest/irmodel"
	"verge/internal/runtimes/openvino"
)

func TestDevicesAndProvidersAreRefusedOrFallBackByName(t *testing.T) {
	const (
		has      = "OpenVINO 2026.4.1 has CPU"
		device   = "Set deployment.device_type to cpu, or deployment.fallback to cpu."
		named    = "Set deployment.fallback to cpu, or name CPU."
		gpu      = "device gpu: looked for GPU; " + has
		noFilter = "provider AUTO:ABACUS: No available device to filter AUTO plugin"
	)
	rt := open(t)
	if info := rt.Info(); info.Version != "2026.4.1" || len(info.Providers) != 1 {
		t.Skipf("the texts are those of 2026.4.1 with a CPU only, the library is %s with %s", info.Version, info.Providers)
	}
	provider := func(names ...string) (list []inference.Provider) {
		for _, name := range names {
			list = append(list, inference.Provider{Name: name})
		}
		return list
	}
	with := func(key, value string) []inference.Provider {
		return []inference.Provider{{Name: "CPU", Options: map[string]string{key: value}}}
	}
	for name, tc := range map[string]struct {
		options    inference.Options
		kind       fault.Kind
		text, hint string   // the refusal
		requested  []string // or what is in effect
		used       string
		fallbacks  []string
	}{
		"the cpu":  {options: inference.Options{}, requested: []string{"CPU"}, used: "CPU"},
		"embedded": {options: inference.Options{Device: "embedded"}, requested: []string{"CPU"}, used: "CPU"},
		"a gpu": {
			options: inference.Options{Device: "gpu"}, kind: fault.Unsupported, text: "model m@1: " + gpu, hint: device,
		},
		"a gpu with fallback": {
			options: inference.Options{Device: "gpu", Fallback: "cpu"}, requested: []string{"GPU"}, used: "CPU", fallbacks: []string{gpu + "; the CPU is used"},
		},
		"an npu": {
			options: inference.Options{Device: "npu"}, kind: fault.Unsupported, text: "model m@1: device npu: looked for NPU; " + has, hint: device,
		},
		"a tpu": {
			options: inference.Options{Device: "tpu"}, kind: fault.Unsupported, text: "model m@1: device tpu: OpenVINO has no device for it", hint: device,
		},
		"an unknown device": {
			options: inference.Options{Device: "abacus"}, kind: fault.Invalid, text: `model m@1: device "abacus", want cpu, gpu, npu, tpu, mobile or embedded`,
		},
		"a provider that is not there": {
			options: inference.Options{Providers: provider("GPU.1", "CPU")}, requested: []string{"GPU.1", "CPU"}, used: "CPU",
			fallbacks: []string{"provider GPU.1: " + has + "; the CPU is used"},
		},
		"the same without fallback": {
			options: inference.Options{Providers: provider("GPU"), Fallback: "none"}, kind: fault.Unsupported, text: "model m@1: provider GPU: " + has, hint: named,
		},
		"a virtual device": {
			options: inference.Options{Providers: provider("AUTO", "GPU")}, requested: []string{"AUTO", "GPU"}, used: "AUTO",
			fallbacks: []string{"provider GPU: " + has + "; AUTO is used"},
		},
		"a virtual device that has none": {
			options: inference.Options{Providers: provider("AUTO:ABACUS", "HETERO:CPU", "CPU")}, requested: []string{"AUTO:ABACUS", "HETERO:CPU", "CPU"}, used: "HETERO:CPU",
			fallbacks: []string{noFilter + "; HETERO:CPU is used"},
		},
		"the same with the cpu behind it": {
			options: inference.Options{Providers: provider("AUTO:ABACUS")}, requested: []string{"AUTO:ABACUS"}, used: "CPU",
			fallbacks: []string{noFilter + "; the CPU is used"},
		},
		"the same and nothing else": {
			options: inference.Options{Providers: provider("AUTO:ABACUS", "CPU"), Fallback: "none"}, kind: fault.Unsupported, text: "model m@1: " + noFilter, hint: named,
		},
		"a property": {options: inference.Options{Providers: with("NUM_STREAMS", "2")}, requested: []string{"CPU"}, used: "CPU"},
		"an unknown property": {
			options: inference.Options{Providers: with("COLOUR", "blue")}, kind: fault.Invalid, text: "model m@1: NotFound: Unsupported property COLOUR by CPU plugin.",
		},
		"a wrong value": {
			options: inference.Options{Providers: with("NUM_STREAMS", "many")}, kind: fault.Invalid, text: "model m@1: Could not read number of streams from str: many; stoi",
		},
		"a precision that is none": {
			options: inference.Options{Providers: with("INFERENCE_PRECISION_HINT", "f12")}, kind: fault.Invalid, text: "model m@1: Wrong value f12 for property key INFERENCE_PRECISION_HINT. Supported values: bf16, f16, f32, undefined",
		},
		"a property that C cannot take": {
			options: inference.Options{Providers: with("A\x00B", "")}, kind: fault.Invalid, text: `model m@1: "A\x00B" has a zero byte at 1, which a C library cannot take`,
		},
		"negative threads": {options: inference.Options{Threads: -5}, kind: fault.Invalid, text: "model m@1: -5 threads and 0 parallel runs, want 0 or more of each"},
	} {
		t.Run(name, func(t *testing.T) {
			session, err := rt.Load(t.Context(), model(irmodel.Join()), tc.options)
			if tc.text != "" {
				check(t, err, tc.kind, tc.text, tc.hint)
				return
			}
			if err != nil {
				t.Fatalf("Load = %v, want a session", err)
			}
			defer session.Close()
			info := session.Info()
			if diff := cmp.Diff([][]string{tc.requested, {tc.used}, tc.fallbacks}, [][]string{info.ProvidersRequested, info.Providers, info.Fallbacks}); diff != "" {
				t.Errorf("placement differs (-want +got):\n%s", diff)
			}
			if info.Device != "cpu" {
				t.Errorf("device = %q, want cpu", info.Device)
			}
		})
	}
}

func TestFilesThatAreNotTheLibraryAreRefused(t *testing.T) {
	library, err := filepath.Glob("/lib/*-linux-gnu/libm.so.6")
	if err != nil || len(library) == 0 {
		t.Skip("needs the mathematics library of glibc")
	}
	_, err = openvino.Open(library[0], nil)
	if err == nil || fault.KindOf(err) != fault.Unsupported || fault.HintOf(err) != "Name the file libopenvino_c.so." {
		t.Errorf("Open = %v, hint %q; want it refused as another library", err, fault.HintOf(err))
	}
	_, err = openvino.Open(filepath.Join(t.TempDir(), "none.so"), nil)
	if err == nil || fault.KindOf(err) != fault.NotFound {
		t.Errorf("Open = %v, want not_found", err)
	}
}

func TestLibrariesThatAreTooOldAreRefused(t *testing.T) {
	check(t, openvino.CheckVersion("2023.3.0"), fault.Unsupported, `OpenVINO has version "2023.3.0", want 2024.0.0 or newer`, "")
	check(t, openvino.CheckVersion("2024.0.0", "ov_core_create", "ov_free"), fault.Unsupported, `OpenVINO 2024.0.0 lacks ov_core_create, ov_free`, "")
	if err := openvino.CheckVersion("2024.0.0"); err != nil {
		t.Errorf("a library of 2024.0.0 is refused: %v", err)
	}
}

func TestTextsOfTheLibraryAreCutToWhatTheySay(t *testing.T) {
	for text, want := range map[string]string{
		"Exception from src/inference/src/cpp/core.cpp:84:\nException from src/inference/src/model_reader.cpp:148:\nUnable to read.\n\n": "Unable to read.",
		"Check 'util::file_exists(path)' failed at src/frontends/a.hpp:44:\nFrontEnd API failed with GeneralFailure:\nCould not open":    "Could not open",
		"Check 'm_x (that) == 'y'' failed at src/core/node.cpp:4:\nWhile validating node":                                                "While validating node",
		"No conversion rule\nTo facilitate the conversion of unsupported operations, refer to":                                           "No conversion rule",
		"bad (src/plugins/x.cpp:12): reason": "bad reason",
		"plain  text\n over lines":           "plain text over lines",
	} {
		if got := openvino.Clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestThreadsArePassedToTheProcessor(t *testing.T) {
	for name, tc := range map[string]struct {
		options inference.Options
		want    map[string]string
	}{
		"one run at a time": {
			inference.Options{Threads: 2},
			map[string]string{"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "2", "PERFORMANCE_HINT": "LATENCY"},
		},
		"several": {
			inference.Options{Threads: 1, Parallel: 2},
			map[string]string{"NUM_STREAMS": "2", "INFERENCE_NUM_THREADS": "2", "PERFORMANCE_HINT": "THROUGHPUT"},
		},
		"as the user says": {
			inference.Options{Providers: []inference.Provider{{Name: "CPU", Options: map[string]string{"NUM_STREAMS": "2", "INFERENCE_NUM_THREADS": "2"}}}},
			map[string]string{"NUM_STREAMS": "2", "INFERENCE_NUM_THREADS": "2", "PERFORMANCE_HINT": "LATENCY"},
		},
		"in the precision that the user says": {
			inference.Options{Providers: []inference.Provider{{Name: "CPU", Options: map[string]string{"INFERENCE_PRECISION_HINT": "dynamic"}}}},
			map[string]string{"INFERENCE_PRECISION_HINT": "dynamic"},
		},
		"under a virtual device": {
			inference.Options{Threads: 2, Providers: []inference.Provider{{Name: "HETERO:CPU"}}},
			map[string]string{"EXECUTION_DEVICES": "CPU"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			session := load(t, open(t), irmodel.Join(), tc.options)
			if session.Info().Providers[0] == "CPU" {
				tc.want["ENABLE_CPU_PINNING"], tc.want["PERF_COUNT"] = "NO", "NO"
				if tc.want["INFERENCE_PRECISION_HINT"] == "" {
					tc.want["INFERENCE_PRECISION_HINT"] = "f32"
				}
			}
			got := map[string]string{}
			for key := range tc.want {
				got[key] = openvino.Property(session, key)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("properties differ (-want +got):\n%s", diff)
			}
		})
	}
}

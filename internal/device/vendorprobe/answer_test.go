package vendorprobe_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/device"
	"verge/internal/device/vendorprobe"
	"verge/internal/fault"
)

func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`{"kind":"gpu"},`, 65), ",")
	for text, want := range map[string]string{
		``:                           "its answer cannot be read: EOF",
		`[]`:                         "its answer cannot be read: json: cannot unmarshal array into Go value of type vendorprobe.Answer",
		`{"price":1}`:                `its answer cannot be read: json: unknown field "price"`,
		`{"devices":[]}x`:            "its answer goes on behind its end",
		`{"devices":[{}]}`:           `its answer has a device of kind "", want one of gpu, npu, tpu`,
		`{"devices":[` + many + `]}`: "its answer has 65 devices, at most 64 are read",
	} {
		_, err := vendorprobe.Parse([]byte(text))
		if fault.KindOf(err) != fault.Corrupt || fault.Message(err) != want || fault.HintOf(err) != "" {
			t.Errorf("Parse(%.40s) = %v, want %q", text, err, want)
		}
	}
}

func TestFiguresThatNoDeviceHasAreLeftOut(t *testing.T) {
	for fields, want := range map[string]vendorprobe.Device{
		`"memory_total_bytes":0,"memory_free_bytes":7`:                             {MemoryFreeBytes: new(int64(7))},
		`"memory_total_bytes":8,"memory_free_bytes":9`:                             {MemoryTotalBytes: new(int64(8))},
		`"memory_total_bytes":1125899906842625`:                                    {},
		`"busy_percent":101,"celsius":-300,"watts":-1`:                             {},
		`"busy_percent":0,"celsius":-5,"watts":0`:                                  {BusyPercent: new(0.0), Celsius: new(-5.0), Watts: new(0.0)},
		`"name":" a\u001b[2J\nb\u0000 ","uuid":"` + strings.Repeat("ä", 200) + `"`: {Name: "a [2J b", UUID: strings.Repeat("ä", 128)},
	} {
		want.Kind = device.GPU
		got, err := vendorprobe.Parse(fmt.Appendf(nil, `{"devices":[{"kind":"gpu",%s}]}`, fields))
		if err != nil {
			t.Fatalf("%s: %v", fields, err)
		}
		if diff := cmp.Diff([]vendorprobe.Device{want}, got.Devices); diff != "" {
			t.Errorf("%s (-want +got):\n%s", fields, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"name":"nvml","library":"/lib/libnvidia-ml.so.1","version":"1","devices":[{"kind":"gpu","name":"x","celsius":40,"memory_total_bytes":1}],"error":"e"}`))
	f.Add([]byte(`{"devices":null}`))
	f.Add([]byte(`{"devices":[{"kind":"tpu","bus":"usb","address":"2-1"}]} {`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := vendorprobe.Parse(data)
		if err != nil {
			if fault.KindOf(err) != fault.Corrupt {
				t.Errorf("Parse(%q) = %v", data, err)
			}
			return
		}
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		again, err := vendorprobe.Parse(text)
		if diff := cmp.Diff(a, again); err != nil || diff != "" {
			t.Errorf("%v; read again (-first +second):\n%s", err, diff)
		}
		facts := device.Facts{}
		vendorprobe.Merge(&facts, []vendorprobe.Answer{a})
	})
}

package worker_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
	"verge/internal/worker"
)

func specs() []inference.Spec {
	return []inference.Spec{
		{Name: "a", DType: tensor.FP32, Shape: []int64{-1, 3, -1}},
		{Name: "s", DType: tensor.Bytes, Shape: []int64{-1}},
		{Name: "n", DType: tensor.Int64, Shape: []int64{}},
	}
}

func TestInputsSurviveTheMessage(t *testing.T) {
	in := []inference.Input{{Shape: []int64{2, 3, 5}}, {Shape: []int64{2}, Bytes: 11}, {Shape: []int64{}}}
	body := worker.AppendInputs(specs(), in)
	if want := 8 * (2 + 2); len(body) != want {
		t.Errorf("%d bytes, want %d: only what is open", len(body), want)
	}
	got, err := worker.ParseInputs(body, specs())
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Shape = append([]int64{}, got[i].Shape...)
	}
	if diff := cmp.Diff(in, got); diff != "" {
		t.Errorf("inputs differ (-want +got):\n%s", diff)
	}
}

func outputs() (out []tensor.Tensor, region []byte, offsets []int) {
	region = make([]byte, 4096)
	copy(region[128:], "\x02\x00\x00\x00ab\x00\x00\x00\x00")
	return []tensor.Tensor{
		{Name: "a", DType: tensor.FP32, Shape: []int64{1, 3, 2}, Data: region[0:24]},
		{Name: "s", DType: tensor.Bytes, Shape: []int64{2}, Data: region[128:138]},
		{Name: "n", DType: tensor.Int64, Shape: []int64{}, Data: region[192:200]},
	}, region, []int{0, 128, 192}
}

func TestOutputsSurviveTheMessage(t *testing.T) {
	out, region, offsets := outputs()
	got, err := worker.ParseOutputs(worker.AppendOutputs(specs(), out, offsets), specs(), region)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Shape = append([]int64{}, got[i].Shape...)
	}
	if diff := cmp.Diff(out, got); diff != "" {
		t.Errorf("outputs differ (-want +got):\n%s", diff)
	}
}

func TestTheMessagesOfARequestAreSmallWhateverItsSize(t *testing.T) {
	// The most that a run may need: everything open, in both directions.
	wide := make([]inference.Spec, inference.MaxTensors)
	in := make([]inference.Input, len(wide))
	out := make([]tensor.Tensor, len(wide))
	for i := range wide {
		shape := make([]int64, tensor.MaxRank)
		for k := range shape {
			shape[k] = -1
		}
		wide[i] = inference.Spec{Name: fmt.Sprint(i), DType: tensor.Bytes, Shape: shape}
		in[i].Shape, out[i].Shape = make([]int64, tensor.MaxRank), make([]int64, tensor.MaxRank)
	}
	for _, body := range [][]byte{worker.AppendInputs(wide, in), worker.AppendOutputs(wide, out, make([]int, len(wide)))} {
		if n := worker.HeaderSize + len(body); n > worker.MaxMessage {
			t.Errorf("a message of %d bytes, the limit is %d", n, worker.MaxMessage)
		}
	}
	// A model of 16 inputs and 16 outputs of four open dimensions each.
	many := wide[:16]
	for i := range many {
		many[i].Shape, in[i].Shape, out[i].Shape = many[i].Shape[:4], in[i].Shape[:4], out[i].Shape[:4]
	}
	both := 2*worker.HeaderSize + len(worker.AppendInputs(many, in)) + len(worker.AppendOutputs(many, out[:16], make([]int, 16)))
	if both >= 4<<10 {
		t.Errorf("both messages have %d bytes, want less than 4 KiB", both)
	}
}

func TestAnErrorSurvivesTheMessageCutToItsLimits(t *testing.T) {
	e := fault.New(fault.TooLarge, "x", "%s", strings.Repeat("é", 5000)).WithHint("%s", strings.Repeat("h", 5000))
	got, err := worker.ParseError(uint32(fault.TooLarge), worker.AppendError(e))
	if err != nil || got.Kind != fault.TooLarge || fault.Message(got) != strings.Repeat("é", 1024) || len(got.Hint) != 512 {
		t.Errorf("ParseError = %v, %v, want it cut to 2048 and 512 bytes", got, err)
	}
}

func TestReportsThatDoNotMakeSenseAreRefused(t *testing.T) {
	spec := func(text string) string { return `{"signature":{"outputs":[` + text + `]}}` }
	for text, want := range map[string]string{
		`{`:                                "a report that is not as it should be: unexpected end of JSON input",
		`[]`:                               "a report that is not as it should be: json: cannot unmarshal array into Go value of type worker.report",
		spec(`{"name":"","dtype":"FP32"}`): "a report whose output 0 has a name of 0 bytes, or not UTF-8",
		spec(`{"name":"a","dtype":"FP32"},{"name":"a","dtype":"FP32"}`): `a report with two outputs named "a"`,
		spec(`{"name":"a"}`):                                                               `a report whose output "a" has no datatype`,
		spec(`{"name":"a","dtype":"FP32","shape":[-2]}`):                                   `a report whose output "a" has shape [-2]`,
		spec(`{"name":"a","dtype":"FP32","shape":[1],"symbols":["x","y"]}`):                `a report whose output "a" has 1 dimensions and 2 names for them`,
		spec(`{"name":"a","dtype":"FP32","shape":[` + strings.Repeat("1,", 16) + `1]}`):    `a report whose output "a" has 17 dimensions and 0 names for them`,
		spec(strings.TrimSuffix(strings.Repeat(`{"name":"a","dtype":"FP32"},`, 257), ",")): "a report of 257 outputs, at most 256 are allowed",
		`{"session":{"parallel":-1}}`:                                                      "a report of 0 threads, -1 runs at a time, 0 bytes",
	} {
		_, _, err := worker.ParseReport([]byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("ParseReport(%.60q) = %v, want %q", text, err, want)
		}
	}
	_, info, err := worker.ParseReport([]byte(`{"session":{"device":"c\u0007pu","providers":["/a/b/CPU"],"metadata":{"k\n":"v\u001b"}}}`))
	if err != nil || info.Device != "cpu" || info.Providers[0] != "CPU" || info.Metadata["k"] != "v" {
		t.Errorf("ParseReport = %+v, %v, want its texts cleaned", info, err)
	}
}

func FuzzMessage(f *testing.F) {
	out, region, offsets := outputs()
	body := worker.AppendOutputs(specs(), out, offsets)
	f.Add(append(worker.Fields{Op: worker.OpDone, Slot: 1, Sequence: 2, Count: 3, Size: uint64(len(body))}.Append(nil), body...))
	out[0].Shape, out[0].Data = []int64{1, 1 << 45, 0}, nil
	other := worker.AppendOutputs(specs(), out, offsets)
	f.Add(append(worker.Fields{Op: worker.OpDone, Slot: 1, Sequence: 2, Count: 3, Size: uint64(len(other))}.Append(nil), other...))
	text := worker.AppendError(fault.New(fault.Invalid, "x", "no").WithHint("yes"))
	f.Add(append(worker.Fields{Op: worker.OpError, Status: 1, Size: uint64(len(text))}.Append(nil), text...))
	f.Add(worker.Fields{Op: worker.OpGrow, Size: 1 << 40}.Append(nil))
	f.Fuzz(func(t *testing.T, message []byte) {
		h, body, err := worker.Parse(message)
		if err != nil {
			return
		}
		if again, _, err := worker.Parse(append(h.Append(nil), body...)); err != nil || !reflect.DeepEqual(h, again) {
			t.Fatalf("header %+v comes back as %+v, %v", h, again, err)
		}
		if out, err := worker.ParseOutputs(body, specs(), region); err == nil {
			for i, o := range out { // of any shape, not just the one that the model declares
				if err := tensor.CheckData(o.DType, o.Shape, o.Data); err != nil && o.DType != tensor.Bool {
					t.Fatalf("output %d: %v", i, err)
				}
			}
		}
		if e, err := worker.ParseError(h.Status, body); err == nil && (len(e.Error()) > 8<<10 || strings.ContainsAny(e.Error(), "\x00\n\x1b")) {
			t.Fatalf("error text %q", e.Error())
		}
		worker.ParseInputs(body, specs())
	})
}

func FuzzReport(f *testing.F) {
	good, err := json.Marshal(map[string]any{"signature": inference.Signature{Inputs: specs(), Outputs: specs()}, "session": inference.SessionInfo{Threads: 1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, text []byte) {
		g, _, err := worker.ParseReport(text)
		if err != nil {
			return
		}
		for _, s := range append(g.Inputs, g.Outputs...) {
			if s.Name == "" || s.DType == tensor.Invalid || len(s.Shape) > tensor.MaxRank {
				t.Fatalf("accepted %+v", s)
			}
		}
	})
}

func TestRestartsBackOffAndGiveUp(t *testing.T) {
	cfg := worker.Default()
	cfg.MaxDeaths = 100
	r := worker.NewRestarts(cfg)
	now := time.Unix(1_000_000, 0)
	var got []time.Duration
	for range 10 {
		now = now.Add(time.Second)
		delay, failed := r.Died(now, now.Add(-time.Second))
		if failed {
			t.Fatal("failed after fewer deaths than allowed")
		}
		got = append(got, delay)
	}
	ms := time.Millisecond
	if want := []time.Duration{200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 30000 * ms, 30000 * ms}; !reflect.DeepEqual(got, want) {
		t.Errorf("delays = %v, want %v", got, want)
	}
	now = now.Add(cfg.StableAfter)
	if delay, _ := r.Died(now, now.Add(-cfg.StableAfter)); delay != 200*ms {
		t.Errorf("delay after a stable time = %v, want 200ms", delay)
	}
}

func TestFiveDeathsWithinTenMinutesAreTooMany(t *testing.T) {
	r := worker.NewRestarts(worker.Default())
	now := time.Unix(1_000_000, 0)
	for i := range 20 { // one each three minutes: never five within ten
		now = now.Add(3 * time.Minute)
		if _, failed := r.Died(now, time.Time{}); failed {
			t.Fatalf("failed at death %d", i)
		}
	}
	r = worker.NewRestarts(worker.Default())
	for i := range 5 {
		now = now.Add(2 * time.Minute)
		if _, failed := r.Died(now, time.Time{}); failed != (i == 4) {
			t.Errorf("death %d: failed = %t", i+1, failed)
		}
	}
}

func TestAConfigurationOutOfRangeNamesEveryKey(t *testing.T) {
	if err := worker.Default().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
	cfg := worker.Default()
	cfg.PingTimeout, cfg.MaxRestartDelay, cfg.MaxDeaths, cfg.LogRecords = time.Second, 0, 0, 0
	const want = "worker.ping_timeout is 1s, want 2s to 24h0m0s\n" +
		"worker.max_restart_delay is 0s, want 200ms to 24h0m0s\n" +
		"worker.max_deaths is 0, want 1 to 1000\n" +
		"worker.log_records is 0, want 1 to 100000"
	if err := cfg.Validate(); err == nil || err.Error() != want {
		t.Errorf("Validate = %v, want %q", err, want)
	}
}

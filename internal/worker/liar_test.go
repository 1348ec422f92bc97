package worker_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
	"verge/internal/worker"
)

const (
	workFD    = 3
	controlFD = 4
)

// liar is a worker that speaks the protocol until it has to answer a request, and
// then does what lie says.
func liar(lie string) {
	buf, oob := make([]byte, 1<<20), make([]byte, worker.OOBSize())
	if _, _, err := worker.Receive(controlFD, buf, oob); err != nil {
		os.Exit(1)
	}
	signature := inference.Signature{
		Inputs:  []inference.Spec{{Name: "x", DType: tensor.Uint8, Shape: []int64{-1}}},
		Outputs: []inference.Spec{{Name: "y", DType: tensor.Uint8, Shape: []int64{-1}}, {Name: "s", DType: tensor.Bytes, Shape: []int64{1}}},
	}
	report, _ := json.Marshal(map[string]any{"library": inference.RuntimeInfo{Name: "fake"}, "signature": signature})
	if lie == "report" {
		report = []byte(`{"signature":{"inputs":[{"name":"x","dtype":"FP32","shape":[-7]}]}}`)
	}
	tell(controlFD, worker.Fields{Op: worker.OpLoaded}, report)
	go func() { // pings are answered, and stop is obeyed
		for {
			message, _, err := worker.Receive(controlFD, make([]byte, 1<<10), oob)
			if err != nil {
				select {} // it lives on
			}
			switch h, _, _ := worker.Parse(message); h.Op { //nolint:exhaustive // the rest is ignored
			case worker.OpPing:
				h.Op = worker.OpPong
				tell(controlFD, h, nil)
			case worker.OpStop:
				os.Exit(0)
			}
		}
	}()
	message, fds, err := worker.Receive(workFD, make([]byte, 1<<20), make([]byte, worker.OOBSize()))
	if err != nil {
		os.Exit(0)
	}
	h, _, _ := worker.Parse(message)
	answer(lie, fds[0], h)
	select {}
}

// tell sends a message whose size is right.
func tell(fd int, h worker.Fields, body []byte) {
	h.Size = uint64(len(body))
	worker.Post(fd, append(h.Append(nil), body...))
}

// grown asks for output memory, and writes a string of two bytes to its begin.
func grown(socket int, h worker.Fields) {
	h.Op, h.Status, h.Count, h.Size = worker.OpGrow, 0, 0, 4096
	worker.Post(socket, h.Append(nil))
	_, fds, err := worker.Receive(socket, make([]byte, 1<<10), make([]byte, worker.OOBSize()))
	if err == nil {
		unix.Pwrite(fds[0], []byte("\x02\x00\x00\x00hi"), 64)
	}
}

func numbers(all ...uint64) (b []byte) {
	for _, n := range all {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

func answer(lie string, socket int, h worker.Fields) {
	done := worker.Fields{Op: worker.OpDone, Slot: h.Slot, Sequence: h.Sequence, Count: 2}
	failed := worker.Fields{Op: worker.OpError, Slot: h.Slot, Sequence: h.Sequence}
	right := numbers(0, 4, 1, 4, 64, 6, 1, 1) // y, s: offset, bytes, rank, dimension
	if lie != "output without memory" {
		grown(socket, h)
	}
	switch lie {
	case "none":
		tell(socket, done, right)
	case "output without memory":
		tell(socket, done, right)
	case "short message":
		worker.Post(socket, []byte("lie"))
	case "long message":
		worker.Post(socket, make([]byte, worker.MaxMessage+100))
	case "other version":
		m := done.Append(nil)
		m[0] = 9
		worker.Post(socket, m)
	case "other slot":
		done.Slot++
		tell(socket, done, right)
	case "other run":
		done.Sequence--
		tell(socket, done, right)
	case "wrong size":
		done.Size = 8
		worker.Post(socket, append(done.Append(nil), right...))
	case "too few tensors":
		tell(socket, done, right[:8])
	case "wrong count":
		done.Count = 7
		tell(socket, done, right)
	case "output behind the region":
		tell(socket, done, numbers(8192, 4, 1, 4, 64, 6, 1, 1))
	case "offset that overflows":
		tell(socket, done, numbers(1<<64-64, 128, 1, 128, 64, 6, 1, 1))
	case "output not aligned":
		tell(socket, done, numbers(3, 4, 1, 4, 64, 6, 1, 1))
	case "size against shape":
		tell(socket, done, numbers(0, 8, 1, 4, 64, 6, 1, 1))
	case "negative dimension":
		tell(socket, done, numbers(0, 4, 1, 1<<63, 64, 6, 1, 1))
	case "huge rank":
		tell(socket, done, numbers(0, 4, 1<<60, 4, 64, 6, 1, 1))
	case "huge dimension":
		tell(socket, done, numbers(0, 4, 1, 1<<62, 64, 6, 1, 1))
	case "broken string":
		tell(socket, done, numbers(0, 4, 1, 4, 64, 5, 1, 1))
	case "unknown kind":
		failed.Status = 200
		tell(socket, failed, numbers(0))
	case "kind of people":
		failed.Status = uint32(fault.Denied)
		tell(socket, failed, numbers(0))
	case "canceled by nobody":
		failed.Status = uint32(fault.Canceled)
		tell(socket, failed, worker.AppendError(fault.New(fault.Canceled, "", "no")))
	case "long error":
		failed.Status = uint32(fault.Invalid)
		tell(socket, failed, append(numbers(9000), bytes.Repeat([]byte("x"), 9000)...))
	case "operation of nobody":
		done.Op = worker.OpCancel
		tell(socket, done, nil)
	case "less memory":
		done.Op, done.Count, done.Size = worker.OpGrow, 0, 16
		worker.Post(socket, done.Append(nil))
	case "refused twice":
		done.Op, done.Count, done.Size = worker.OpGrow, 0, 1<<40
		worker.Post(socket, done.Append(nil))
		worker.Post(socket, done.Append(nil))
	case "socket closed":
		unix.Close(socket)
	case "control socket":
		tell(controlFD, worker.Fields{Op: worker.OpLoaded}, []byte("{}"))
	case "control socket closed":
		unix.Shutdown(controlFD, unix.SHUT_RDWR)
	}
}

func TestAWorkerThatLiesIsKilled(t *testing.T) {
	for lie, want := range map[string]string{
		"short message":            "a message of 3 bytes, want 32 or more",
		"long message":             "a message of version 0, want 1",
		"other version":            "a message of version 9, want 1",
		"other slot":               "an answer of slot 2 to run 1, want slot 1 and run 1",
		"other run":                "an answer of slot 1 to run 0, want slot 1 and run 1",
		"wrong size":               "a message with 64 bytes after its header, which says 8",
		"too few tensors":          "a message whose tensors do not fill it exactly (0 bytes over, short: true)",
		"wrong count":              "an answer of 7 outputs, want 2",
		"output without memory":    `output "y" has 4 bytes at 0, outside its region of 0 bytes or not aligned`,
		"output behind the region": `output "y" has 4 bytes at 8192, outside its region of 8192 bytes or not aligned`,
		"offset that overflows":    `output "y" has 128 bytes at 18446744073709551552, outside its region of 8192 bytes or not aligned`,
		"output not aligned":       `output "y" has 4 bytes at 3, outside its region of 8192 bytes or not aligned`,
		"size against shape":       `output "y" has 8 bytes, want 4 for UINT8[4]`,
		"negative dimension":       `output "y" has shape [-9223372036854775808]`,
		"huge rank":                `output "y" has 1152921504606846976 dimensions, at most 16 are allowed`,
		"huge dimension":           `output "y" has 4 bytes, want 4611686018427387904 for UINT8[4611686018427387904]`,
		"broken string":            `output "s" has string 0 has 2 bytes where 1 are left`,
		"unknown kind":             "an error of kind 200",
		"kind of people":           "an error of kind denied",
		"canceled by nobody":       "a run that was canceled, which nobody asked for",
		"long error":               "an error message of 9008 bytes, at most 2048 and 512 are allowed",
		"operation of nobody":      "a message of kind 3 as an answer",
		"less memory":              "a question for 16 bytes of output memory, where it has 8192",
		"refused twice":            "a second question for output memory after the first was refused",
		"socket closed":            "it closed the socket of a slot",
		"control socket":           "a message of kind 8 that nobody asked for",
		"control socket closed":    "it closed its control socket",
	} {
		t.Run(lie, func(t *testing.T) {
			cfg := quick()
			cfg.StopGrace = cfg.CancelGrace // a worker that cuts the connection lives for so long
			cfg.MaxDeaths = 1
			host := newHost(t, cfg, "liar:"+lie, nil)
			s := load(t, host, "model", inference.Options{})
			c := connect(t, s)
			_, err := c.ask(t.Context(), "1234")
			wantError(t, err, fault.Internal, "the worker died while it ran this request: it broke the protocol and was killed: "+want, "")
		})
	}
}

func TestTheLiarIsRightWhenItDoesNotLie(t *testing.T) {
	s := load(t, newHost(t, quick(), "liar:none", nil), "model", inference.Options{})
	c := connect(t, s)
	views, err := c.slot.Inputs([]inference.Input{{Shape: []int64{4}}})
	if err != nil {
		t.Fatal(err)
	}
	copy(views[0], "1234")
	out, err := c.slot.Run(t.Context())
	if err != nil || string(out[1].Data) != "\x02\x00\x00\x00hi" {
		t.Errorf("Run = %v, %v, want the string hi", out, err)
	}
}

func TestAReportThatLiesFailsTheLoad(t *testing.T) {
	host := newHost(t, quick(), "liar:report", nil)
	_, err := host.Runtime("fake", "").Load(t.Context(), inference.Model{Name: "m@1", Data: []byte("x"), FD: -1}, inference.Options{})
	wantError(t, err, fault.Internal,
		`m@1: the worker died while it loaded the model: it broke the protocol and was killed: a report whose input "x" has shape [-7]`, "")
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has several lines: %q", err)
	}
}

package commands_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"verge/client"
	"verge/test/nodetest"
)

// figures replaces what was measured.
func figures(text string) string {
	for _, r := range []struct{ pattern, with string }{
		{` +[0-9.]+ (ms|µs|s)\b`, " N ms"},
		{`[0-9.]+ (MB|GB)\b`, "N MB"},
		{`\b[0-9.]+ %`, "N %"},
		{`RssAnon \+ RssShmem.*`, "MEASURED"},
		{`[0-9.]+ a second`, "N a second"},
		{`(p50|p95|p99|mean|from|to) [0-9.]+\b`, "$1 N"},
		{`enforced: \w+`, "enforced: HOW"},
		{`up\s+\d+s`, "up Ns"},
		{`check +.*`, "check       RESULT"},
		{`onnxruntime [0-9.]+`, "onnxruntime VERSION"},
		{`[█░]{20,}`, "BAR"},
		{`sha256:[0-9a-f]+`, "sha256:DIGEST"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

func TestFromDeployToUndeployOnPlainLines(t *testing.T) {
	nodetest.Require(t)
	p := newPlace(t)
	p.example("digits.onnx", "labels.txt", "samples/07.png")
	p.write("deployment.json", []byte(`{"name":"digits","model":{"path":"digits.onnx","labels":"labels.txt"},"deployment":{"cpu_threads":1}}`))
	n := p.serve("--set", "health.interval=1h", "--set", "health.retry=1h") // the load of the processors stays unknown
	var transcript strings.Builder
	for _, args := range [][]string{
		{"status"},
		{"deploy", "deployment.json"},
		{"predict", "digits", "07.png"},
		{"status", "digits"},
		{"undeploy", "digits"},
		{"undeploy", "digits"},
		{"predict", "digits", "07.png"},
		{"status"},
	} {
		if len(args) > 1 && args[0] == "status" {
			n.checked(args[1])
		}
		got := p.run(args...)
		fmt.Fprintf(&transcript, "$ verge %s\n%s%s", strings.Join(args, " "), figures(got.Out), figures(got.Errors))
		if got.Status != 0 {
			fmt.Fprintf(&transcript, "exit status %d\n", got.Status)
		}
		if strings.ContainsAny(got.Out+got.Errors, "\x1b\r") {
			t.Errorf("verge %v writes control characters: %q", args, got.Out+got.Errors)
		}
	}
	golden(t, "transcript.golden", transcript.String())
	n.stop()
}

// checked waits until a model's answer to a known input was compared.
func (n *node) checked(model string) {
	n.p.t.Helper()
	nodetest.Wait(n.p.t, "the model was checked", func() bool {
		c := n.model(model).HealthStatus.Checks.Model
		return c != nil && c.Status != client.Unknown
	})
}

func TestRunServesForItsTimeAndLeavesItsState(t *testing.T) {
	nodetest.Require(t)
	p := newPlace(t)
	p.example("digits.onnx")
	p.write("fast.json", []byte(fast))
	begin := time.Now()
	got := p.run("run", "fast.json", "--for", "300ms")
	if took := time.Since(begin); got.Status != 0 || got.Errors != "" || took < 300*time.Millisecond {
		t.Errorf("after %v: %+v", took, got)
	}
	for _, want := range []string{"digits@1  deployment digits-ID\n", "digits@1 serves\n  unix:DIR/s\n  http://127.0.0.1:PORT\nverge predict digits FILE asks it; Ctrl-C stops the node\n"} {
		if !strings.Contains(got.Out, want) {
			t.Errorf("it prints %q, want %q in it", got.Out, want)
		}
	}
	p.tidy()
	n := p.serve() // what was committed serves again
	nodetest.Wait(t, "digits serves again", func() bool { return n.ModelReady(t.Context(), "digits", "") == nil })
	n.stop()
}

func TestASignalEndsRunWhileItServes(t *testing.T) {
	for signal := range signals {
		p := digits(t)
		f := p.follow("run", "fast.json")
		f.reach(client.PhaseCommitted)
		for more := true; more && f.last.Type != client.EventEnd; {
			more = f.next()
		}
		f.signal(signal)
		if got := f.end(); got != (outcome{}) {
			t.Errorf("%v: %+v, want the end without a word", signal, got)
		}
		p.tidy()
	}
}

func TestEventsAreOneJSONObjectALine(t *testing.T) {
	p := digits(t)
	n := p.serve()
	got := p.run("deploy", "fast.json", "--json")
	if got.Status != 0 || got.Errors != "" {
		t.Fatalf("%+v", got)
	}
	var phases []client.Phase
	verdicts := map[string]client.Outcome{}
	lines := strings.Split(strings.TrimSuffix(got.Out, "\n"), "\n")
	for i, line := range lines {
		var event client.Event
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if event.Seq != uint64(i+1) || (event.Type == client.EventEnd) != (i == len(lines)-1) {
			t.Errorf("line %d is event %d of type %s", i+1, event.Seq, event.Type)
		}
		switch event.Type {
		case client.EventPhase:
			phases = append(phases, event.Phase)
		case client.EventVerdict:
			verdicts[event.Verdict.Gate] = event.Verdict.Outcome
		case client.EventWarning, client.EventProgress, client.EventEnd:
		}
	}
	if want := "[pending checking preparing loading gating testing activating committed]"; fmt.Sprint(phases) != want {
		t.Errorf("phases %v, want %s", phases, want)
	}
	if want := "map[cold_start:pass determinism:pass functional:pass latency:pass load:skipped memory:pass numbers:pass performance:pass signature:skipped]"; fmt.Sprint(verdicts) != want {
		t.Errorf("verdicts %v, want %s", verdicts, want)
	}
	n.stop()
}

func TestATerminalGetsColoursUnlessTheyAreUnwanted(t *testing.T) {
	p := newPlace(t)
	p.write("x.json", []byte(`{"name":"x","model":{"path":"m","format":"tflite"}}`))
	p.write("m", affine())
	n := p.serve()
	const redMark, erase = "\x1b[31m✗\x1b[0m checking", "\x1b[K"
	for name, test := range map[string]struct {
		environ       []string
		colour, moves bool
	}{
		"a terminal":   {[]string{"TERM=xterm"}, true, true},
		"NO_COLOR":     {[]string{"TERM=xterm", "NO_COLOR=1"}, false, true},
		"a plain line": {[]string{"TERM=dumb"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := p.command("deploy", "x.json")
			cmd.Env = append(cmd.Env, test.environ...)
			text := onTerminal(t, cmd)
			if got := strings.Contains(text, redMark); got != test.colour {
				t.Errorf("colours: %v, want %v, in %q", got, test.colour, text)
			}
			if got := strings.Contains(text, erase); got != test.moves {
				t.Errorf("lines that are rewritten: %v, want %v, in %q", got, test.moves, text)
			}
			if !strings.Contains(text, "checking") || !test.colour && strings.Contains(text, "\x1b[3") {
				t.Errorf("it prints %q", text)
			}
		})
	}
	n.stop()
}

// onTerminal runs a command whose standard output is a terminal, and returns what
// it wrote there.
func onTerminal(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs a pseudo-terminal: %v", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = slave
	err = cmd.Start()
	slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	buf := make([]byte, 4096)
	for {
		k, err := master.Read(buf)
		text.Write(buf[:k])
		if err != nil { // EIO: nobody has the other end any more
			break
		}
	}
	_ = cmd.Wait() // the deployment fails
	return text.String()
}

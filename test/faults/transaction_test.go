package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"verge/client"
	"verge/internal/artifact"
	"verge/test/nodetest"
)

// count reads how many of something a test does from the environment: make faults asks for
// more than the other targets.
func count(tb testing.TB, name string, few int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s=%s, want a number of 1 or more", name, text)
	}
	return n
}

// program builds the real program, once.
var program = sync.OnceValues(func() (string, error) {
	const source = "../../cmd/verge/"
	if _, err := os.ReadFile(source + "main.go"); err != nil { // go test's cache sees which files are opened
		return "", err
	}
	dir, err := os.MkdirTemp("", "verge-faults-")
	if err != nil {
		return "", err
	}
	cleanup(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "verge"), source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, text)
	}
	return filepath.Join(dir, "verge"), nil
})

// leftovers are folders that outlive the test that has made them.
var leftovers struct {
	mu   sync.Mutex // guards dirs
	dirs []string
}

func cleanup(dir string) {
	leftovers.mu.Lock()
	defer leftovers.mu.Unlock()
	leftovers.dirs = append(leftovers.dirs, dir)
}

// stage is a state directory in which a second version serves, the first one is kept, and
// nothing goes on; and what is needed to deploy a third.
type stage struct {
	state  string
	models map[string]string    // digest → file
	says   map[string][]float32 // digest → answer to picture 3

	first, second, third string // digests
}

// spec is the deployment of the faults: everything but long tests.
const spec = `{"name":"digits","model":{"path":"digits.onnx"},"deployment":{"cpu_threads":1,"max_latency_ms":30000},
	"tests":{"performance_test":{"runs":5},"functional_test":true}}`

var theStage = sync.OnceValues(func() (*stage, error) {
	dir, err := os.MkdirTemp("", "verge-stage-")
	if err != nil {
		return nil, err
	}
	cleanup(dir)
	s := &stage{state: filepath.Join(dir, "state"), models: map[string]string{}, says: map[string][]float32{}}
	good, err := os.ReadFile(digits + "digits.onnx")
	if err != nil {
		return nil, err
	}
	bad, err := os.ReadFile(digits + "digits-bad.onnx")
	if err != nil {
		return nil, err
	}
	documented := func(text string) []byte { // the same model with another documentation, field 6
		return append(append(slices.Clone(good), 6<<3|2, byte(len(text))), text...)
	}
	for i, data := range [][]byte{documented("the first"), good, bad} {
		digest := artifact.Digest(data)
		s.models[digest] = filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(s.models[digest], data, 0o600); err != nil {
			return nil, err
		}
	}
	s.first, s.second, s.third = artifact.Digest(documented("the first")), artifact.Digest(good), artifact.Digest(bad)
	return s, nil
})

// newStage deploys the first two versions, once for all tests.
func newStage(t *testing.T) *stage {
	t.Helper()
	nodetest.Require(t)
	if testing.Short() {
		t.Skip("the program is a process of its own, without the race detector")
	}
	s, err := theStage()
	if err != nil {
		t.Fatal(err)
	}
	if _, statErr := os.Stat(s.state); statErr == nil {
		return s
	}
	deployOn := func(node *nodetest.Node, digest string) {
		t.Helper()
		if d := node.Deploy(spec, map[string]string{"model": s.models[digest]}); d.Phase != client.PhaseCommitted {
			t.Fatalf("%s: %+v", d.ID, d.Error)
		}
		if s.says[digest], err = ask(t.Context(), node, "digits", 3); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := nodetest.Start(t, nodetest.Settings(t)) // only to know its answer
	deployOn(elsewhere, s.third)
	elsewhere.Stop()
	cfg := nodetest.Settings(t)
	node := nodetest.Start(t, cfg)
	deployOn(node, s.first)
	deployOn(node, s.second)
	if slices.Equal(s.says[s.second], s.says[s.third]) {
		t.Fatal("the versions answer alike")
	}
	node.Stop()
	if err := os.CopyFS(s.state, os.DirFS(cfg.StateDir)); err != nil {
		t.Fatal(err)
	}
	return s
}

// told is what a client was told, and when.
type told struct {
	fresh bool // the state directory was not there: there is no old version

	uploaded, submitted, committed string          // digest and deployments; "" for not
	after                          map[string]int  // of these → number of ops on the state directory that came before
	failed                         *client.Failure // how the deployment ended otherwise
}

// verify starts a node on a state directory, and holds it against what a client was told. The
// directory is used up.
func (s *stage) verify(t *testing.T, state string, was told) {
	t.Helper()
	cfg := nodetest.Settings(t)
	if err := os.Rename(state, cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	node := nodetest.Start(t, cfg)
	if left := files(t, filepath.Join(cfg.StateDir, "tmp")); len(left) > 0 {
		t.Errorf("tmp has %v", left)
	}
	all, err := node.Deployments(t.Context(), client.DeploymentQuery{})
	if err != nil {
		t.Fatal(err)
	}
	byID, serves := map[string]client.Deployment{}, client.Deployment{}
	for _, d := range all.Deployments {
		byID[d.ID] = d
		if !d.Phase.Final() || d.Phase != client.PhaseCommitted && (d.Error == nil || d.Error.Message == "") {
			t.Errorf("%s is %s with %+v, want an end with a reason", d.ID, d.Phase, d.Error)
		}
		if d.Phase == client.PhaseCommitted && d.Version > serves.Version {
			serves = d
		}
	}
	old := 2
	if was.fresh {
		old = 0
	}
	if serves.Version != old && serves.Version != old+1 {
		t.Fatalf("version %d was committed last, want %d or %d", serves.Version, old, old+1)
	}
	version := 0
	if serves.Version > 0 {
		nodetest.Wait(t, "digits serves again", func() bool { return node.ModelReady(t.Context(), "digits", "") == nil })
		m, err := node.Model(t.Context(), "digits")
		if err != nil || m.Version != serves.Version {
			t.Fatalf("%+v (%v) serves, want version %d", m, err, serves.Version)
		}
		version = m.Version
		got, err := ask(t.Context(), node, "digits", 3)
		if want := s.says[serves.Digest]; err != nil || want == nil || !slices.Equal(got, want) {
			t.Errorf("version %d (%s) answers %v (%v), want %v", m.Version, serves.Digest, got, err, want)
		}
	} else if _, err := node.Model(t.Context(), "digits"); err == nil {
		t.Error("a model serves that nobody has committed")
	}
	if d := byID[was.committed]; was.committed != "" && (d.Phase != client.PhaseCommitted || version != d.Version) {
		t.Errorf("%s was told to be committed and is %s %+v, version %d serves", was.committed, d.Phase, d.Error, version)
	}
	if d, known := byID[was.submitted]; was.submitted != "" && (!known || (d.Phase == client.PhaseCommitted) != (version == d.Version)) {
		t.Errorf("%s was submitted and is known: %v, as %s %+v; version %d serves", was.submitted, known, d.Phase, d.Error, version)
	}
	if was.uploaded != "" && was.failed == nil && !slices.Contains(artifacts(t, cfg.StateDir), was.uploaded) {
		t.Errorf("%s was uploaded and is gone", was.uploaded)
	}
	if d := node.Deploy(spec, map[string]string{"model": s.models[s.second]}); d.Phase != client.PhaseCommitted {
		t.Errorf("the next deployment is %s: %+v", d.Phase, d.Error)
	}
	// What serves is needed, and what served before. What no deployment has asked for yet
	// waits for one.
	for _, digest := range artifacts(t, cfg.StateDir) {
		asked := slices.ContainsFunc(all.Deployments, func(d client.Deployment) bool { return d.Digest == digest })
		if digest != s.second && digest != serves.Digest && asked {
			t.Errorf("%s is left, and nothing needs it", digest)
		}
	}
	node.Stop()
}

// files lists what lies below a directory and is no directory.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// artifacts lists the digests of a state directory whose files are whole.
func artifacts(t *testing.T, state string) (all []string) {
	t.Helper()
	for _, path := range files(t, filepath.Join(state, "artifacts")) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if digest := artifact.Digest(data); digest == "sha256:"+filepath.Base(path) {
			all = append(all, digest)
		} else {
			t.Errorf("%s has %s", path, digest)
		}
	}
	return all
}

// plan is what a tracer is to do.
type plan struct {
	Dir   string   `json:"dir"`   // whose calls are counted
	Log   string   `json:"log"`   // file of ops, one JSON text a line
	Calls []string `json:"calls"` // that are counted; all for none
	At    int      `json:"at"`    // number of the call that meets the fault, from 1; 0 for none
	On    bool     `json:"on"`    // those after it too
	Kill  bool     `json:"kill"`  // the fault is SIGKILL, before the call
	Errno int      `json:"errno"` // the fault is this error, in place of the call
	Short bool     `json:"short"` // the fault writes half of what was to be written, and Errno meets the next call
}

// op is a system call that touched the state directory.
type op struct {
	Number int    `json:"number,omitempty"` // 0 where it is not counted
	Call   string `json:"call"`
	Path   string `json:"path"`
	To     string `json:"to,omitempty"`    // of a rename
	Offset int64  `json:"offset"`          // of a write
	Flags  uint64 `json:"flags,omitempty"` // of an open
	Size   int64  `json:"size"`            // of a truncation
	Data   []byte `json:"data,omitempty"`  // that was to be written
	Result int64  `json:"result"`          // below zero for an error
	Fault  bool   `json:"fault,omitempty"` // made by the tracer
}

// play is a run of the real program below the tracer, in which a client deploys the third
// version.
type play struct {
	t      *testing.T
	s      *stage
	state  string
	log    string
	output *os.File
	cmd    *exec.Cmd
	node   *client.Client
	ended  chan struct{}

	was   told
	wrong error
}

// noTracer is the status of a tracer that could not trace.
const noTracer = 99

// perform runs a play to its end: a node that is not killed by its fault is stopped, or
// killed where it does not answer.
func (s *stage) perform(t *testing.T, what plan, fresh bool) *play {
	t.Helper()
	verge, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "verge-play-") //nolint:usetesting // t.TempDir makes paths that are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &play{t: t, s: s, state: filepath.Join(dir, "state"), log: filepath.Join(dir, "log"), ended: make(chan struct{}), was: told{after: map[string]int{}}}
	if p.was.fresh = fresh; !fresh {
		if err = os.CopyFS(p.state, os.DirFS(s.state)); err != nil {
			t.Fatal(err)
		}
	}
	what.Dir, what.Log = p.state, p.log
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	p.cmd = exec.CommandContext(ctx, self, "trace", string(text), verge, "serve")
	p.cmd.Env = append(os.Environ(), "VERGE_STATE_DIR="+p.state, "VERGE_UNIX_SOCKET="+filepath.Join(dir, "s"), "VERGE_HTTP_ADDRESS=")
	if p.output, err = os.Create(filepath.Join(dir, "output")); err != nil {
		t.Fatal(err)
	}
	defer p.output.Close()
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err = p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // its status is looked at
	}()
	if p.node, err = client.New("unix:" + filepath.Join(dir, "s")); err != nil {
		t.Fatal(err)
	}
	defer p.node.Close()
	p.act(ctx)
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-p.ended
	if bytes.Contains(p.said(), []byte("operation not permitted")) && p.cmd.ProcessState.ExitCode() == noTracer {
		if !strings.Contains(","+os.Getenv("VERGE_REQUIRE")+",", ",strace,") {
			t.Skip("needs a system that lets a process trace another, as strace does")
		}
	}
	switch status := p.cmd.ProcessState.ExitCode(); status {
	case 0, 1, 128 + int(syscall.SIGKILL): // 1: it could not start, or not end in good order
	default:
		t.Errorf("the node ended with status %d", status)
	}
	if p.wrong != nil {
		t.Error(p.wrong)
	}
	if t.Failed() {
		t.Logf("the node said:\n%s", p.said())
	}
	return p
}

// said is what the node has written for people.
func (p *play) said() []byte {
	said, _ := os.ReadFile(p.output.Name())
	return said
}

// over says whether the node has ended.
func (p *play) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// note writes down what the client was told now.
func (p *play) note(what string) {
	p.was.after[what] = len(p.ops())
}

// act is what the client does. It ends with the node, or where a fault ends the deployment.
func (p *play) act(ctx context.Context) {
	serves := func() error {
		if p.was.fresh {
			return p.node.Live(ctx)
		}
		_, err := ask(ctx, nodetest.At(p.t, p.node), "digits", 3)
		return err
	}
	for serves() != nil {
		select {
		case <-p.ended:
			return
		case <-ctx.Done():
			p.wrong = errors.New("the old version does not serve")
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	asking, stop := context.WithCancel(ctx)
	var asker sync.WaitGroup
	if !p.was.fresh {
		asker.Go(func() { p.askOn(asking) })
	}
	defer asker.Wait()
	defer stop()
	node := nodetest.At(p.t, p.node)
	req, err := node.Request(ctx, spec, map[string]string{"model": p.s.models[p.s.third]})
	if err != nil {
		return
	}
	p.was.uploaded = p.s.third
	p.note("uploaded")
	d, err := p.node.Deploy(ctx, req)
	if err != nil {
		return
	}
	p.was.submitted = d.ID
	p.note("submitted")
	for event, err := range p.node.Events(ctx, d.ID, 0) {
		if err != nil {
			return
		}
		switch {
		case event.Type == client.EventEnd && event.Phase == client.PhaseCommitted:
			p.was.committed = d.ID
			p.note("committed")
		case event.Type == client.EventEnd:
			p.was.failed = event.Error
		}
	}
	if err := serves(); err != nil && !p.over() && !errors.Is(err, client.ErrUnreachable) {
		p.wrong = fmt.Errorf("after the deployment nothing serves: %w", err)
	}
}

// askOn asks all the time: each answer is that of the old version or of the new one.
func (p *play) askOn(ctx context.Context) {
	for ctx.Err() == nil {
		got, err := ask(ctx, nodetest.At(p.t, p.node), "digits", 3)
		switch {
		case err == nil && !slices.Equal(got, p.s.says[p.s.second]) && !slices.Equal(got, p.s.says[p.s.third]):
			p.wrong = fmt.Errorf("an answer of neither version: %v", got)
			return
		case errors.Is(err, client.ErrUnreachable):
			return
		case err != nil && ctx.Err() == nil && !p.over():
			var e *client.Error
			if errors.As(err, &e) && strings.Contains(e.Message, " was lost (") {
				<-p.ended // it was killed
				return
			}
			if errors.As(err, &e) && !strings.Contains(e.Message, "is stopping") {
				p.wrong = fmt.Errorf("a client was refused: %w", err)
				return
			}
		}
	}
}

// ops reads what the tracer has written down.
func (p *play) ops() []op {
	p.t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	var all []op
	for line := range strings.Lines(string(text)) {
		var o op
		if json.Unmarshal([]byte(line), &o) != nil {
			break // it is being written
		}
		all = append(all, o)
	}
	return all
}

// name says where a fault is met.
func (o op) name(state string) string {
	path, _ := filepath.Rel(state, o.Path)
	for long := range strings.SplitSeq(path, "/") {
		if len(long) == 64 {
			path = strings.ReplaceAll(path, long, long[:6])
		}
	}
	return fmt.Sprintf("%d %s %s", o.Number, o.Call, strings.ReplaceAll(path, "/", ":"))
}

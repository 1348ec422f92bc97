package litert

import (
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reason implements model. The library writes why to the standard error only, since
// the object that would keep its texts does not come to be: so the model is compiled
// once more, while what is written there is read and passed on. f is returned where
// nothing was said.
func (m *liteModel) reason(p place, threads int, f *failure) *failure {
	if f.text != "" {
		return f
	}
	s := p.settings(threads)
	s.reports = reportToStderr
	return m.api.said(f, m.api.beside(), func(env uintptr) {
		if c, failed := m.compileWith(env, s); failed == nil {
			c.close()
		}
	})
}

// whyNotParsed is the same for a file that the library does not read.
func (a *api) whyNotParsed(data []byte, f *failure) *failure {
	return a.said(f, onCPU, func(env uintptr) {
		if handle, failed := a.parse(env, data); failed == nil {
			a.destroy(destroyModel, handle)
		}
	})
}

// said returns f with what the library writes to the standard error while again does
// what has failed, in an environment with accelerators.
func (a *api) said(f *failure, accelerators uintptr, again func(env uintptr)) *failure {
	said, ok := listen(func() {
		env, failed := a.newEnvironment(severityWarning, accelerators)
		if failed != nil {
			return
		}
		again(env)
		a.destroy(destroyEnvironment, env)
		if env, failed = a.newEnvironment(severitySilent, onCPU); failed == nil { // quiet again
			a.destroy(destroyEnvironment, env)
		}
	})
	if !ok {
		return f
	}
	return &failure{status: f.status, text: clean(strings.Join(messages(said), "\n"))}
}

// messages are what the library has written among all that the process wrote: lines
// that begin with their severity. The library writes the severity first and then the
// text: what another thread puts between them is taken for the text.
func messages(said string) (all []string) {
	for line := range strings.Lines(said) {
		for _, severity := range []string{"INFO: ", "WARNING: ", "ERROR: "} {
			if text, marked := strings.CutPrefix(line, severity); marked && !strings.Contains(text, "Created TensorFlow Lite") {
				all = append(all, text)
			}
		}
	}
	return all
}

var stderr sync.Mutex //nolint:gochecknoglobals // the process has one standard error: it is held while someone listens to it

// listen returns what the process writes to its standard error while do runs, the last
// 64 KiB of it, and passes it on at once. It fails where the descriptors cannot be had.
// Where the process dies meanwhile, Go's own report goes to the standard error too.
func listen(do func()) (said string, ok bool) {
	// patience is for what is left in the pipe: another process may have the descriptor.
	const most, patience = 64 << 10, time.Second
	stderr.Lock()
	defer stderr.Unlock()
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC) != nil {
		return "", false
	}
	if err := unix.SetNonblock(ends[0], true); err != nil { // so that reading can end by a deadline; writers are made to wait
		unix.Close(ends[0]) //nolint:errcheck,gosec // nothing was written
		unix.Close(ends[1]) //nolint:errcheck,gosec // nothing was written
		return "", false
	}
	r := os.NewFile(uintptr(ends[0]), "stderr")
	defer r.Close() //nolint:errcheck // only read
	old, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		unix.Close(ends[1]) //nolint:errcheck,gosec // nothing was written
		return "", false
	}
	terminal := os.NewFile(uintptr(old), "stderr")
	defer terminal.Close() //nolint:errcheck // another descriptor of it stays
	err = unix.Dup3(ends[1], 2, 0)
	unix.Close(ends[1]) //nolint:errcheck,gosec // 2 is another descriptor of it
	if err != nil {
		return "", false
	}
	debug.SetCrashOutput(terminal, debug.CrashOptions{})  //nolint:errcheck,gosec // then it is in the pipe only
	defer debug.SetCrashOutput(nil, debug.CrashOptions{}) //nolint:errcheck // never
	done := make(chan []byte)
	go func() { done <- passOn(terminal, r, most) }()
	do()
	restored := unix.Dup3(old, 2, 0) == nil
	r.SetReadDeadline(time.Now().Add(patience)) //nolint:errcheck,gosec // a pipe has deadlines
	return string(<-done), restored
}

// passOn copies what it reads until that ends, and returns the last bytes of it. What
// cannot be written is read on, so that who writes there does not wait.
func passOn(to io.Writer, from io.Reader, most int) (last []byte) {
	chunk := make([]byte, 4<<10)
	for {
		n, err := from.Read(chunk)
		_, _ = to.Write(chunk[:n])
		last = append(last, chunk[:n]...)
		last = last[max(0, len(last)-most):]
		if err != nil {
			return last
		}
	}
}

package litert

import (
	"io"
	"os"
	"strings"

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
	var lines []string
	for line := range strings.Lines(said) {
		if text, marked := strings.CutPrefix(line, "INFO: "); marked {
			line = text
			if strings.Contains(line, "Created TensorFlow Lite") {
				continue
			}
		}
		for _, level := range []string{"ERROR: ", "WARNING: "} {
			line = strings.TrimPrefix(line, level)
		}
		lines = append(lines, line)
	}
	return &failure{status: f.status, text: clean(strings.Join(lines, ""))}
}

// listen returns what the process writes to its standard error while do runs, and
// passes it on. It fails where the descriptors cannot be had.
func listen(do func()) (said string, ok bool) {
	const most = 64 << 10
	r, w, err := os.Pipe()
	if err != nil {
		return "", false
	}
	defer r.Close() //nolint:errcheck // only read
	old, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		w.Close() //nolint:errcheck,gosec // nothing was written
		return "", false
	}
	terminal := os.NewFile(uintptr(old), "stderr")
	defer terminal.Close() //nolint:errcheck // another descriptor of it stays
	if err = unix.Dup3(int(w.Fd()), 2, 0); err != nil {
		w.Close() //nolint:errcheck,gosec // nothing was written
		return "", false
	}
	var kept strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		both := io.TeeReader(r, terminal)
		_, _ = io.Copy(&kept, io.LimitReader(both, most)) // what was read counts
		_, _ = io.Copy(io.Discard, both)
	}()
	do()
	restored := unix.Dup3(old, 2, 0) == nil
	w.Close() //nolint:errcheck,gosec // the copy at 2 is gone too
	if restored {
		<-done
	}
	return kept.String(), restored
}

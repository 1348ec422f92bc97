package litert

import (
	"io"
	"os"
	"strings"
	"sync"

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
// 64 KiB of it, and then passes it on. It fails where the descriptors cannot be had.
// It goes into a file, not a pipe: nobody who writes has to wait for a reader, and
// nothing here for the end of another process that has the descriptor too.
func listen(do func()) (said string, ok bool) {
	const most = 64 << 10
	stderr.Lock()
	defer stderr.Unlock()
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return "", false
	}
	file := os.NewFile(uintptr(fd), "stderr")
	defer file.Close()                                                              //nolint:errcheck // it goes with the descriptor
	if _, err = unix.FcntlInt(file.Fd(), unix.F_SETFL, unix.O_APPEND); err != nil { // no line overwrites another
		return "", false
	}
	old, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return "", false
	}
	terminal := os.NewFile(uintptr(old), "stderr")
	defer terminal.Close() //nolint:errcheck // another descriptor of it stays
	if err = unix.Dup3(fd, 2, 0); err != nil {
		return "", false
	}
	do()
	if err = unix.Dup3(old, 2, 0); err != nil {
		return "", false
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return "", false
	}
	_, _ = io.Copy(terminal, io.NewSectionReader(file, 0, size)) // as far as it is taken
	last := make([]byte, min(size, most))
	n, _ := file.ReadAt(last, size-int64(len(last))) // what was read counts
	return string(last[:n]), true
}

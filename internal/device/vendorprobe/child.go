package vendorprobe

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/native"
)

// askers returns what asks each library.
func askers() map[string]func(*native.Library) (Answer, error) {
	return map[string]func(*native.Library) (Answer, error){
		NVML: askNVML, CUDA: askCUDA, EdgeTPU: askEdgeTPU, OpenVINO: askOpenVINO,
	}
}

// Main is the process that asks one library, the first of those paths that can be
// loaded: it writes an Answer as JSON to out. What the library itself writes to
// standard output goes to standard error. That the library refuses is in the answer;
// Main fails with fault.Invalid where the name is not known or no path is given, and
// where it cannot write. The process ends after it: it has the library's code in it.
func Main(name string, paths []string, out *os.File) error {
	const op = "vendorprobe.main"
	ask, ok := askers()[name]
	if !ok || len(paths) == 0 {
		return fault.New(fault.Invalid, op, "no library %s with %d paths", fault.Quote(name), len(paths)).
			WithHint("This command is started by verge itself; it knows %s.", strings.Join(slices.Sorted(maps.Keys(askers())), ", "))
	}
	runtime.LockOSThread() // libraries keep errors for each thread; it stays so until the process ends
	answers, err := divert(out)
	if err != nil {
		return fault.New(fault.Internal, op, "keep standard output: %w", err)
	}
	text, err := json.Marshal(answer(name, paths, ask))
	if err == nil {
		_, err = answers.Write(append(text, '\n'))
	}
	if err != nil {
		return fault.New(fault.Internal, op, "write the answer: %w", err)
	}
	return nil
}

// answer opens the library and asks it.
func answer(name string, paths []string, ask func(*native.Library) (Answer, error)) Answer {
	open, err := openFirst(paths)
	path := paths[0]
	var a Answer
	if err == nil {
		path = open.Path()
		a, err = ask(open)
	}
	a.Name, a.Library = name, path
	if a.Devices == nil {
		a.Devices = []Device{}
	}
	if err != nil {
		base := filepath.Base(path)
		text := strings.ReplaceAll(fault.Message(err), path, base)
		if !strings.HasPrefix(text, base+": ") {
			text = base + ": " + text
		}
		a.Error = clean(strings.ReplaceAll(text, "\n", "; "), maxError)
	}
	for i := range a.Devices {
		a.Devices[i].sanitise()
	}
	a.Version = clean(a.Version, maxName)
	return a
}

// divert returns another descriptor of out, and makes standard output the same as
// standard error.
func divert(out *os.File) (*os.File, error) {
	const first = 3
	fd, err := unix.FcntlInt(out.Fd(), unix.F_DUPFD_CLOEXEC, first)
	if err != nil {
		return nil, err
	}
	if err = unix.Dup3(int(os.Stderr.Fd()), 1, 0); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), out.Name()), nil
}

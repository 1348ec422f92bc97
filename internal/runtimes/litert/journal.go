package litert

import (
	"slices"
	"strings"
	"sync"
	"unsafe"

	"verge/internal/native"
)

// journal keeps what the classic library says about one interpreter until somebody
// asks. The library calls from any thread.
type journal struct {
	mu    sync.Mutex // guards lines
	lines []string
}

// add keeps a line that is new, as long as there are few.
func (j *journal) add(line string) {
	const most = 16
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) < most && !slices.Contains(j.lines, line) {
		j.lines = append(j.lines, line)
	}
}

// take returns what was said, cleaned, and forgets it; "" where that is nothing.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := clean(strings.Join(j.lines, "\n"))
	j.lines = j.lines[:0]
	return text
}

// reporters are the functions of Go that the classic libraries and delegates of this
// process call with their errors.
type reporters struct {
	mu       sync.Mutex // guards what follows
	library  uintptr    // takes user data, format and va_list
	delegate uintptr    // takes a text
	next     uintptr
	journals map[uintptr]reporting // by user data

	creating sync.Mutex // held while a delegate is made; taken before mu
	created  *journal   // of that delegate; guarded by mu
}

// reporting is a journal and how its texts are formatted.
type reporting struct {
	journal   *journal
	vsnprintf uintptr
}

var reports reporters //nolint:gochecknoglobals // callbacks are never freed, so a process has one of each

// open enters a journal. It returns the function that the library is to call, and
// with which user data, until close.
func (r *reporters) open(vsnprintf uintptr, j *journal) (function, id uintptr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.library == 0 {
		r.library, r.journals = native.NewCallback(r.report), map[uintptr]reporting{}
	}
	r.next++
	r.journals[r.next] = reporting{j, vsnprintf}
	return r.library, r.next
}

// close removes what open entered.
func (r *reporters) close(id uintptr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.journals, id)
}

// report is what the library calls, on any thread: (user data, format, va_list). The
// last goes on to vsnprintf as it came: it is an address on amd64 and on arm64,
// although C calls it a structure there.
func (r *reporters) report(id, format, arguments uintptr) uintptr {
	r.mu.Lock()
	to := r.journals[id]
	r.mu.Unlock()
	if to.journal == nil {
		return 0
	}
	text := make([]byte, maxText)
	native.Call(to.vsnprintf, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)), format, arguments) // not negative
	line, _, _ := strings.Cut(string(text), "\x00")
	to.journal.add(line)
	return 0
}

// during lets the function that it hands to do, which takes a text and no user data,
// write to a journal.
func (r *reporters) during(j *journal, do func(function uintptr)) {
	r.creating.Lock()
	defer r.creating.Unlock()
	r.mu.Lock()
	if r.delegate == 0 {
		r.delegate = native.NewCallback(r.reportDelegate)
	}
	function := r.delegate
	r.created = j
	r.mu.Unlock()
	do(function)
	r.mu.Lock()
	r.created = nil
	r.mu.Unlock()
}

// reportDelegate is what an external delegate calls.
func (r *reporters) reportDelegate(text uintptr) uintptr {
	r.mu.Lock()
	j := r.created
	r.mu.Unlock()
	if j != nil {
		j.add(native.String(text, maxText))
	}
	return 0
}

package litert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"verge/internal/native"
)

// profiledRuns is how many runs of a slot are measured: what the library notes of each
// of them takes memory.
const profiledRuns = 100

// maxSummaries is how many runners a profile is of.
const maxSummaries = 16

// profile collects what a session's runners measured, for one file. A nil one collects
// nothing.
type profile struct {
	prefix string

	mu        sync.Mutex // guards summaries
	summaries []string
}

// profiler is a LiteRtProfiler, which belongs to its runner. A nil one measures nothing.
type profiler struct {
	profile  *profile
	compiled *compiled
	handle   uintptr
	runs     int
}

// start begins to measure a runner; nil where the library does not.
func (p *profile) start(c *compiled) *profiler {
	handle, s := c.api.get(getProfiler, c.handle)
	if s != statusOK || handle == 0 || c.api.call(startProfiler, handle) != statusOK {
		return nil
	}
	return &profiler{profile: p, compiled: c, handle: handle}
}

// ran notes a run that has succeeded.
func (p *profiler) ran() {
	if p == nil {
		return
	}
	if p.runs++; p.runs == profiledRuns {
		p.end()
	}
}

// end takes over what the library has measured, and measures no more.
func (p *profiler) end() {
	const most = 1 << 20
	if p == nil || p.handle == 0 {
		return
	}
	a := p.compiled.api
	a.call(stopProfiler, p.handle)
	var text uintptr
	if p.runs > 0 && a.call(getProfileSummary, p.handle, p.compiled.handle, uintptr(unsafe.Pointer(&text))) == statusOK && text != 0 {
		summary := fmt.Sprintf("%d runs on %s\n%s\n", p.runs, p.compiled.place.name, native.String(text, most))
		native.Call(a.free, text)
		p.profile.add(summary)
	}
	p.handle = 0
}

// add keeps a summary, and of very many the last ones.
func (p *profile) add(summary string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.summaries = append(p.summaries, summary)
	p.summaries = p.summaries[max(0, len(p.summaries)-maxSummaries):]
}

// write writes the file: the library's own summary for each slot. Its name is the
// prefix with a number that no other file has.
func (p *profile) write() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.summaries) == 0 {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(p.prefix), filepath.Base(p.prefix)+"_*.txt")
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	for _, summary := range p.summaries {
		if _, failed := file.WriteString(summary); failed != nil && err == nil {
			err = failed
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

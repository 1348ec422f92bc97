package cli

import (
	"encoding/json"
	"fmt"
	"sync"

	"verge/client"
)

// view shows a deployment. Its methods may be called by several goroutines.
type view interface {
	upload(role string, sent, total int64)
	begin(d *client.Deployment)
	event(e client.Event)
	note(format string, args ...any)    // something about this command, not about the deployment
	end(e *client.Event, serves string) // serves is what answers after a deployment that failed, or ""
	close()
}

// newView returns the view that fits the output.
func newView(std IO, asJSON bool) view {
	if asJSON {
		return &jsonView{std: std}
	}
	v := &textView{terminal: newTerminal(std.Out, std.Environ), err: std.Err}
	if v.live {
		v.start()
	}
	return v
}

// jsonView prints events as the node sends them.
type jsonView struct {
	std IO
	mu  sync.Mutex // guards the writing of a line
}

func (j *jsonView) upload(string, int64, int64) {}
func (j *jsonView) begin(*client.Deployment)    {}
func (j *jsonView) end(*client.Event, string)   {}
func (j *jsonView) close()                      {}

func (j *jsonView) event(e client.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if text, err := json.Marshal(e); err == nil {
		fmt.Fprintf(j.std.Out, "%s\n", text)
	}
}

func (j *jsonView) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.std.Err, "verge: "+format+"\n", args...)
}

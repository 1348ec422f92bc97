package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"verge/client"
)

// textView prints a line for each phase, with what it found below it. On a
// terminal the phase that goes on has a line that moves.
type textView struct {
	terminal

	err  io.Writer
	stop func() // ends the moving line; nil where nothing moves

	mu      sync.Mutex // guards all below, and the writing
	title   string     // "digits@1"
	phase   client.Phase
	since   time.Time // when the phase began, by the node's clock
	shown   time.Time // the same by ours
	details []string  // of the phase, printed when it has ended
	how     string    // as the last verdict was come to
	moving  string    // how far it has come
	frame   int
}

// start moves the line of the phase that goes on.
func (v *textView) start() {
	const pause = 100 * time.Millisecond
	stop := make(chan struct{}) // closed by v.stop
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				v.draw()
			}
		}
	})
	v.stop = sync.OnceFunc(func() {
		close(stop)
		done.Wait()
		v.erase()
	})
}

func (v *textView) close() {
	if v.stop != nil {
		v.stop()
	}
}

// draw shows the moving line.
func (v *textView) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.phase == "" && v.moving == "" {
		return
	}
	spinner := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	v.frame = (v.frame + 1) % len(spinner)
	parts := []string{string(spinner[v.frame])}
	if v.phase != "" {
		parts = append(parts, string(v.phase), " "+duration(time.Since(v.shown)))
	}
	if v.moving != "" {
		parts = append(parts, " "+v.moving)
	}
	v.rewrite(strings.Join(parts, " "))
}

// line prints a line that stays; v.mu is held.
func (v *textView) line(w io.Writer, text string) {
	if v.live {
		v.erase()
	}
	fmt.Fprintln(w, text)
}

func (v *textView) upload(role string, sent, total int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	const cells = 20
	v.moving = fmt.Sprintf("sending the %s  %s  %s of %s", role, bar(float64(sent)/float64(total), cells), size(sent), size(total))
	if sent == total {
		v.moving = ""
	}
}

func (v *textView) begin(d *client.Deployment) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.title = fmt.Sprintf("%s@%d", d.Model, d.Version)
	v.line(v.w, v.paint(bold, v.title)+v.paint(faint, "  deployment "+d.ID))
}

func (v *textView) note(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line(v.err, "verge: "+fmt.Sprintf(format, args...))
}

func (v *textView) event(e client.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Type {
	case client.EventPhase:
		v.endPhase(&e)
		if e.Phase != client.PhasePending && !e.Phase.Final() {
			v.phase, v.since, v.shown, v.details, v.moving = e.Phase, e.Time, time.Now(), nil, ""
		}
	case client.EventVerdict:
		v.details = append(v.details, v.verdict(e.Verdict))
	case client.EventWarning:
		v.details = append(v.details, v.paint(yellow, "!")+" "+plain(e.Message))
	case client.EventProgress:
		v.moving = moving(e.Progress)
	case client.EventEnd:
		v.endPhase(&e)
	}
}

// endPhase prints the phase that went on until the next one, or the end; v.mu is
// held.
func (v *textView) endPhase(next *client.Event) {
	if v.phase == "" {
		return
	}
	mark := v.paint(green, "✓")
	if next.Phase.Final() && next.Phase != client.PhaseCommitted {
		mark = v.paint(red, "✗")
	}
	v.line(v.w, fmt.Sprintf("%s %-11s %9s", mark, v.phase, duration(next.Time.Sub(v.since))))
	for _, detail := range v.details {
		v.line(v.w, "    "+detail)
	}
	v.phase, v.details, v.moving = "", nil, ""
}

// moving is how far a step has come.
func moving(p *client.Progress) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("%s %d", p.Step, p.Done)
	if p.Total > 0 {
		const cells = 20
		text = fmt.Sprintf("%s %s %d/%d", p.Step, bar(float64(p.Done)/float64(p.Total), cells), p.Done, p.Total)
	}
	if p.Figure != nil {
		text += "  " + withUnit(*p.Figure, p.Unit)
	}
	return text
}

// verdict is one line: outcome, gate, figure and limit, what else is to be known, and
// how it was measured where that is not how the one before was; v.mu is held.
func (v *textView) verdict(d *client.Verdict) string {
	if d == nil {
		return ""
	}
	colour := map[client.Outcome]string{
		client.OutcomePass: green, client.OutcomeFail: red, client.OutcomeError: red,
		client.OutcomeInconclusive: yellow, client.OutcomeSkipped: faint,
	}[d.Outcome]
	parts := []string{v.paint(colour, fmt.Sprintf("%-12s", d.Outcome)), fmt.Sprintf("%-18s", d.Gate)}
	if d.Figure != nil {
		text := withUnit(*d.Figure, d.Unit)
		if d.Limit != nil {
			text += " (limit " + number(*d.Limit, d.Unit) + ")"
		}
		parts = append(parts, text)
	}
	parts = append(parts, nonEmpty(plain(d.Detail))...)
	if d.How != "" && d.How != v.how {
		parts = append(parts, v.paint(faint, d.How))
	}
	v.how = d.How
	return strings.TrimRight(strings.Join(parts, "  "), " ")
}

func (v *textView) end(e *client.Event, serves string) {
	v.close()
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Phase == client.PhaseCommitted {
		fmt.Fprintln(v.w, v.paint(bold, cmp.Or(serves, v.title))+" serves")
		return
	}
	what := "was not deployed"
	if e.Phase == client.PhaseCanceled {
		what = "was canceled"
	}
	if e.Phase == client.PhaseRolledBack {
		what = "was rolled back"
	}
	if serves != "" {
		what += "; " + serves + " serves as before"
	}
	fmt.Fprintf(v.err, "verge: %s %s\n", v.title, what)
	if e.Error == nil || e.Phase == client.PhaseCanceled {
		return
	}
	if len(e.Error.Problems) == 0 {
		fmt.Fprintln(v.err, "  "+e.Error.Message)
	}
	writeAdvice(v.err, e.Error.Problems, e.Error.Hint)
}

package worker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/sandbox"
)

// listen reads what the worker says on the control socket, until its end.
func (p *process) listen() {
	buf := make([]byte, headerSize+maxDocument+1) // a longer message shows as too long
	answered := false
	for {
		n, err := p.control.Read(buf)
		if errors.Is(err, syscall.ECONNRESET) {
			continue // it left something unread; what it sent before comes next
		}
		if err != nil {
			p.await("closed its control socket")
			return
		}
		h, body, err := parse(buf[:n])
		switch {
		case err != nil:
		case h.op == opPong && h.slot == 0 && h.size == 0:
			p.misses.Store(0)
		case (h.op == opLoaded || h.op == opFailed) && !answered:
			answered = true
			var answer loaded
			if answer, err = parseLoaded(h, body); err == nil {
				p.loaded <- answer
			}
		default:
			err = fmt.Errorf("a message of kind %d that nobody asked for", h.op)
		}
		if err != nil {
			p.lied(err)
			return
		}
	}
}

func parseLoaded(h header, body []byte) (loaded, error) {
	if h.op == opFailed {
		failure, err := parseError(h, body, "worker.load")
		if err != nil {
			return loaded{}, err
		}
		return loaded{err: failure}, nil
	}
	r, err := parseReport(body)
	return loaded{report: r}, err
}

// wait waits for the end of the process, frees what belonged to it, and says so.
func (p *process) wait(reader *os.File) {
	// While it is not reaped, its number is nobody else's.
	retry(func() error { return unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) }) //nolint:errcheck,gosec // Wait says what is wrong
	p.kill(syscall.SIGKILL)                                                                            // what it may have started itself
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	err := p.cmd.Wait()
	close(p.exited)
	// What it wrote and said is complete now, and ends, unless a process that it
	// left behind holds the other ends: that is not waited for.
	reader.SetReadDeadline(time.Now().Add(outputGrace))    //nolint:errcheck,gosec // a pipe has deadlines
	p.control.SetReadDeadline(time.Now().Add(outputGrace)) //nolint:errcheck,gosec // as above
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	p.work.Close() //nolint:errcheck,gosec // nothing is lost with it
	p.wg.Wait()
	p.control.Close() //nolint:errcheck,gosec // as above
	reader.Close()    //nolint:errcheck,gosec // as above
	oom := p.group.Killed()
	p.measure()
	if left := p.group.Close(); left != nil {
		p.output.log.Warn("control group was not removed", "pid", p.pid, "err", left)
	}
	p.mu.Lock()
	p.death = p.verdict(err, oom)
	p.current = 0
	p.mu.Unlock()
	for conn := range conns { // last, so that who waits on one finds done soon after
		conn.Close() //nolint:errcheck,gosec // as above
	}
	close(p.done)
}

// outputGrace is how long the end of an ended process's output is read.
const outputGrace = 200 * time.Millisecond

// verdict says why the process ended; p.mu is held.
func (p *process) verdict(waited error, oom bool) error {
	const op = "" // who needed the process says what failed
	state := p.cmd.ProcessState
	killed := false
	if status, ok := state.Sys().(syscall.WaitStatus); ok {
		killed = status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	switch {
	case p.cause != nil:
		return fault.New(fault.Internal, op, "%w", p.cause)
	case oom:
		return fault.New(fault.Exhausted, op, "%s: it reached its memory limit of %d MB", state, p.limit>>20).
			WithHint("Raise deployment.memory_limit_mb, or deploy a smaller model.")
	case killed:
		return fault.New(fault.Internal, op, "%s (out of memory?)", state)
	case state != nil:
		if crash := p.output.crash(); crash != "" && state.ExitCode() == crashStatus {
			return fault.New(fault.Internal, op, "%s (%s)", state, crash)
		}
		return fault.New(fault.Internal, op, "%s", state)
	}
	return fault.New(fault.Internal, op, "%w", waited)
}

// await gives a process that cut the connection time to end by itself, as one that
// dies does, and ends it otherwise.
func (p *process) await(what string) {
	timer := time.NewTimer(p.cfg.StopGrace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.lied(errors.New("it " + what))
	}
}

// lied ends a process that broke the protocol, at once.
func (p *process) lied(what error) {
	p.blame(fmt.Errorf("it broke the protocol and was killed: %w", what))
	p.kill(syscall.SIGKILL)
}

// end ends a process for the reason given: at once, or by SIGTERM, and SIGKILL
// when it has not ended within the grace. It does not wait for that; done does.
func (p *process) end(cause error, now bool) {
	if !p.blame(cause) {
		return // somebody else ends it
	}
	if now {
		p.kill(syscall.SIGKILL)
		return
	}
	p.kill(syscall.SIGTERM)
	time.AfterFunc(p.cfg.StopGrace, func() { p.kill(syscall.SIGKILL) })
}

// blame notes why the process is ended. Only the first reason counts.
func (p *process) blame(cause error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause != nil {
		return false
	}
	p.cause = cause
	return true
}

// stop asks the process to end, waits, insists, and waits until it is gone.
func (p *process) stop() {
	message := header{op: opStop}.append(nil)
	p.control.SetWriteDeadline(time.Now().Add(p.cfg.StopGrace)) //nolint:errcheck,gosec // it fails when the process is gone
	send(p.control, message)                                    //nolint:errcheck,gosec // as above
	for _, signal := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGKILL} {
		if signal != 0 {
			p.kill(signal)
		}
		timer := time.NewTimer(p.cfg.StopGrace)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
	<-p.done
}

// kill signals the process and what it may have started.
func (p *process) kill(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		unix.Kill(-p.pid, signal) //nolint:errcheck,gosec // it fails when they are gone
	}
}

// ping asks for a sign of life, once each PingInterval. It reports whether too many
// such questions had no answer. They are counted, rather than the time, so that
// neither a clock that was set nor a node that was stopped looks like a worker
// that hangs.
func (p *process) ping(sequence uint64) (hangs bool) {
	if time.Duration(p.misses.Add(1)-1)*p.cfg.PingInterval > p.cfg.PingTimeout {
		return true
	}
	p.control.SetWriteDeadline(time.Now().Add(p.cfg.PingInterval))      //nolint:errcheck,gosec // it fails when the process is gone
	send(p.control, header{op: opPing, sequence: sequence}.append(nil)) //nolint:errcheck,gosec // no answer comes then
	return false
}

// open makes the socket of a slot. It fails when the process is gone.
func (p *process) open() (number uint32, ours *net.UnixConn, theirs *os.File, err error) {
	ours, theirs, err = pair()
	if err != nil {
		return 0, nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return 0, nil, nil, errors.Join(errGone, ours.Close(), theirs.Close())
	}
	p.conns[ours] = true
	return p.slots.Add(1), ours, theirs, nil
}

// forget closes the socket of a slot, and tells the worker.
func (p *process) forget(number uint32, conn *net.UnixConn) {
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
	conn.Close()                                                       //nolint:errcheck,gosec // nothing is lost with it
	send(p.control, header{op: opCloseSlot, slot: number}.append(nil)) //nolint:errcheck,gosec // it fails when the process is gone
}

// errGone says that the process ended before anything was sent to it.
var errGone = errors.New("the worker is gone")

// measure looks at the memory that the process takes.
func (p *process) measure() {
	current, err := sandbox.Memory(p.pid)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.death == nil && current > 0 {
		p.current, p.peak = current, max(p.peak, current)
	}
	p.peak = max(p.peak, p.group.Peak())
}

// memory returns what the process takes, and the most that it took.
func (p *process) memory() (current, peak int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current, p.peak
}

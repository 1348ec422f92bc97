// Package notify tells the service manager that started this process how it is, by the
// protocol of sd_notify(3): datagrams to the Unix socket that NOTIFY_SOCKET names. It is
// for the node's own process; what that starts gets an environment without the variable.
//
//	manager, err := notify.New(os.Environ(), os.Getpid())
//	err = manager.Send(notify.Ready, notify.Status("serving 2 models"))
//	watchdog := notify.Watchdog{Limit: manager.Watchdog(), Check: selfCheck, Feed: …}
//	watchdog.Run(ctx)
//
// A Manager is safe for concurrent use. Nothing here starts a goroutine.
package notify

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"verge/internal/fault"
)

// State is one assignment of a message.
type State string

// The states that have no text.
const (
	Ready    State = "READY=1"    // the start is over
	Stopping State = "STOPPING=1" // the stop has begun
	Alive    State = "WATCHDOG=1" // the watchdog's time begins anew
)

// Status is one line for people, which `systemctl status` shows.
func Status(text string) State { return State("STATUS=" + strings.Join(strings.Fields(text), " ")) }

// Manager is the service manager; one that is nil is none, and is told nothing.
type Manager struct {
	socket   string // as net has it: a path, or "@" and an abstract name
	watchdog time.Duration
}

// New returns the manager that the variables of an environment name, or nil where they
// name none. pid is this process: a watchdog that is meant for another one is not
// heeded. It fails with fault.Invalid for variables that no service manager sets.
func New(environ []string, pid int) (*Manager, error) {
	socket := lookup(environ, "NOTIFY_SOCKET")
	if socket == "" {
		return nil, nil //nolint:nilnil // no manager is no error, and a nil Manager is used as any other
	}
	if !filepath.IsAbs(socket) && socket[0] != '@' {
		return nil, fault.New(fault.Invalid, "notify.new", "NOTIFY_SOCKET is %s, want an absolute path or an abstract name", fault.Quote(socket))
	}
	m := &Manager{socket: socket}
	limit := lookup(environ, "WATCHDOG_USEC")
	if limit == "" || !forUs(lookup(environ, "WATCHDOG_PID"), pid) {
		return m, nil
	}
	const most = int64(1<<63-1) / int64(time.Microsecond)
	usec, err := strconv.ParseInt(limit, 10, 64)
	if err != nil || usec <= 0 || usec > most {
		return nil, fault.New(fault.Invalid, "notify.new", "WATCHDOG_USEC is %s, want microseconds", fault.Quote(limit))
	}
	m.watchdog = time.Duration(usec) * time.Microsecond
	return m, nil
}

func forUs(text string, pid int) bool { return text == "" || text == strconv.Itoa(pid) }

// lookup returns the last value of a variable, or "".
func lookup(environ []string, name string) (value string) {
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// Watchdog returns within which time Alive is to be sent again and again, or 0 where
// nobody waits for it.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Send tells the manager all of states in one message. It fails with
// fault.Unavailable where the manager does not take it.
func (m *Manager) Send(states ...State) error {
	if m == nil {
		return nil
	}
	lines := make([]string, len(states))
	for i, s := range states {
		lines[i] = string(s)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err == nil {
		defer conn.Close() //nolint:errcheck // what was to be sent is sent by Write, or its error is returned
		const patience = time.Second
		if err = conn.SetWriteDeadline(time.Now().Add(patience)); err == nil {
			_, err = conn.Write([]byte(strings.Join(lines, "\n")))
		}
	}
	if err != nil {
		return fault.New(fault.Unavailable, "notify.send", "tell the service manager: %w", err)
	}
	return nil
}

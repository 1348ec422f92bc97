package notify_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"verge/internal/fault"
	"verge/internal/notify"
)

// listen is a service manager's socket.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestTheManagerIsToldAtItsSocket(t *testing.T) {
	for name, socket := range map[string]string{
		"a path":           filepath.Join(t.TempDir(), "notify"),
		"an abstract name": "@verge-notify-test-" + t.Name(),
	} {
		t.Run(name, func(t *testing.T) {
			conn := listen(t, socket)
			m, err := notify.New([]string{"NOTIFY_SOCKET=/other", "NOTIFY_SOCKET=" + socket}, 7)
			if err != nil {
				t.Fatal(err)
			}
			if err = m.Send(notify.Ready, notify.Status(" two\nlines\tand\rmore ")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 1<<10)
			n, err := conn.Read(got)
			if want := "READY=1\nSTATUS=two lines and more"; string(got[:n]) != want || err != nil {
				t.Errorf("the manager got %q (%v), want %q", got[:n], err, want)
			}
		})
	}
}

func TestWithoutAManagerNothingIsTold(t *testing.T) {
	m, err := notify.New([]string{"NOTIFY_SOCKET=", "WATCHDOG_USEC=1000", "XNOTIFY_SOCKET=/x"}, 7)
	if m != nil || err != nil {
		t.Fatalf("New = %v, %v, want nothing", m, err)
	}
	if err := m.Send(notify.Ready); err != nil || m.Watchdog() != 0 {
		t.Errorf("Send = %v, Watchdog = %v, want nothing", err, m.Watchdog())
	}
}

func TestTheWatchdogIsHeededWhereItIsMeantForThisProcess(t *testing.T) {
	for name, test := range map[string]struct {
		environ []string
		want    time.Duration
	}{
		"no watchdog":     {nil, 0},
		"for anyone":      {[]string{"WATCHDOG_USEC=30000000"}, 30 * time.Second},
		"for us":          {[]string{"WATCHDOG_USEC=1500", "WATCHDOG_PID=7"}, 1500 * time.Microsecond},
		"for another one": {[]string{"WATCHDOG_USEC=1500", "WATCHDOG_PID=77"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := notify.New(append(test.environ, "NOTIFY_SOCKET=/x"), 7)
			if err != nil || m.Watchdog() != test.want {
				t.Errorf("Watchdog = %v (%v), want %v", m.Watchdog(), err, test.want)
			}
		})
	}
}

func TestVariablesThatNoManagerSetsAreRefused(t *testing.T) {
	for variable, want := range map[string]string{
		"NOTIFY_SOCKET=vsock:2:1234":        `NOTIFY_SOCKET is "vsock:2:1234", want an absolute path or an abstract name`,
		"WATCHDOG_USEC=30s":                 `WATCHDOG_USEC is "30s", want microseconds`,
		"WATCHDOG_USEC=0":                   `WATCHDOG_USEC is "0", want microseconds`,
		"WATCHDOG_USEC=9223372036854775807": `WATCHDOG_USEC is "9223372036854775807", want microseconds`,
	} {
		_, err := notify.New([]string{"NOTIFY_SOCKET=/x", variable}, 7)
		if fault.KindOf(err) != fault.Invalid || fault.Message(err) != want {
			t.Errorf("%s: %v %q, want %q", variable, fault.KindOf(err), fault.Message(err), want)
		}
	}
}

func TestAManagerThatIsGoneIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone")
	m, err := notify.New([]string{"NOTIFY_SOCKET=" + path}, 7)
	if err != nil {
		t.Fatal(err)
	}
	err = m.Send(notify.Ready)
	want := "tell the service manager: dial unixgram " + path + ": connect: no such file or directory"
	if fault.KindOf(err) != fault.Unavailable || fault.Message(err) != want {
		t.Errorf("%v %q, want %q", fault.KindOf(err), fault.Message(err), want)
	}
}

package commands_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"verge/test/nodetest"
)

// manager is a service manager's socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

// manage lets what is started in a place tell a service manager how it is.
func (p *place) manage(t *testing.T, socket string, more ...string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p.environ = append(append(p.environ, "NOTIFY_SOCKET="+socket), more...)
	return &manager{t, conn}
}

// next returns the next message, line by line.
func (m *manager) next() []string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(nodetest.Patience)); err != nil {
		m.t.Fatal(err)
	}
	message := make([]byte, 4<<10)
	n, err := m.conn.Read(message)
	if err != nil {
		m.t.Fatalf("wait for a message to the service manager: %v", err)
	}
	return strings.Split(string(message[:n]), "\n")
}

// until reads messages up to the one that has line, and returns all lines.
func (m *manager) until(line string) (all []string) {
	m.t.Helper()
	for !slices.Contains(all, line) {
		all = append(all, m.next()...)
	}
	return all
}

// nothing looks whether a message is there.
func (m *manager) nothing() {
	m.t.Helper()
	const moment = time.Millisecond
	message := make([]byte, 4<<10)
	m.conn.SetReadDeadline(time.Now().Add(moment))
	if n, err := m.conn.Read(message); err == nil {
		m.t.Errorf("the service manager is told %q, want nothing", message[:n])
	}
}

func TestAServiceManagerIsToldOfStartModelsAndStop(t *testing.T) {
	p := digits(t)
	plain := p.serve()
	p.deploys("fast.json")
	plain.stop()

	m := p.manage(t, "@verge-"+fmt.Sprint(os.Getpid()))
	n := p.serve()
	if got, want := m.next()[0], "READY=1"; got != want {
		t.Errorf("the first line is %q, want %q", got, want)
	}
	m.until("STATUS=1 model serving")
	environment := fmt.Sprintf("/proc/%d/environ", n.model("digits").Worker.PID)
	if text, err := os.ReadFile(environment); err != nil || strings.Contains(string(text), "NOTIFY_SOCKET") {
		t.Errorf("the worker's environment is %q (%v), want it without NOTIFY_SOCKET", text, err)
	}
	n.stop()
	if got := m.next(); !slices.Equal(got, []string{"STOPPING=1", "STATUS=answering what was admitted"}) {
		t.Errorf("at the end the manager is told %q", got)
	}
}

func TestTheWatchdogIsFedOnlyWhileTheFrontDoorAnswers(t *testing.T) {
	p := newPlace(t)
	m := p.manage(t, p.path("notify"), "WATCHDOG_USEC=3000000")
	n := p.serve("--set", "limits.max_connections=1", "--set", "limits.idle_timeout=1s", "--set", "limits.read_header_timeout=1m")
	m.until("WATCHDOG=1")
	m.until("WATCHDOG=1")

	// One client that never ends its request takes the only place: nobody else is answered.
	n.Close()
	conn, err := net.Dial("unix", p.path("s"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /v2/health/live HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	m.until("STATUS=the node does not answer itself: unix:" + p.path("s") + " did not answer in time")
	nodetest.Wait(t, "two checks fail", func() bool { return strings.Count(n.log.String(), "self-check failed") > 1 })
	m.nothing()

	conn.Close()
	if got := m.until("WATCHDOG=1"); !slices.Contains(got, "STATUS=no model is deployed") {
		t.Errorf("after the hang the manager is told %q", got)
	}
	n.signal(syscall.SIGTERM)
	m.until("STOPPING=1")
	n.wait()
	p.tidy()
}

func TestAWatchdogOfAnotherProcessIsNotFed(t *testing.T) {
	p := newPlace(t)
	m := p.manage(t, p.path("notify"), "WATCHDOG_USEC=1000", "WATCHDOG_PID=1")
	n := p.serve()
	n.stop()
	if got := m.until("STOPPING=1"); slices.Contains(got, "WATCHDOG=1") {
		t.Errorf("the manager is told %q", got)
	}
}

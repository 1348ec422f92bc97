package httpapi_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verge/internal/api/httpapi"
	"verge/internal/fault"
)

// refused compares an error with what is wanted: kind, text and hint.
func refused(t *testing.T, err error, kind fault.Kind, text, hint string) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind || fault.Message(err) != text || fault.HintOf(err) != hint {
		t.Errorf("got %v %q | %q\nwant %v %q | %q", fault.KindOf(err), fault.Message(err), fault.HintOf(err), kind, text, hint)
	}
}

func TestListenTCPSaysWhyItCannot(t *testing.T) {
	l, err := httpapi.ListenTCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = httpapi.ListenTCP(l.Addr().String())
	refused(t, err, fault.Conflict, "the address "+l.Addr().String()+" is in use by another process", "Stop what listens there, or choose another one: --http-address HOST:PORT.")
	_, err = httpapi.ListenTCP("192.0.2.1:8000")
	refused(t, err, fault.Invalid, "cannot listen at 192.0.2.1:8000: listen tcp 192.0.2.1:8000: bind: cannot assign requested address", "Choose another address: --http-address HOST:PORT.")
	_, err = httpapi.ListenTCP("127.0.0.1")
	refused(t, err, fault.Invalid, "cannot listen at 127.0.0.1: listen tcp: address 127.0.0.1: missing port in address", "Choose another address: --http-address HOST:PORT.")
}

func TestAUnixSocketHasItsModeAndGoesWithItsListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "verge.sock")
	l, err := httpapi.ListenUnix(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("Stat = %v, %v, want a socket of mode 0660", info.Mode(), err)
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after Close: %v, want that it is gone", err)
	}
}

func TestASocketThatADeadProcessLeftIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verge.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l, err := httpapi.ListenUnix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("dial: %v", err)
	} else {
		conn.Close()
	}
}

func TestListenUnixRefusesWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	const choose = "Choose another path: --unix-socket PATH."
	path := filepath.Join(dir, "verge.sock")
	l, err := httpapi.ListenUnix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = httpapi.ListenUnix(path, 0o600)
	refused(t, err, fault.Conflict, "another process answers at the Unix socket "+path, "Stop that node, or choose another path: --unix-socket PATH.")

	file := filepath.Join(dir, "file")
	if err = os.WriteFile(file, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = httpapi.ListenUnix(file, 0o600)
	refused(t, err, fault.Invalid, file+" is there, and is no socket", "Remove it, or choose another path: --unix-socket PATH.")
	if text, readErr := os.ReadFile(file); string(text) != "keep" {
		t.Errorf("the file now holds %q, %v", text, readErr)
	}
	_, err = httpapi.ListenUnix(filepath.Join(file, "verge.sock"), 0o600)
	refused(t, err, fault.Denied, "make the folder of the Unix socket: mkdir "+file+": not a directory", choose)

	long := "/" + strings.Repeat("x", 107)
	_, err = httpapi.ListenUnix(long, 0o600)
	refused(t, err, fault.Invalid, "the path of the Unix socket has 108 bytes, at most 107 are possible: "+long, choose)
}

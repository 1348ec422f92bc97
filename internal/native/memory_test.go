package native_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/native"
)

// check compares an error's kind, text and hint.
func check(tb testing.TB, err error, kind fault.Kind, text, hint string) {
	tb.Helper()
	switch {
	case err == nil:
		tb.Errorf("no error, want %q", text)
	case fault.KindOf(err) != kind || fault.Message(err) != text || fault.HintOf(err) != hint:
		tb.Errorf("error is %v %q, hint %q\nwant      %v %q, hint %q", fault.KindOf(err), fault.Message(err), fault.HintOf(err), kind, text, hint)
	}
}

// duplicate returns another descriptor of m's file, for MapMemory to take over.
func duplicate(tb testing.TB, m *native.Memory) int {
	tb.Helper()
	fd, err := unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return fd
}

// closed reports whether a descriptor is closed.
func closed(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return errors.Is(err, unix.EBADF)
}

func TestMemoryIsZeroedWritableAndOfWholePages(t *testing.T) {
	page := os.Getpagesize()
	for n, want := range map[int]int{0: page, 1: page, page: page, page + 1: 2 * page} {
		m, err := native.NewMemory("test", n)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Bytes()) != want || !bytes.Equal(m.Bytes(), make([]byte, want)) {
			t.Errorf("NewMemory(%d) has %d bytes, want %d zeroes", n, len(m.Bytes()), want)
		}
		m.Bytes()[want-1] = 1
		m.Close()
	}
}

func TestMemoryNeitherShrinksNorGrows(t *testing.T) {
	m, err := native.NewMemory("test", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, size := range []int64{0, 1, 1 << 20} {
		if err := unix.Ftruncate(m.FD(), size); !errors.Is(err, unix.EPERM) {
			t.Errorf("Ftruncate(%d) = %v, want %v", size, err, unix.EPERM)
		}
	}
	if _, err := unix.FcntlInt(uintptr(m.FD()), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); !errors.Is(err, unix.EPERM) {
		t.Errorf("adding a seal = %v, want %v", err, unix.EPERM)
	}
}

func TestMemoryIsSharedThroughItsDescriptor(t *testing.T) {
	m, err := native.NewMemory("test", 100)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	other, err := native.MapMemory(duplicate(t, m), 1<<20, true)
	if err != nil {
		t.Fatalf("MapMemory = %v, want a mapping", err)
	}
	defer other.Close()
	copy(m.Bytes(), "written here")
	other.Bytes()[0] = 'W'
	if got := string(m.Bytes()[:12]); got != "Written here" {
		t.Errorf("memory holds %q, want what both sides wrote", got)
	}
}

func TestReadOnlyMemoryHoldsWhatWasFilledInAndNothingElse(t *testing.T) {
	m, err := native.NewReadOnlyMemory("model", 5, func(to []byte) error {
		copy(to, "model")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if string(m.Bytes()) != "model" {
		t.Errorf("memory holds %q, want %q", m.Bytes(), "model")
	}
	if _, err = unix.Pwrite(m.FD(), []byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("a write = %v, want %v", err, unix.EPERM)
	}
	if _, err = unix.Mmap(m.FD(), 0, 5, unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EPERM) {
		t.Errorf("a writable mapping = %v, want %v", err, unix.EPERM)
	}
	other, err := native.MapMemory(duplicate(t, m), 5, false)
	if err != nil {
		t.Fatalf("MapMemory = %v, want a mapping", err)
	}
	defer other.Close()
	if string(other.Bytes()) != "model" {
		t.Errorf("the other mapping holds %q, want %q", other.Bytes(), "model")
	}
}

func TestReadOnlyMemoryFails(t *testing.T) {
	_, err := native.NewReadOnlyMemory("model", 0, nil)
	check(t, err, fault.Invalid, "a region of 0 bytes, want 1 or more", "")
	broken := errors.New("the disk is gone")
	if _, err := native.NewReadOnlyMemory("model", 10, func([]byte) error { return broken }); err != broken { //nolint:errorlint // as it is
		t.Errorf("a fill that fails = %v, want %v as it is", err, broken)
	}
}

func TestDescriptorsOfAnythingElseAreRefusedAndClosed(t *testing.T) {
	unsealed := func() int {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	for name, tc := range map[string]struct {
		make     func() int
		limit    int64
		writable bool
		want     string
	}{
		"a pipe": {func() int {
			var ends [2]int
			if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			unix.Close(ends[1])
			return ends[0]
		}, 1 << 20, false, "not a memory file: invalid argument"},
		"a file": {func() int {
			fd, err := unix.Open(filepath.Join(t.TempDir(), "file"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			return fd
		}, 1 << 20, false, "not a memory file: invalid argument"},
		"no seals": {unsealed, 1 << 20, true, "memory file has seals 0x0, want 0x7"},
		"no write seal where the memory is to be read only": {func() int {
			m, err := native.NewMemory("test", 1)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			return duplicate(t, m)
		}, 1 << 20, false, "memory file has seals 0x7, want 0xf"},
		"nothing in it": {func() int {
			fd := unsealed()
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
				t.Fatal(err)
			}
			return fd
		}, 1 << 20, true, "memory file has 0 bytes, want 1 to 1048576"},
		"more than the limit": {func() int {
			m, err := native.NewReadOnlyMemory("test", 11, func([]byte) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			return duplicate(t, m)
		}, 10, false, "memory file has 11 bytes, want 1 to 10"},
	} {
		t.Run(name, func(t *testing.T) {
			fd := tc.make()
			_, err := native.MapMemory(fd, tc.limit, tc.writable)
			check(t, err, fault.Invalid, tc.want, "")
			if !closed(fd) {
				t.Error("the descriptor is still open")
			}
		})
	}
}

func TestMemoryClosesTwice(t *testing.T) {
	m, err := native.NewMemory("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	fd := m.FD()
	for range 2 {
		if err := m.Close(); err != nil {
			t.Errorf("Close = %v, want no error", err)
		}
	}
	if !closed(fd) || m.Bytes() != nil || m.FD() != -1 {
		t.Error("the descriptor or the mapping is still there")
	}
}

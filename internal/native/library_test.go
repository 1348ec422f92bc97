package native_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"verge/internal/fault"
	"verge/internal/native"
)

// libm returns the path of the mathematics library, a real one that every system
// with the GNU C library has.
func libm(tb testing.TB) string {
	tb.Helper()
	found, err := filepath.Glob("/lib*/*-linux-gnu/libm.so.6")
	if err != nil || len(found) == 0 {
		tb.Skip("needs libm of the GNU C library")
	}
	return found[0]
}

// altered writes a copy of libm after edit has changed it, and returns its path.
func altered(tb testing.TB, edit func([]byte) []byte) string {
	tb.Helper()
	data, err := os.ReadFile(libm(tb))
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "lib.so")
	if err := os.WriteFile(path, edit(data), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestFilesThatCannotBeLoadedAreRefusedInWords(t *testing.T) {
	other, name := elf.EM_AARCH64, "arm64"
	if runtime.GOARCH == "arm64" {
		other, name = elf.EM_X86_64, "amd64"
	}
	for title, tc := range map[string]struct {
		path       func(t *testing.T) string
		kind       fault.Kind
		text, hint string // of the text, what matches as a regular expression
	}{
		"no file": {
			func(t *testing.T) string {
				t.Helper()
				return filepath.Join(t.TempDir(), "none.so")
			}, fault.NotFound,
			`no such file`, "Install the library, or correct its path.",
		},
		"a directory": {
			func(t *testing.T) string {
				t.Helper()
				return t.TempDir()
			}, fault.Invalid, `not a file but a directory`, "Name the library's file.",
		},
		"a device": {func(*testing.T) string { return os.DevNull }, fault.Invalid, `not a file but a device`, "Name the library's file."},
		"text": {
			func(t *testing.T) string {
				t.Helper()
				return altered(t, func([]byte) []byte { return []byte("plain text") })
			}, fault.Corrupt,
			`not an ELF file, or not a whole one: .*`, "Install the library again.",
		},
		"the first half": {
			func(t *testing.T) string {
				t.Helper()
				return altered(t, func(b []byte) []byte { return b[:len(b)/2] })
			}, fault.Corrupt,
			`not an ELF file, or not a whole one: .*`, "Install the library again.",
		},
		"an object file": {
			func(t *testing.T) string {
				t.Helper()
				return altered(t, func(b []byte) []byte { binary.LittleEndian.PutUint16(b[16:], uint16(elf.ET_REL)); return b })
			}, fault.Corrupt, `not a shared library but an ELF file of type ET_REL`, "",
		},
		"another processor": {
			func(t *testing.T) string {
				t.Helper()
				return altered(t, func(b []byte) []byte { binary.LittleEndian.PutUint16(b[18:], uint16(other)); return b })
			}, fault.Unsupported, `the library is made for ` + name + `, not for ` + runtime.GOARCH, "Install the library for linux/" + runtime.GOARCH + ".",
		},
		"a newer C library": {
			func(t *testing.T) string {
				t.Helper()
				return altered(t, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\x00GLIBC_2."), []byte("\x00GLIBC_9.")) })
			}, fault.Unsupported, `the library needs glibc 9\.\S+ or newer, this system has glibc 2\.\d+`, "Use a newer release of the system, or an older version of the library.",
		},
		"a library that is missing": {
			func(t *testing.T) string {
				t.Helper()
				return altered(t, func(b []byte) []byte {
					return bytes.ReplaceAll(b, []byte("\x00libc.so.6\x00"), []byte("\x00none.so.6\x00"))
				})
			}, fault.Unsupported, `the system's loader refuses it: .*none\.so\.6.*`, "Install the libraries that it needs; ldd lists them.",
		},
	} {
		t.Run(title, func(t *testing.T) {
			path := tc.path(t)
			_, err := native.Open(path)
			if err == nil {
				t.Fatal("Open succeeded")
			}
			text, named := strings.CutPrefix(fault.Message(err), path+": ")
			if fault.KindOf(err) != tc.kind || !named || !regexp.MustCompile("^"+tc.text+"$").MatchString(text) || fault.HintOf(err) != tc.hint {
				t.Errorf("Open = %v %q, hint %q\nwant   %v %q, hint %q", fault.KindOf(err), fault.Message(err), fault.HintOf(err), tc.kind, tc.text, tc.hint)
			}
		})
	}
}

func TestFunctionsAreFoundAndCalled(t *testing.T) {
	library, err := native.Open(libm(t))
	if err != nil {
		t.Fatalf("Open = %v, want a library", err)
	}
	labs, err := library.Symbol("labs") // of the C library, which libm needs
	if err != nil {
		t.Fatalf("Symbol = %v, want an address", err)
	}
	if got := native.Call(labs, ^uintptr(41)); got != 42 {
		t.Errorf("labs(-42) = %d, want 42", got)
	}
	_, err = library.Symbol("no_such_function")
	if err == nil || fault.KindOf(err) != fault.Unsupported || !strings.HasPrefix(fault.Message(err), library.Path()+": no symbol no_such_function: ") ||
		fault.HintOf(err) != "Install a version of the library that this build knows." {
		t.Errorf("Symbol = %v, hint %q; want it to name symbol and library", err, fault.HintOf(err))
	}
}

func TestCCallsBackIntoGo(t *testing.T) {
	library, err := native.Open(libm(t))
	if err != nil {
		t.Fatal(err)
	}
	qsort, err := library.Symbol("qsort")
	if err != nil {
		t.Fatal(err)
	}
	numbers := []int32{3, -1, 2, 0}
	compare := native.NewCallback(func(a, b uintptr) uintptr {
		x := int32(binary.NativeEndian.Uint32(native.View(a, 4)))
		y := int32(binary.NativeEndian.Uint32(native.View(b, 4)))
		return uintptr(int(x) - int(y))
	})
	native.Call(qsort, uintptr(unsafe.Pointer(&numbers[0])), uintptr(len(numbers)), 4, compare)
	if want := [4]int32{-1, 0, 2, 3}; [4]int32(numbers) != want {
		t.Errorf("sorted = %v, want %v", numbers, want)
	}
}

func TestCallsWithAKeptListAllocateNothing(t *testing.T) {
	library, err := native.Open(libm(t))
	if err != nil {
		t.Fatal(err)
	}
	labs, err := library.Symbol("labs")
	if err != nil {
		t.Fatal(err)
	}
	args := []uintptr{1}
	if got := testing.AllocsPerRun(100, func() { native.Call(labs, args...) }); got > 0 {
		t.Errorf("%v allocations for each call, want none", got)
	}
}

func TestTextCrossesToCAndBack(t *testing.T) {
	text, err := native.CString("größe")
	if err != nil || string(text) != "größe\x00" {
		t.Errorf("CString = %q, %v; want a zero byte at the end", text, err)
	}
	if got := native.String(native.Address(text), 100); got != "größe" {
		t.Errorf("String = %q, want %q", got, "größe")
	}
	if got := native.String(native.Address(text), 2); got != "gr" {
		t.Errorf("String cut after 2 bytes = %q, want %q", got, "gr")
	}
	if got := native.String(0, 100); got != "" {
		t.Errorf("String of the null pointer = %q, want nothing", got)
	}
	_, err = native.CString("a\x00b")
	check(t, err, fault.Invalid, `"a\x00b" has a zero byte at 1, which a C library cannot take`, "")
	runtime.KeepAlive(text)
}

func TestViewsAreTheMemoryItself(t *testing.T) {
	words := []uintptr{7, 8, 9}
	view := native.Words(uintptr(unsafe.Pointer(&words[0])), 3)
	words[1] = 80
	if view[1] != 80 || len(view) != 3 {
		t.Errorf("Words = %v, want %v", view, words)
	}
	if native.View(0, 8) != nil || native.Words(0, 8) != nil || native.View(native.Address([]byte{1}), 0) != nil || native.Address(nil) != 0 {
		t.Error("the null pointer and no bytes give something, want nothing")
	}
	native.TrimHeap()
}

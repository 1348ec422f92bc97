package trtstub

import (
	"testing"

	"verge/internal/native"
)

// Stub is a pair of libraries that were built, for a test to look into.
type Stub struct {
	CUDA     string // path of the driver
	TensorRT string // path of the library

	driver, library *native.Library
}

func open(tb testing.TB, cuda, library string) *Stub {
	tb.Helper()
	s := &Stub{CUDA: cuda, TensorRT: library}
	var err error
	if s.driver, err = native.Open(cuda); err != nil {
		tb.Fatal(err)
	}
	if s.library, err = native.Open(library); err != nil {
		tb.Fatal(err)
	}
	return s
}

// call calls a function of a stand-in.
func call(tb testing.TB, library *native.Library, name string, args ...uintptr) uintptr {
	tb.Helper()
	address, err := library.Symbol(name)
	if err != nil {
		tb.Fatal(err)
	}
	return native.Call(address, args...)
}

// Set sets an option of the stand-ins until the test ends:
//
//	init             what cuInit returns
//	no_device        1: there is no GPU
//	capability       compute capability, 100 * major + minor; 806 where it is not set
//	total            bytes of device memory; 2^30 where it is not set
//	fail_create      1: the next createInferRuntime fails as it does without a driver
//	fail_enqueue     1: the next enqueueV3 fails
//	illegal_address  1: the next cuStreamSynchronize fails
func (s *Stub) Set(tb testing.TB, option string, value int) {
	tb.Helper()
	set := func(value int) {
		name, err := native.CString(option)
		if err != nil {
			tb.Fatal(err)
		}
		call(tb, s.driver, "stub_set", native.Address(name), uintptr(value))
	}
	set(value)
	tb.Cleanup(func() { set(0) })
}

// Await returns when a run of a Wait engine has begun.
func (s *Stub) Await(tb testing.TB) {
	tb.Helper()
	call(tb, s.driver, "stub_await")
}

// Release lets a run of a Wait engine end.
func (s *Stub) Release(tb testing.TB) {
	tb.Helper()
	call(tb, s.driver, "stub_release")
}

// Used returns how many bytes of device memory are not freed.
func (s *Stub) Used(tb testing.TB) int {
	tb.Helper()
	return int(call(tb, s.driver, "stub_used"))
}

// Broken returns the sentences about rules that were broken, one in each line, and
// forgets them.
func (s *Stub) Broken(tb testing.TB) string {
	tb.Helper()
	text := make([]byte, 4096)
	call(tb, s.driver, "stub_broken", native.Address(text), uintptr(len(text)))
	return native.String(native.Address(text), len(text))
}

// Check fails the test when rules were broken, or when device memory, streams, or
// more objects of the library than its runtimes are left.
func (s *Stub) Check(tb testing.TB, runtimes int) {
	tb.Helper()
	if broken := s.Broken(tb); broken != "" {
		tb.Errorf("rules of the interface were broken:\n%s", broken)
	}
	if used, streams := s.Used(tb), int(call(tb, s.driver, "stub_streams")); used != 0 || streams != 0 {
		tb.Errorf("%d bytes of device memory and %d streams are left, want none", used, streams)
	}
	if objects := int(call(tb, s.library, "stub_objects")); objects != runtimes {
		tb.Errorf("%d objects of the library are left, want %d", objects, runtimes)
	}
}

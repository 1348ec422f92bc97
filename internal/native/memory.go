package native

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

// sizeSeals keep a memory file's size what it is: a mapping of it can then
// never fault.
const sizeSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// Memory is a mapped memory file (memfd_create(2)) of a size that is sealed. It
// is shared with another process by passing FD.
type Memory struct {
	data []byte
	fd   int
}

// NewMemory creates a zeroed, writable region of n bytes, rounded up to whole
// pages. The name shows up in /proc/PID/maps only. It fails with
// fault.Exhausted when the system has no memory or no descriptor left.
func NewMemory(name string, n int) (*Memory, error) {
	size := roundToPages(n)
	fd, err := createFile(name, size)
	if err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sizeSeals); err != nil {
		unix.Close(fd) //nolint:errcheck,gosec // the first error counts
		return nil, fault.New(fault.Exhausted, "native.memory", "seal: %w", err)
	}
	return mapFile(fd, size, unix.PROT_READ|unix.PROT_WRITE)
}

// NewReadOnlyMemory creates a region of exactly n bytes, lets fill write it,
// and seals it against every change. A failure of fill is returned as it is.
func NewReadOnlyMemory(name string, n int, fill func([]byte) error) (*Memory, error) {
	if n <= 0 {
		return nil, fault.New(fault.Invalid, "native.memory", "a region of %d bytes, want 1 or more", n)
	}
	fd, err := createFile(name, n)
	if err != nil {
		return nil, err
	}
	m, err := mapFile(fd, n, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return nil, err
	}
	if err := fill(m.data); err != nil {
		return nil, closeAfter(m, err)
	}
	// The write seal is refused while a writable mapping exists.
	if err := unix.Munmap(m.data); err != nil {
		return nil, closeAfter(m, fault.New(fault.Exhausted, "native.memory", "unmap: %w", err))
	}
	m.data = nil
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sizeSeals|unix.F_SEAL_WRITE); err != nil {
		return nil, closeAfter(m, fault.New(fault.Exhausted, "native.memory", "seal: %w", err))
	}
	return mapFile(fd, n, unix.PROT_READ)
}

// MapMemory maps a memory file that another process made, and takes the
// descriptor over. It fails with fault.Invalid, and closes the descriptor, when
// the file is not a memory file sealed against shrinking and growing, or is
// larger than limit bytes. A read-only mapping asks for the write seal too.
func MapMemory(fd int, limit int64, writable bool) (*Memory, error) {
	want, prot := sizeSeals, unix.PROT_READ
	if writable {
		prot |= unix.PROT_WRITE
	} else {
		want |= unix.F_SEAL_WRITE
	}
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	switch {
	case err != nil:
		err = fault.New(fault.Invalid, "native.memory", "not a memory file: %w", err)
	case seals&want != want:
		err = fault.New(fault.Invalid, "native.memory", "memory file has seals %#x, want %#x", seals, want)
	case st.Size <= 0 || st.Size > limit:
		err = fault.New(fault.Invalid, "native.memory", "memory file has %d bytes, want 1 to %d", st.Size, limit)
	}
	if err != nil {
		unix.Close(fd) //nolint:errcheck,gosec // the first error counts
		return nil, err
	}
	return mapFile(fd, int(st.Size), prot)
}

// Bytes returns the mapping. It is invalid after Close.
func (m *Memory) Bytes() []byte { return m.data }

// FD returns the descriptor of the memory file. Close closes it.
func (m *Memory) FD() int { return m.fd }

// Close unmaps the region and closes its descriptor. It is safe to repeat.
func (m *Memory) Close() error {
	if m.data != nil {
		if err := unix.Munmap(m.data); err != nil {
			return fmt.Errorf("unmap memory: %w", err)
		}
		m.data = nil
	}
	if m.fd >= 0 {
		fd := m.fd
		m.fd = -1
		return unix.Close(fd)
	}
	return nil
}

func createFile(name string, size int) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fault.New(fault.Exhausted, "native.memory", "create %d bytes of shared memory: %w", size, err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd) //nolint:errcheck,gosec // the first error counts
		return -1, fault.New(fault.Exhausted, "native.memory", "create %d bytes of shared memory: %w", size, err)
	}
	return fd, nil
}

func mapFile(fd, size, prot int) (*Memory, error) {
	data, err := unix.Mmap(fd, 0, size, prot, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd) //nolint:errcheck,gosec // the first error counts
		return nil, fault.New(fault.Exhausted, "native.memory", "map %d bytes: %w", size, err)
	}
	return &Memory{data: data, fd: fd}, nil
}

func closeAfter(m *Memory, err error) error {
	m.Close() //nolint:errcheck,gosec // the first error counts
	return err
}

func roundToPages(n int) int {
	page := os.Getpagesize()
	return (max(n, 1) + page - 1) / page * page
}

package native

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"verge/internal/fault"
	"verge/internal/version"
)

// machine is a kind of processor as ELF, Go and people name it.
type machine struct {
	elf    elf.Machine
	goarch string
	bits   elf.Class
}

var machines = [...]machine{ //nolint:gochecknoglobals // a constant table
	{elf.EM_X86_64, "amd64", elf.ELFCLASS64},
	{elf.EM_AARCH64, "arm64", elf.ELFCLASS64},
	{elf.EM_386, "386", elf.ELFCLASS32},
	{elf.EM_ARM, "arm", elf.ELFCLASS32},
	{elf.EM_RISCV, "riscv64", elf.ELFCLASS64},
	{elf.EM_PPC64, "ppc64le", elf.ELFCLASS64},
	{elf.EM_S390, "s390x", elf.ELFCLASS64},
	{elf.EM_LOONGARCH, "loong64", elf.ELFCLASS64},
}

// System is what a library is to be loaded on.
type System struct {
	Arch string // Go's name of its processor
	Libc string // its C library, such as "glibc 2.36" or "musl"; "" where that is not known
}

// Here is the system of this process.
func Here() System {
	s := System{Arch: runtime.GOARCH, Libc: "another C library"}
	if version := glibc(); version != "" {
		s.Libc = "glibc " + version
	}
	return s
}

// Check says why the file at path cannot be loaded into this process, or nil. It only
// reads it. Its errors are those of Open.
func Check(path string) error { return Here().Check(path) }

// Check says why the file at path, which is only read, cannot be loaded on the system,
// or nil: fault.NotFound, fault.Invalid where it is no regular file or cannot be read,
// fault.Corrupt where it is no shared library, and fault.Unsupported where it is for
// another processor or needs a newer glibc.
func (s System) Check(path string) error {
	const op = "native.open"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, op, "no such file").On(path).
			WithHint("Install the library, or correct its path.")
	case err != nil:
		return fault.New(fault.Invalid, op, "%w", errors.Unwrap(err)).On(path)
	case !info.Mode().IsRegular():
		return fault.New(fault.Invalid, op, "not a file but a %s", kindOf(info.Mode())).On(path).
			WithHint("Name the library's file.")
	}
	file, err := os.Open(path) //nolint:gosec // the caller chose the library; it is only looked at
	if err != nil {
		return fault.New(fault.Invalid, op, "%w", errors.Unwrap(err)).On(path)
	}
	defer file.Close() //nolint:errcheck // only read
	return s.checkELF(file, path)
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	}
	return "device"
}

func (s System) checkELF(file *os.File, path string) error {
	const op = "native.open"
	parsed, err := elf.NewFile(file)
	if err != nil {
		return fault.New(fault.Corrupt, op, "not an ELF file, or not a whole one: %w", err).On(path).
			WithHint("Install the library again.")
	}
	switch {
	case parsed.Type != elf.ET_DYN:
		return fault.New(fault.Corrupt, op, "not a shared library but an ELF file of type %s", parsed.Type).On(path)
	case !s.runs(parsed):
		return fault.New(fault.Unsupported, op, "the library is made for %s, not for %s", nameOf(parsed), s.Arch).On(path).
			WithHint("Install the library for linux/%s.", s.Arch)
	}
	needs, err := newestGLIBC(parsed)
	if err != nil {
		return fault.New(fault.Corrupt, op, "the library's list of versions cannot be read: %w", err).On(path).
			WithHint("Install the library again.")
	}
	has, isGLIBC := strings.CutPrefix(s.Libc, "glibc ")
	hint := "Use a newer release of the system, or an older version of the library."
	switch {
	case needs == "" || s.Libc == "" || s.Libc == "glibc": // of a version that is not known
		return nil
	case !isGLIBC:
		hint = "Use a system with glibc."
	case version.Compare(has, needs) >= 0:
		return nil
	}
	return &fault.Error{Kind: fault.Unsupported, Op: op, Subject: path, Err: &LibcError{Needs: needs, Has: s.Libc}, Hint: hint}
}

// LibcError is why a library cannot be loaded on a system whatever file of its version is
// taken.
type LibcError struct {
	Needs string // lowest version of glibc
	Has   string // the system's C library, as System has it
}

func (e *LibcError) Error() string {
	return fmt.Sprintf("the library needs glibc %s or newer, this system has %s", e.Needs, e.Has)
}

// runs reports whether the file is made for the system's processor.
func (s System) runs(f *elf.File) bool {
	for _, m := range machines {
		if m.goarch == s.Arch {
			return f.Machine == m.elf && f.Class == m.bits
		}
	}
	return true // not in the table: the loader will say
}

func nameOf(f *elf.File) string {
	for _, m := range machines {
		if m.elf == f.Machine && m.bits == f.Class {
			return m.goarch
		}
	}
	return fmt.Sprintf("%s, %s", f.Machine, f.Class)
}

// newestGLIBC returns the highest version of glibc that the file refers to, or
// "" where it refers to none.
func newestGLIBC(f *elf.File) (string, error) {
	if f.SectionByType(elf.SHT_GNU_VERNEED) == nil {
		return "", nil
	}
	libraries, err := f.DynamicVersionNeeds()
	if err != nil {
		return "", err
	}
	newest := ""
	for _, library := range libraries {
		for _, need := range library.Needs {
			if v, ok := strings.CutPrefix(need.Dep, "GLIBC_"); ok && version.Compare(newest, v) < 0 && v[0] >= '0' && v[0] <= '9' {
				newest = v
			}
		}
	}
	return newest, nil
}

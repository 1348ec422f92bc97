package runtimeinstall

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"verge/internal/fault"
)

//go:embed runtimes.lock.json
var lockText []byte // an embedded file, never changed

// lock is the form of the lock file.
type lock struct {
	Runtimes []pin `json:"runtimes"`
}

// pin is the version of one runtime that this program is tested with.
type pin struct {
	Name      string     `json:"name"`
	Runtime   string     `json:"runtime,omitempty"` // whose library this is another build of, preferred where it is installed
	Version   string     `json:"version"`
	Library   string     `json:"library"`        // file name without version: "libonnxruntime.so"
	Also      []string   `json:"also,omitempty"` // other names that a system has it by
	Platforms []platform `json:"platforms"`      // none where no package has it
	Licence   string     `json:"licence,omitempty"`
	Comes     string     `json:"comes,omitempty"` // how it comes where no package has it, a sentence
}

// names are the names of the library's file, without its version.
func (p pin) names() []string { return append([]string{p.Library}, p.Also...) }

// serves is the name of the runtime whose library this is.
func (p pin) serves() string { return cmp.Or(p.Runtime, p.Name) }

// platform is where a runtime's library comes from for one system, the preferred
// source first.
type platform struct {
	Platform string   `json:"platform"`
	Sources  []source `json:"sources"`
}

// source is one package that holds the library. The same version may differ from
// one package to another in what it was built with.
type source struct {
	Client        string   `json:"client"`    // "pip" or "npm"
	Package       string   `json:"package"`   // as the client takes it, with its version
	Arguments     []string `json:"arguments"` // of the client, to get the same package on every machine
	File          string   `json:"file"`      // that the client writes
	Size          int64    `json:"size"`
	SHA256        string   `json:"sha256"`
	Member        string   `json:"member"` // path of the library in the package
	LibrarySize   int64    `json:"library_size"`
	LibrarySHA256 string   `json:"library_sha256"`
	Beside        []member `json:"beside,omitempty"` // what the library looks for in its own folder
}

// member is one more file of a package. It keeps its name where it is installed.
type member struct {
	Member string `json:"member"` // its path in the package
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// library is the member that the runtime is opened by.
func (s source) library() member {
	return member{Member: s.Member, Size: s.LibrarySize, SHA256: s.LibrarySHA256}
}

// members are all files that are installed, the library last: it is there only when
// all that it needs is.
func (s source) members() []member { return append(slices.Clone(s.Beside), s.library()) }

// bytes is the size of all members.
func (s source) bytes() int64 {
	total := int64(0)
	for _, m := range s.members() {
		total += m.Size
	}
	return total
}

// parseLock reads a lock file and checks what the rest relies on: names that are
// names, and sizes within bounds.
func parseLock(text []byte) (*lock, error) {
	var l lock
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return nil, lockError("%w", err)
	}
	if _, err := decoder.Token(); err != io.EOF { // Token returns it bare
		return nil, lockError("there is more behind the object")
	}
	for i, p := range l.Runtimes {
		if err := p.check(); err != nil {
			return nil, lockError("runtimes[%d]: %w", i, err)
		}
		if p.Runtime != "" && !slices.ContainsFunc(l.Runtimes, func(other pin) bool { return other.Name == p.Runtime && other.Runtime == "" }) {
			return nil, lockError("runtimes[%d]: there is no runtime %q", i, p.Runtime)
		}
	}
	return &l, nil
}

func lockError(format string, args ...any) error {
	return fault.New(fault.Corrupt, "runtimeinstall.lock", format, args...).On("the lock file of runtimes")
}

func (p pin) check() error {
	name := regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._-]*$`)
	if !name.MatchString(p.Name) || !name.MatchString(p.Version) || slices.ContainsFunc(p.names(), func(n string) bool { return !name.MatchString(n) }) {
		return fmt.Errorf("name %q, version %q or library %q is not a file name", p.Name, p.Version, p.Library)
	}
	for _, on := range p.Platforms {
		if _, err := ParsePlatform(on.Platform); err != nil {
			return err
		}
		for j, s := range on.Sources {
			if err := s.check(); err != nil {
				return fmt.Errorf("%s: sources[%d]: %w", on.Platform, j, err)
			}
		}
	}
	return nil
}

func (s source) check() error {
	const most = 4 << 30 // bytes of a package or library
	switch {
	case s.Client != pipClient && s.Client != npmClient:
		return fmt.Errorf("client %q, want %s or %s", s.Client, pipClient, npmClient)
	case s.Package == "" || strings.HasPrefix(s.Package, "-"):
		return fmt.Errorf("package %q is not a name", s.Package)
	case s.File == "" || s.File != path.Base(s.File) || s.Member == "":
		return fmt.Errorf("file %q or member %q is not a path", s.File, s.Member)
	case s.Size < 1 || s.Size > most || s.LibrarySize < 1 || s.LibrarySize > most:
		return fmt.Errorf("size %d or library_size %d, want 1 to %d", s.Size, s.LibrarySize, int64(most))
	}
	sums := []string{s.SHA256, s.LibrarySHA256}
	for _, m := range s.Beside {
		if m.Member == "" || m.Size < 1 || m.Size > most {
			return fmt.Errorf("beside: member %q of %d bytes, want a path and 1 to %d", m.Member, m.Size, int64(most))
		}
		sums = append(sums, m.SHA256)
	}
	for _, sum := range sums {
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 || strings.ToLower(sum) != sum {
			return fmt.Errorf("sha256 %q, want 64 lower-case hexadecimal digits", sum)
		}
	}
	return nil
}

// fileName is what the library is called where it is installed. Its version is in
// it, whatever the package calls it.
func (p pin) fileName() string { return p.Library + "." + p.Version }

// sources returns the packages for a platform.
func (p pin) sources(on Platform) ([]source, error) {
	var known []string
	for _, candidate := range p.Platforms {
		if candidate.Platform == on.String() {
			return candidate.Sources, nil
		}
		known = append(known, candidate.Platform)
	}
	e := fault.New(fault.Unsupported, "runtimeinstall.platform", "no package of it is known for %s", on)
	if len(known) > 0 {
		e = fault.New(fault.Unsupported, "runtimeinstall.platform", "it is not available for %s, only for %s", on, strings.Join(known, ", "))
	}
	if p.Comes != "" {
		return nil, e.On(p.subject()).WithHint("%s", p.Comes)
	}
	return nil, e.On(p.subject()).WithHint("Build the library for this platform, and name its folder as runtime_dir.")
}

func (p pin) subject() string { return "runtime " + p.Name + " " + p.Version }

// pin returns the entry of a runtime. It fails with fault.NotFound for a name that is
// not in the lock.
func (l *lock) pin(name string) (pin, error) {
	known := make([]string, 0, len(l.Runtimes))
	for _, p := range l.Runtimes {
		if p.Name == name {
			return p, nil
		}
		known = append(known, p.Name)
	}
	subject, hint := fmt.Sprintf("runtime %.40q", name), "Known: "+strings.Join(known, ", ")+"."
	return pin{}, fault.New(fault.NotFound, "runtimeinstall.name", "there is no such runtime").On(subject).WithHint("%s", hint)
}

// builds returns the pins whose libraries serve under a name, the preferred ones
// first.
func (l *lock) builds(p pin) []pin {
	var all []pin
	for _, other := range l.Runtimes {
		if other.Runtime == p.Name {
			all = append(all, other)
		}
	}
	return append(all, p)
}

// Platform is a system and a processor, by Go's names.
type Platform struct{ OS, Arch string }

// Host returns the platform of this process.
func Host() Platform { return Platform{OS: runtime.GOOS, Arch: runtime.GOARCH} }

// ParsePlatform reads "linux/arm64".
func ParsePlatform(text string) (Platform, error) {
	system, arch, ok := strings.Cut(text, "/")
	if !ok || system == "" || arch == "" || strings.Contains(arch, "/") {
		return Platform{}, fault.New(fault.Invalid, "runtimeinstall.platform", "platform %.40q: want a system and a processor", text).
			WithHint("Write it as linux/arm64.")
	}
	return Platform{OS: system, Arch: arch}, nil
}

// String returns "linux/arm64".
func (p Platform) String() string { return p.OS + "/" + p.Arch }

package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"verge/internal/fault"
)

// Format is the number of the form that this package writes and reads.
const Format = 1

// The names of what every bundle may have.
const (
	manifestName = "bundle.json"
	reportName   = "report.json"
	filesDir     = "files"
)

// Limits on what is read into memory, in bytes, and on entries.
const (
	maxDocument = 1 << 20
	maxFiles    = 64
)

// Manifest says what a bundle holds.
type Manifest struct {
	Format     int       `json:"format"` // the constant
	Model      string    `json:"model"`  // the plain name
	Version    int       `json:"version"`
	Stage      string    `json:"stage"`      // at which it was deployed
	Deployment string    `json:"deployment"` // id, on the node that it comes from
	Created    time.Time `json:"created"`    // when it began to serve there
	Spec       string    `json:"spec"`       // name of the deployment file in the bundle
	Files      []File    `json:"files"`      // the model first
}

// File is one file of the model.
type File struct {
	Role   string `json:"role"`   // "model", "weights", "labels", …, as a request for a deployment names it
	Path   string `json:"path"`   // in the bundle, with slashes
	Digest string `json:"digest"` // "sha256:" and 64 lower-case hexadecimal digits
	Size   int64  `json:"size"`   // in bytes
}

// SpecName returns the name under which a deployment file lies in a bundle: the last part of
// name, or where that is none another one.
func SpecName(name string) string {
	base := path.Base(filepath.ToSlash(name))
	if !usable(base) || base == filesDir {
		return "deployment.yaml"
	}
	return base
}

// Place returns where a file lies in a bundle: at its path from the deployment file's
// folder, or where that is outside of it, or taken, below files/. taken has what is there
// already, and gets the answer.
func Place(role, from string, taken map[string]bool) string {
	at := path.Clean(filepath.ToSlash(from))
	if from == "" || !usable(at) || collides(at, taken) {
		at = path.Join(filesDir, role+path.Ext(from))
	}
	taken[at] = true
	return at
}

// usable says whether a path lies inside of a folder, and is no document of a bundle.
func usable(at string) bool {
	return at != "." && at != manifestName && at != reportName && filepath.IsLocal(at) && !strings.ContainsFunc(at, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
}

// collides says whether a path is taken, or a folder of what is, or below it.
func collides(at string, taken map[string]bool) bool {
	for other := range taken {
		if at == other || strings.HasPrefix(at, other+"/") || strings.HasPrefix(other, at+"/") {
			return true
		}
	}
	return false
}

// parse reads and checks a manifest.
func parse(text []byte) (*Manifest, error) {
	wrong := func(format string, args ...any) error {
		return fault.New(fault.Invalid, op, "%s: %s", manifestName, fmt.Sprintf(format, args...))
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, wrong("%s is a %s, which it cannot be", typed.Field, typed.Value)
		}
		return nil, wrong("%v", err)
	}
	switch {
	case m.Format != Format:
		return nil, wrong("format is %d, this program reads %d", m.Format, Format)
	case len(m.Files) == 0 || m.Files[0].Role != "model":
		return nil, wrong("files do not begin with the model")
	case len(m.Files) > maxFiles:
		return nil, wrong("%d files, at most %d are read", len(m.Files), maxFiles)
	case !usable(m.Spec):
		return nil, wrong("spec is %s, want a name", fault.Quote(m.Spec))
	}
	taken, roles := map[string]bool{m.Spec: true}, map[string]bool{}
	for _, f := range m.Files {
		switch {
		case !usable(f.Path) || path.Clean(f.Path) != f.Path:
			return nil, wrong("%s is no path inside of a folder", fault.Quote(f.Path))
		case collides(f.Path, taken) || roles[f.Role] || f.Role == "":
			return nil, wrong("%s (%s) is there twice", fault.Quote(f.Path), fault.Quote(f.Role))
		case !digestForm().MatchString(f.Digest) || f.Size < 1:
			return nil, wrong("%s has digest %s and %d bytes", fault.Quote(f.Path), fault.Quote(f.Digest), f.Size)
		}
		taken[f.Path], roles[f.Role] = true, true
	}
	return &m, nil
}

func digestForm() *regexp.Regexp { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`) }

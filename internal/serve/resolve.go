package serve

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"verge/internal/fault"
	"verge/internal/modelname"
)

// ErrReplaced is in the tree of what Begin fails with when the version was
// removed after Resolve had found it. Whoever resolves again finds its successor;
// Admit does so.
var ErrReplaced = errors.New("was replaced or unloaded a moment ago")

// Resolver finds the version that a request names. A Server is the resolver of
// public routes, Only makes one for a private route.
type Resolver interface {
	Resolve(model, version string) (*Version, error)
}

// Admit resolves the names, lets prepare check the request against that version
// (it may be nil), and begins the request, as Version.Begin does. It repeats all
// three when the version was replaced meanwhile, so that no request fails because
// of a switch; prepare then sees the successor.
func Admit(ctx context.Context, r Resolver, model, version string, timeout time.Duration, prepare func(*Version) error) (*Call, error) {
	var last *Version
	for {
		v, err := r.Resolve(model, version)
		if err != nil {
			return nil, err
		}
		if prepare != nil {
			if err = prepare(v); err != nil {
				return nil, err
			}
		}
		call, err := v.Begin(ctx, timeout)
		if err == nil || v == last || !errors.Is(err, ErrReplaced) {
			return call, err
		}
		last = v
	}
}

// Entry is one public name.
type Entry struct {
	Model   string
	Version *Version // what the name stands for; nil where only Reason is known
	Reason  string   // why no version serves: "loading", …; "" beside a Version
}

// Resolve returns the version that a public name stands for. version is "" for
// the one that is activated, else its number: other versions, candidates among
// them, are not found. It fails with fault.Invalid for a name or a number that
// breaks the grammar, with fault.NotFound for one that is unknown, and with
// fault.Unavailable for a model that was announced, and while the node stops.
func (s *Server) Resolve(model, version string) (*Version, error) {
	const op = "serve.resolve"
	number, err := parse(op, model, version)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	v, reason, draining := s.active[model], "", s.draining
	if v == nil {
		reason = s.announced[model]
	}
	s.mu.RUnlock()
	switch {
	case draining:
		return nil, stopping(op)
	case v != nil:
		return v.match(op, number)
	case reason != "":
		return nil, fault.New(fault.Unavailable, op, "model %q is not ready: %s", model, reason)
	}
	return nil, unknownModel(op, model)
}

// Announce makes a model known that no version serves yet, or none any more: its
// name answers fault.Unavailable with the reason. A version that is activated
// goes before it.
func (s *Server) Announce(model, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announced[model] = reason
}

// Withdraw takes an announcement back. What is activated stays.
func (s *Server) Withdraw(model string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.announced, model)
}

// Models returns every public name, in alphabetical order.
func (s *Server) Models() []Entry {
	s.mu.RLock()
	all := make([]Entry, 0, len(s.active)+len(s.announced))
	for model, v := range s.active {
		all = append(all, Entry{Model: model, Version: v})
	}
	for model, reason := range s.announced {
		if s.active[model] == nil {
			all = append(all, Entry{Model: model, Reason: reason})
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Model, b.Model) })
	return all
}

// Ready says why the node cannot serve every public name now, or nil, as
// fault.Unavailable. A node without a model is ready.
func (s *Server) Ready() error {
	const op = "serve.ready"
	s.mu.RLock()
	draining := s.draining
	s.mu.RUnlock()
	if draining {
		return stopping(op)
	}
	for _, e := range s.Models() {
		if e.Version == nil {
			return fault.New(fault.Unavailable, op, "model %q is not ready: %s", e.Model, e.Reason)
		}
		if err := e.Version.Ready(); err != nil {
			return err
		}
	}
	return nil
}

// Single is a resolver that knows one version: the private route to a candidate.
type Single struct{ v *Version }

// Only returns the resolver that finds v by its name, with its number or
// without, and nothing else.
func Only(v *Version) Single { return Single{v} }

// Resolve is Server.Resolve for the one version.
func (o Single) Resolve(model, version string) (*Version, error) {
	const op = "serve.resolve"
	number, err := parse(op, model, version)
	if err != nil {
		return nil, err
	}
	if model != o.v.model {
		return nil, unknownModel(op, model)
	}
	return o.v.match(op, number)
}

// Models returns the one version.
func (o Single) Models() []Entry { return []Entry{{Model: o.v.model, Version: o.v}} }

// Ready is Version.Ready.
func (o Single) Ready() error { return o.v.Ready() }

// match returns v where number is its own, or anyVersion.
func (v *Version) match(op string, number int) (*Version, error) {
	if number != anyVersion && number != v.number {
		return nil, fault.New(fault.NotFound, op, "unknown version %d of model %q, version %d serves", number, v.model, v.number)
	}
	return v, nil
}

// parse checks a model's name, and returns the version's number, or anyVersion.
func parse(op, model, version string) (int, error) {
	if err := modelname.Check(model); err != nil {
		return 0, fault.New(fault.Invalid, op, "%w", err)
	}
	if version == "" {
		return anyVersion, nil
	}
	number, err := parseVersion(version)
	if err != nil {
		return 0, fault.New(fault.Invalid, op, "%w", err)
	}
	return number, nil
}

func unknownModel(op, model string) error {
	return fault.New(fault.NotFound, op, "unknown model %q", model)
}

func stopping(op string) error {
	return fault.New(fault.Unavailable, op, "the node is stopping").WithHint("Ask again when it runs again.")
}

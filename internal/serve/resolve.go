package serve

import (
	"context"
	"errors"
	"iter"
	"maps"
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

// Ask says what a request is for.
type Ask struct {
	Model, Version string                   // as Resolve takes them
	Timeout        time.Duration            // as Begin takes it
	Header         func(name string) string // of the request, "" for one that it has not; nil for none
}

// Admit resolves the names, lets prepare check the request against that version
// (it may be nil), and begins the request, as Version.Begin does, on that version or, by
// public routes, on another one that Split and BackUp name. It repeats all three when the
// version was replaced meanwhile, so that no request fails because of a switch; prepare then
// sees the successor.
func Admit(ctx context.Context, r Resolver, ask Ask, prepare func(*Version) error) (*Call, error) {
	var last *Version
	for {
		v, err := r.Resolve(ask.Model, ask.Version)
		if err != nil {
			return nil, err
		}
		first, other := v, (*Version)(nil)
		if _, private := r.(Single); !private { // who asks there wants to know of this one
			first, other = v.route(ask)
		}
		left, begun, refused := ask.Timeout, time.Time{}, error(nil)
		if other != nil {
			var call *Call
			begun = time.Now()
			if call, left, refused = first.try(ctx, other, ask, prepare); refused == nil || ctx.Err() != nil {
				return call, refused
			}
			first, other = other, first
		}
		if prepare != nil {
			if err = prepare(first); err != nil {
				return nil, err
			}
		}
		call, err := first.Begin(ctx, left)
		if err == nil && other != nil && !fault.KindOf(refused).OfAsked() { // else it has been recorded
			other.blame(first, begun, refused)
		}
		if err == nil || first == last || !errors.Is(err, ErrReplaced) {
			return call, err
		}
		last = first
	}
}

// Entry is one public name.
type Entry struct {
	Model   string
	Version *Version // what the name stands for; nil where only Reason is known
	Reason  string   // why no version serves: "loading", …; "" beside a Version
}

// Resolve returns the version that a public name stands for: that of the stage that the name
// asks for, as in "digits.staging", or of the highest stage that has one. version is "" for
// the one that is activated, else its number, of any stage: other versions, candidates
// among them, are not found. It fails with fault.Invalid for a name or a number that
// breaks the grammar, with fault.NotFound for one that is unknown, and with
// fault.Unavailable for a model that was announced, and while the node stops.
func (s *Server) Resolve(model, version string) (*Version, error) {
	const op = "serve.resolve"
	number, err := parse(op, model, version)
	if err != nil {
		return nil, err
	}
	v, reason, draining := s.find(model, number)
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

// find returns the version of the first of the model's stages that has it, else what was
// announced for the first; where none has the number, the first version that there is.
func (s *Server) find(model string, number int) (v *Version, reason string, draining bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.staged == 0 { // as on most nodes: each name is looked up as it is, but for the stage testing
		name := strings.TrimSuffix(model, "."+modelname.Testing)
		return s.active[name], s.announced[name], s.draining
	}
	for _, name := range modelname.Order(model) {
		active, announced := s.active[name], s.announced[name]
		switch {
		case active != nil && (number == anyVersion || number == active.number):
			return active, "", s.draining
		case active == nil && announced != "" && number == anyVersion && v == nil && reason == "":
			return nil, announced, s.draining // what is loading is not skipped for a lower stage
		case active != nil && v == nil:
			v = active
		case announced != "" && reason == "":
			reason = announced
		}
	}
	if reason != "" {
		v = nil // it may be the one that is loading
	}
	return v, reason, s.draining
}

// Announce makes a model known that no version serves yet, or none any more: its
// name answers fault.Unavailable with the reason. A version that is activated
// goes before it.
func (s *Server) Announce(model, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announced[model] = reason
	s.count()
}

// Withdraw takes an announcement back. What is activated stays.
func (s *Server) Withdraw(model string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.announced, model)
	s.count()
}

// count notes how many names ask for a stage. s.mu is held.
func (s *Server) count() {
	s.staged = 0
	for _, names := range []iter.Seq[string]{maps.Keys(s.active), maps.Keys(s.announced)} {
		for name := range names {
			if _, _, named := modelname.Split(name); named {
				s.staged++
			}
		}
	}
}

// Models returns every public name, in alphabetical order: those of stages, and the plain
// name of a model that has a higher stage than testing, or only a lower one.
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
	plain := map[string]bool{}
	for _, e := range all {
		plain[e.Model] = true
	}
	for _, e := range all {
		if model, _, named := modelname.Split(e.Model); named && !plain[model] {
			plain[model] = true
			all = append(all, Entry{Model: model, Version: e.Version, Reason: e.Reason})
		}
	}
	s.mu.RUnlock()
	for i, e := range all { // what the plain name stands for may be another stage's
		if _, _, named := modelname.Split(e.Model); !named {
			v, reason, _ := s.find(e.Model, anyVersion)
			if all[i].Version, all[i].Reason = v, ""; v == nil {
				all[i].Reason = reason
			}
		}
	}
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

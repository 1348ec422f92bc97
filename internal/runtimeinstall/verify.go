package runtimeinstall

import (
	"context"
	"path"
	"path/filepath"

	"verge/internal/fault"
)

// Verify reads the library that Find returns, or the first that is there where none can
// be used, and compares its bytes with the lock file's. It fails with fault.Corrupt where
// an installed one has changed, and with fault.Unsupported where it is another than the
// lock file pins: one that came with the system, or another version. progress may be nil.
func (r *Runtimes) Verify(ctx context.Context, name string, progress Progress) (Found, error) {
	const op = "runtimeinstall.verify"
	found, err := r.Find(name)
	if err != nil {
		pinned, unknown := r.lock.pin(name)
		if unknown != nil {
			return Found{}, err
		}
		all, _ := r.search(pinned)
		if len(all) == 0 {
			return Found{}, err
		}
		found = all[0]
	}
	p, err := r.build(name, found)
	if err != nil {
		return Found{}, err
	}
	sources, err := p.sources(r.host)
	if err != nil {
		return found, err
	}
	if progress == nil {
		progress = func(Phase, int64, int64) {}
	}
	file, size, err := openRegular(found.Path)
	if err != nil {
		return found, diskError(op, found.Path, err)
	}
	defer file.Close() //nolint:errcheck // only read
	if found.SHA256, err = hashFile(ctx, file, size, progress); err != nil {
		return found, err
	}
	for _, s := range sources {
		if found.SHA256 == s.LibrarySHA256 {
			return found, verifyBeside(ctx, found, p, s, progress)
		}
	}
	if found.Source != System && found.Version == p.Version {
		return found, fault.New(fault.Corrupt, op, "its %d bytes have sha256 %s, which the lock file does not have for %s", size, found.SHA256, p.subject()).
			On(found.Path).WithHint("Do not use it. Run: verge runtime install %s", p.Name)
	}
	return found, fault.New(fault.Unsupported, op, "it is not the %s that the lock file pins (sha256 %s)", p.subject(), found.SHA256).
		On(found.Path).WithHint("To have the pinned one, run: verge runtime install %s", p.Name)
}

// build returns the pin of the build that was found under a name, by the folder that
// it is installed in.
func (r *Runtimes) build(name string, found Found) (pin, error) {
	p, err := r.lock.pin(name)
	if err != nil {
		return pin{}, err
	}
	folder := filepath.Base(filepath.Dir(filepath.Dir(found.Path)))
	for _, build := range r.lock.builds(p) {
		if build.Name == folder {
			return build, nil
		}
	}
	return p, nil
}

// verifyBeside compares what belongs beside a library.
func verifyBeside(ctx context.Context, found Found, p pin, s source, progress Progress) error {
	for _, m := range s.Beside {
		name := filepath.Join(filepath.Dir(found.Path), path.Base(m.Member))
		if !holds(ctx, name, m, progress) {
			if ctx.Err() != nil {
				return stopped(ctx)
			}
			return fault.New(fault.Corrupt, "runtimeinstall.verify", "it is missing, or has not the %d bytes with sha256 %s that the lock file has for %s",
				m.Size, m.SHA256, p.subject()).On(name).WithHint("Do not use it. Run: verge runtime install %s", p.Name)
		}
	}
	return nil
}

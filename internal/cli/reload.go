package cli

import (
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"verge/internal/modelname"
)

// lookEvery is how often the files of `verge run --watch` are looked at.
const lookEvery = 250 * time.Millisecond

// stamp is what changes of a file when it is written.
type stamp struct {
	size     int64
	modified time.Time
}

// stamps looks at files; one that is not there has the zero stamp.
func stamps(paths []string) map[string]stamp {
	all := map[string]stamp{}
	for _, path := range paths {
		s := stamp{}
		if info, err := os.Stat(path); err == nil {
			s = stamp{info.Size(), info.ModTime()}
		}
		all[path] = s
	}
	return all
}

// paths are the deployment file and the files that it names.
func (o *order) paths() []string {
	all := []string{o.path}
	for _, f := range o.files {
		all = append(all, f.name)
	}
	return all
}

// development is the stage that is deployed to where files are watched and no stage is
// asked for.
func (r *runCommand) development() {
	if r.Watch && r.Stage == "" {
		r.Stage = modelname.Development
	}
}

// reload deploys again, through the gates, each time that one of the files has changed since
// it was seen and is written no more. A file that cannot be deployed is told, and what serves goes on.
func (r *runCommand) reload(c *call, seen map[string]stamp, addresses []string) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var over <-chan time.Time // never, without --for
	if r.For > 0 {
		timer := time.NewTimer(r.For)
		defer timer.Stop()
		over = timer.C
	}
	for changing := false; ; {
		select {
		case <-c.Done():
			return
		case <-over:
			return
		case <-ticker.C:
		}
		now := stamps(slices.Collect(maps.Keys(seen)))
		if !same(seen, now) {
			seen, changing = now, true
			continue // it may be written still
		}
		if !changing {
			continue
		}
		changing = false
		if fresh := r.again(c, addresses); fresh != nil {
			seen = fresh
		}
	}
}

func same(a, b map[string]stamp) bool {
	for path, s := range a {
		if other := b[path]; other.size != s.size || !other.modified.Equal(s.modified) {
			return false
		}
	}
	return len(a) == len(b)
}

// again deploys once, and returns the files as they were when they were read, or nil where
// they cannot be.
func (r *runCommand) again(c *call, addresses []string) map[string]stamp {
	order, err := r.read()
	if err != nil {
		c.explain(err)
		return nil
	}
	defer order.close()
	seen := stamps(order.paths())
	if err := r.deploy(c, order, addresses); err != nil && !errors.As(err, &said{}) {
		c.explain(err)
	}
	return seen
}

package deploy

import (
	"errors"
	"maps"
	"slices"
	"time"

	"verge/client"
	"verge/internal/inference/prepared"
)

// trim forgets the oldest ended deployments beyond the limit, and artifacts that
// nothing refers to. The deployment that has just ended stays, and those of versions that are
// kept: by a clock that was set back, they may be the oldest. m.mu is held.
func (m *Manager) trim(last string) error {
	records, err := m.store.models()
	if err != nil {
		return err
	}
	stay := map[string]bool{last: true}
	for _, record := range records {
		for _, release := range record.kept() {
			stay[release.Deployment] = true
		}
	}
	var ended []*client.Deployment
	for _, d := range m.known {
		if d.Phase.Final() {
			ended = append(ended, d)
		}
	}
	slices.SortFunc(ended, newestFirst)
	var old []string
	if len(ended) > m.host.KeepDeployments {
		for _, d := range ended[m.host.KeepDeployments:] {
			if stay[d.ID] {
				continue
			}
			old = append(old, d.ID)
			delete(m.known, d.ID)
			delete(m.logs, d.ID)
		}
	}
	const journalLines = 10_000
	if err := m.store.forget(old, journalLines); err != nil {
		return err
	}
	return m.collect()
}

// uploadPatience is how long an artifact may lie in the store before the first
// deployment asks for it.
const uploadPatience = time.Hour

// needed returns the digests of what serving, previous, running and exported versions need. m.mu is
// held.
func (m *Manager) needed() (map[string]bool, error) {
	records, err := m.store.models()
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, record := range records {
		for _, release := range record.kept() {
			for _, digest := range release.Artifacts {
				needed[digest] = true
			}
		}
	}
	for release := range m.exporting {
		for _, digest := range release.Artifacts {
			needed[digest] = true
		}
	}
	for _, r := range m.runs {
		for _, digest := range r.req.Artifacts {
			needed[digest] = true
		}
	}
	return needed, nil
}

// collect removes the artifacts that no version needs. One that no deployment has asked
// for yet was uploaded for one that is about to be submitted: it stays for uploadPatience.
// m.mu is held.
func (m *Manager) collect() error {
	needed, err := m.needed()
	if err != nil {
		return err
	}
	maps.Copy(m.used, needed)
	all, err := m.host.Artifacts.List()
	if err != nil {
		return err
	}
	var errs []error
	unused := map[string]time.Time{}
	for _, digest := range all {
		if needed[digest] {
			continue
		}
		if !m.used[digest] {
			first, seen := m.unused[digest]
			if !seen {
				first = m.host.Now()
			}
			if m.host.Now().Sub(first) < uploadPatience {
				unused[digest] = first
				continue
			}
		}
		delete(m.used, digest)
		errs = append(errs, m.host.Artifacts.Remove(digest))
	}
	m.unused = unused
	return errors.Join(errs...)
}

// tidy tells what went wrong while artifacts were collected, and removes from the cache
// what runtimes have prepared of models that are not needed. m.mu is not held meanwhile: it
// may be much. A model that is deployed just then is prepared again at its next load.
func (m *Manager) tidy(err error) {
	m.tidying.Lock()
	defer m.tidying.Unlock()
	m.mu.Lock()
	needed, failed := m.needed()
	m.mu.Unlock()
	if err = errors.Join(err, failed); failed == nil && m.host.CacheDir != "" {
		err = errors.Join(err, prepared.Trim(m.host.CacheDir, func(digest string) bool { return needed["sha256:"+digest] }, m.host.Now()))
	}
	if err != nil { // what is over is over all the same
		m.host.Log.Warn("what is of no use any more was not removed", "err", err)
	}
}

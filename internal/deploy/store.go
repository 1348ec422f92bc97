package deploy

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"verge/client"
	"verge/internal/choice"
	"verge/internal/deployfile"
	"verge/internal/fault"
)

// schema is the layout of the state file that this build reads and writes.
const schema = 4

// The buckets of the state file.
const (
	bucketMeta        = "meta"        // "schema" → decimal number; keySum; "running"
	bucketModels      = "models"      // model name → modelRecord
	bucketDeployments = "deployments" // deployment id → client.Deployment
	bucketJournal     = "journal"     // sequence number, 8 bytes big-endian → move
	bucketChoices     = "choices"     // digest of what a choice depends on → remembered
	bucketTombstones  = "tombstones"  // grave → tombstone
	bucketReports     = "reports"     // deployment id → reported
	bucketAudit       = "audit"       // sequence number, 8 bytes big-endian → client.AuditEntry
)

// modelRecord is what the node must know about a model to serve it again.
type modelRecord struct {
	Name    string   `json:"name"`
	Last    int      `json:"last_version"`       // highest version number ever given out
	Serving *release `json:"serving,omitempty"`  // nil where none is committed
	Before  *release `json:"previous,omitempty"` // what served before; its artifacts are kept

	Pinned []*release `json:"pinned,omitempty"` // kept on request, by version
}

// kept returns the releases of which everything is there: the one that serves, the one
// before it, and pinned ones. A version may be among them twice.
func (r *modelRecord) kept() (all []*release) {
	for _, one := range append([]*release{r.Serving, r.Before}, r.Pinned...) {
		if one != nil {
			all = append(all, one)
		}
	}
	return all
}

// find returns the release of a version that is kept, or nil.
func (r *modelRecord) find(version int) *release {
	for _, one := range r.kept() {
		if one.Version == version {
			return one
		}
	}
	return nil
}

// release is one version as it was committed.
type release struct {
	Version    int               `json:"version"`
	Deployment string            `json:"deployment"`
	Spec       json.RawMessage   `json:"spec"`
	SpecName   string            `json:"spec_name"`
	Stage      string            `json:"stage,omitempty"`    // that was asked for; "" for the one of Spec
	Artifacts  map[string]string `json:"artifacts"`          // role → digest
	Question   string            `json:"question,omitempty"` // digest of the probe that Answer answers
	Answer     []answer          `json:"answer,omitempty"`
	Activated  time.Time         `json:"activated"`
	Deaths     int               `json:"deaths,omitempty"`  // of the node, since it serves and before it has settled
	Settled    bool              `json:"settled,omitempty"` // the node has run with it for long enough

	IgnorePackages []string `json:"ignore_packages,omitempty"` // Spec is parsed again with them

	Runtime string      `json:"runtime,omitempty"` // "" in files of the first versions
	Way     *choice.Way `json:"way,omitempty"`     // that was chosen; nil where there was nothing to choose
}

// file is the deployment file as it is at the release's stage.
func (r *release) file() (*deployfile.File, error) {
	return deployfile.ParseSpec(r.Spec, r.SpecName, deployfile.Options{Stage: r.Stage, Ignore: r.IgnorePackages})
}

// variant says which of the model's files is loaded: 0 is its own.
func (r *release) variant() int {
	if r.Way == nil {
		return 0
	}
	return r.Way.Variant
}

// move is one line of the journal: what is about to take effect.
type move struct {
	Deployment string       `json:"deployment"`
	From       client.Phase `json:"from"`
	To         client.Phase `json:"to"`
	Time       time.Time    `json:"time"`
}

// store is the state file. Each method is one transaction, synced to disk
// before it returns.
type store struct {
	db *bbolt.DB

	mu    sync.Mutex // guards doubt, and is held during a transaction that writes
	doubt error      // why the file is not used any more; nil while it is

	kept string // copy of the file as an older build left it; "" where it was not upgraded
}

func (s *store) close() error { return s.db.Close() }

// update is one transaction that writes. One that failed before its last write has never
// been. Where the sync of its last write failed, the file reads as if the transaction were
// there, and the disk may not have it; the system will not write it again. What is to be
// said of it then, only the next start can find out, which reads the file once and writes it
// anew. Until then it is neither read nor written.
func (s *store) update(fn func(*bbolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubt != nil {
		return s.doubt
	}
	before := 0
	err := s.db.Update(func(tx *bbolt.Tx) error {
		before = tx.ID() - 1
		if err := fn(tx); err != nil {
			return err
		}
		return writeSum(tx)
	})
	if err == nil || before == 0 {
		return storageFault(err)
	}
	now := 0
	if readErr := s.db.View(func(tx *bbolt.Tx) error { now = tx.ID(); return nil }); readErr != nil || now == before {
		return storageFault(errors.Join(err, readErr))
	}
	s.doubt = fault.New(fault.Unavailable, "deploy.state", "the state file may not be on disk as it was written: %w", cause(err)).
		WithHint("Look at the disk, and restart the node: what serves goes on serving until then.")
	return s.doubt
}

// view is one transaction that reads.
func (s *store) view(fn func(*bbolt.Tx) error) error {
	if err := s.doubted(); err != nil {
		return err
	}
	return s.db.View(fn)
}

// doubted says why the file is not used any more, or nil.
func (s *store) doubted() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doubt
}

// tombstone says that a model was rolled back, so that it does not come back unasked.
type tombstone struct {
	Model      string    `json:"model"` // as it was served: of which stage
	Digest     string    `json:"digest"`
	Deployment string    `json:"deployment"` // that was rolled back
	Reason     string    `json:"reason"`
	Time       time.Time `json:"time"`
}

// change is what one transaction writes; what is nil or "" stays.
type change struct {
	steps     []step
	model     *modelRecord
	counter   *modelRecord // of the version numbers, where that is another one; may be model
	tombstone *tombstone
	pardon    []string // keys of tombstones that are taken away

	report *reported           // of the deployment of the first step
	by     client.Actor        // who is behind it; the zero Actor is the node
	acts   []client.AuditEntry // for the audit log, beside those that the steps are
}

// step is a deployment after a move, and the journal's line of that.
type step struct {
	deployment *client.Deployment
	from       client.Phase
}

// moved is the step of a deployment from a phase to the one that it is in now.
func moved(d *client.Deployment, from client.Phase) step { return step{d, from} }

// save writes a change.
func (s *store) save(c change) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, step := range c.steps {
			d := step.deployment
			if err := put(tx, bucketDeployments, d.ID, d); err != nil {
				return err
			}
			journal := tx.Bucket([]byte(bucketJournal))
			seq, err := journal.NextSequence()
			if err != nil {
				return fmt.Errorf("number the journal's line: %w", err)
			}
			line := move{Deployment: d.ID, From: step.from, To: d.Phase, Time: d.Updated}
			if err := put(tx, bucketJournal, string(binary.BigEndian.AppendUint64(nil, seq)), line); err != nil {
				return err
			}
		}
		if c.counter != nil && c.counter != c.model {
			if err := put(tx, bucketModels, c.counter.Name, c.counter); err != nil {
				return err
			}
		}
		if c.report != nil {
			if err := put(tx, bucketReports, c.steps[0].deployment.ID, c.report); err != nil {
				return err
			}
		}
		if err := appendAudit(tx, c.entries()); err != nil {
			return err
		}
		if c.model != nil {
			if err := put(tx, bucketModels, c.model.Name, c.model); err != nil {
				return err
			}
		}
		for _, key := range c.pardon {
			if err := tx.Bucket([]byte(bucketTombstones)).Delete([]byte(key)); err != nil {
				return fmt.Errorf("take a tombstone away: %w", err)
			}
		}
		if c.tombstone != nil {
			return put(tx, bucketTombstones, grave(c.tombstone.Model, c.tombstone.Digest), c.tombstone)
		}
		return nil
	})
}

// grave is the key of a tombstone: bytes are refused to the model that they were rolled back
// from, at all its stages.
func grave(model, digest string) string { return plainOf(model) + " " + digest }

// buried returns the tombstone of bytes of a model, or nil.
func (s *store) buried(model, digest string) (*tombstone, error) {
	return readOne[tombstone](s, bucketTombstones, grave(model, digest))
}

// running is the key in bucketMeta that is there while a node runs.
const running = "running"

// begin notes that a node runs, and says whether the one before died.
func (s *store) begin(now time.Time) (died bool, err error) {
	err = s.update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		if died = meta.Get([]byte(running)) != nil; died {
			entry := client.AuditEntry{Time: now, Act: client.ActStartAfterDeath, By: byNode()}
			if failed := appendAudit(tx, []client.AuditEntry{entry}); failed != nil {
				return failed
			}
		}
		return meta.Put([]byte(running), []byte("1"))
	})
	return died, err
}

// end notes that the node ends by itself.
func (s *store) end() error {
	if err := s.doubted(); err != nil {
		return nil //nolint:nilerr // it was told when it came up
	}
	err := s.update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Delete([]byte(running))
	})
	if errors.Is(err, errClosed) {
		return nil // then nothing can be written
	}
	return err
}

// model returns the record of a model, or nil.
func (s *store) model(name string) (*modelRecord, error) {
	return readOne[modelRecord](s, bucketModels, name)
}

// models returns every model's record, by name.
func (s *store) models() ([]*modelRecord, error) {
	return readAll[modelRecord](s, bucketModels)
}

// choice returns what was chosen before, or nil.
func (s *store) choice(key string) (*remembered, error) {
	return readOne[remembered](s, bucketChoices, key)
}

// maxChoices is how many choices are remembered.
const maxChoices = 256

// remember writes a choice, in the place of the oldest where there are many.
func (s *store) remember(key string, chosen remembered) error {
	return s.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(bucketChoices))
		count, oldest, since := 0, []byte(nil), time.Time{}
		err := bucket.ForEach(func(k, raw []byte) error {
			count++
			var other remembered
			if json.Unmarshal(raw, &other) != nil || oldest == nil || other.Time.Before(since) { // what cannot be read goes first
				oldest, since = slices.Clone(k), other.Time
			}
			return nil
		})
		if err == nil && count >= maxChoices {
			err = bucket.Delete(oldest)
		}
		if err != nil {
			return fmt.Errorf("forget a choice: %w", err)
		}
		return put(tx, bucketChoices, key, chosen)
	})
}

// unchoose removes a choice.
func (s *store) unchoose(key string) error {
	return s.update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketChoices)).Delete([]byte(key))
	})
}

// deployments returns every deployment, in no useful order.
func (s *store) deployments() ([]*client.Deployment, error) {
	return readAll[client.Deployment](s, bucketDeployments)
}

// forget deletes deployments and all but the newest journal lines.
func (s *store) forget(ids []string, keepJournal int) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			for _, bucket := range []string{bucketDeployments, bucketReports} {
				if err := tx.Bucket([]byte(bucket)).Delete([]byte(id)); err != nil {
					return fmt.Errorf("forget %s: %w", id, err)
				}
			}
		}
		journal := tx.Bucket([]byte(bucketJournal))
		if last := journal.Sequence(); last > uint64(keepJournal) { //nolint:gosec // a small positive count
			end := binary.BigEndian.AppendUint64(nil, last-uint64(keepJournal)) //nolint:gosec // as above
			cursor := journal.Cursor()
			for key, _ := cursor.First(); key != nil && string(key) <= string(end); key, _ = cursor.First() {
				if err := cursor.Delete(); err != nil {
					return fmt.Errorf("shorten the journal: %w", err)
				}
			}
		}
		return nil
	})
}

func put(tx *bbolt.Tx, bucket, key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", bucket, err)
	}
	return tx.Bucket([]byte(bucket)).Put([]byte(key), raw)
}

// readOne returns a record, or nil where there is none. It fails with fault.Corrupt for
// one that cannot be read.
func readOne[T any](s *store, bucket, key string) (*T, error) {
	var value *T
	err := s.view(func(tx *bbolt.Tx) error {
		raw := tx.Bucket([]byte(bucket)).Get([]byte(key))
		if raw == nil {
			return nil
		}
		value = new(T)
		if err := json.Unmarshal(raw, value); err != nil {
			return fault.New(fault.Corrupt, "deploy.state", "%w", err).On(bucket + " " + key)
		}
		return nil
	})
	if err != nil {
		return nil, storageFault(err)
	}
	return value, nil
}

func readAll[T any](s *store, bucket string) ([]*T, error) {
	var all []*T
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(key, raw []byte) error {
			value := new(T)
			if err := json.Unmarshal(raw, value); err != nil {
				return fault.New(fault.Corrupt, "deploy.state", "%w", err).On(bucket + " " + string(key))
			}
			all = append(all, value)
			return nil
		})
	})
	if err != nil {
		return nil, storageFault(err)
	}
	return all, nil
}

// errClosed is the cause where the state file was closed.
var errClosed = errors.New("the node is stopping")

// storageFault says what a failed write means.
func storageFault(err error) error {
	const op = "deploy.state"
	if _, known := errors.AsType[*fault.Error](err); known {
		return err
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return fault.New(fault.Exhausted, op, "write the state file: %w", cause(err)).
			WithHint("Free some space on the disk of the state directory.")
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission), errors.Is(err, bolterrors.ErrDatabaseReadOnly):
		return fault.New(fault.Unavailable, op, "write the state file: %w", cause(err)).
			WithHint("Make the state directory writable for the user who runs the node.")
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fault.New(fault.Unavailable, op, "%w", errClosed)
	}
	return fault.New(fault.Internal, op, "write the state file: %w", cause(err))
}

// cause leaves the path out of an error that may reach clients.
func cause(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", pathError.Op, pathError.Err)
	}
	return err
}

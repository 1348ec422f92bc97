package deploy

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"verge/client"
	"verge/internal/choice"
	"verge/internal/fault"
)

// schema is the layout of the state file that this build reads and writes.
const schema = 1

// The buckets of the state file.
const (
	bucketMeta        = "meta"        // "schema" → decimal number
	bucketModels      = "models"      // model name → modelRecord
	bucketDeployments = "deployments" // deployment id → client.Deployment
	bucketJournal     = "journal"     // sequence number, 8 bytes big-endian → move
	bucketChoices     = "choices"     // digest of what a choice depends on → remembered
)

// modelRecord is what the node must know about a model to serve it again.
type modelRecord struct {
	Name    string   `json:"name"`
	Last    int      `json:"last_version"`       // highest version number ever given out
	Serving *release `json:"serving,omitempty"`  // nil where none is committed
	Before  *release `json:"previous,omitempty"` // what served before; its artifacts are kept
}

// release is one version as it was committed.
type release struct {
	Version    int               `json:"version"`
	Deployment string            `json:"deployment"`
	Spec       json.RawMessage   `json:"spec"`
	SpecName   string            `json:"spec_name"`
	Artifacts  map[string]string `json:"artifacts"`          // role → digest
	Question   string            `json:"question,omitempty"` // digest of the probe that Answer answers
	Answer     []answer          `json:"answer,omitempty"`
	Activated  time.Time         `json:"activated"`

	IgnorePackages []string `json:"ignore_packages,omitempty"` // Spec is parsed again with them

	Way *choice.Way `json:"way,omitempty"` // that was chosen; nil where there was nothing to choose
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
type store struct{ db *bbolt.DB }

func (s *store) close() error { return s.db.Close() }

// save writes a deployment and, when it changed its phase, the journal's line;
// and the model's record where one is given.
func (s *store) save(d *client.Deployment, m *move, model *modelRecord) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if err := put(tx, bucketDeployments, d.ID, d); err != nil {
			return err
		}
		if m != nil {
			journal := tx.Bucket([]byte(bucketJournal))
			seq, err := journal.NextSequence()
			if err != nil {
				return fmt.Errorf("number the journal's line: %w", err)
			}
			if err := put(tx, bucketJournal, string(binary.BigEndian.AppendUint64(nil, seq)), m); err != nil {
				return err
			}
		}
		if model != nil {
			return put(tx, bucketModels, model.Name, model)
		}
		return nil
	})
	return storageFault(err)
}

// model returns the record of a model, or nil.
func (s *store) model(name string) (*modelRecord, error) {
	var record *modelRecord
	err := s.db.View(func(tx *bbolt.Tx) error {
		raw := tx.Bucket([]byte(bucketModels)).Get([]byte(name))
		if raw == nil {
			return nil
		}
		record = new(modelRecord)
		return json.Unmarshal(raw, record)
	})
	if err != nil {
		return nil, fault.New(fault.Corrupt, "deploy.state", "record of the model: %w", err).On(name)
	}
	return record, nil
}

// setModel writes a model's record.
func (s *store) setModel(record *modelRecord) error {
	return storageFault(s.db.Update(func(tx *bbolt.Tx) error { return put(tx, bucketModels, record.Name, record) }))
}

// models returns every model's record, by name.
func (s *store) models() ([]*modelRecord, error) {
	return readAll[modelRecord](s.db, bucketModels)
}

// choice returns what was chosen before, or nil.
func (s *store) choice(key string) (*remembered, error) {
	var known *remembered
	err := s.db.View(func(tx *bbolt.Tx) error {
		raw := tx.Bucket([]byte(bucketChoices)).Get([]byte(key))
		if raw == nil {
			return nil
		}
		known = new(remembered)
		return json.Unmarshal(raw, known)
	})
	if err != nil {
		return nil, fault.New(fault.Corrupt, "deploy.state", "record of the choice: %w", err).On(key)
	}
	return known, nil
}

// maxChoices is how many choices are remembered.
const maxChoices = 256

// remember writes a choice, in the place of the oldest where there are many.
func (s *store) remember(key string, chosen remembered) error {
	return storageFault(s.db.Update(func(tx *bbolt.Tx) error {
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
	}))
}

// unchoose removes a choice.
func (s *store) unchoose(key string) error {
	return storageFault(s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketChoices)).Delete([]byte(key))
	}))
}

// deployments returns every deployment, in no useful order.
func (s *store) deployments() ([]*client.Deployment, error) {
	return readAll[client.Deployment](s.db, bucketDeployments)
}

// forget deletes deployments and all but the newest journal lines.
func (s *store) forget(ids []string, keepJournal int) error {
	return storageFault(s.db.Update(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			if err := tx.Bucket([]byte(bucketDeployments)).Delete([]byte(id)); err != nil {
				return fmt.Errorf("forget %s: %w", id, err)
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
	}))
}

func put(tx *bbolt.Tx, bucket, key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", bucket, err)
	}
	return tx.Bucket([]byte(bucket)).Put([]byte(key), raw)
}

func readAll[T any](db *bbolt.DB, bucket string) ([]*T, error) {
	var all []*T
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(key, raw []byte) error {
			value := new(T)
			if err := json.Unmarshal(raw, value); err != nil {
				return fault.New(fault.Corrupt, "deploy.state", "%w", err).On(bucket + " " + string(key))
			}
			all = append(all, value)
			return nil
		})
	})
	return all, err
}

// storageFault says what a failed write means.
func storageFault(err error) error {
	const op = "deploy.state"
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
		return fault.New(fault.Unavailable, op, "the node is stopping")
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

package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// Schemas of the state file, each with what it has and the one before lacks:
//
//	1  models, deployments, journal
//	2  releases that are kept beside the one that serves, choices, tombstones, reports, the
//	   audit log, records of stages. A build that knows only 1 would lose some of them when
//	   it writes a record.
//	3  the sum of the records that serving needs. A build that knows only 2 would not keep it
//	   right.
//	4  tombstones by model and digest. A build that knows only 3 would look for them by digest.

// upgrades returns, for each schema but the last, what makes a file of it one of the next:
// a step of the transaction in which openState prepares the file.
func upgrades() map[int]func(*bbolt.Tx) error {
	return map[int]func(*bbolt.Tx) error{
		1: func(*bbolt.Tx) error { return nil }, // what is new is made where it is missing
		2: func(*bbolt.Tx) error { return nil }, // every transaction ends with the sum
		3: moveTombstones,
	}
}

// moveTombstones puts tombstones that were kept by their digest where they are looked for.
func moveTombstones(tx *bbolt.Tx) error {
	bucket := tx.Bucket([]byte(bucketTombstones))
	if bucket == nil {
		return nil // of an older schema
	}
	old := map[string]*tombstone{}
	err := bucket.ForEach(func(key, value []byte) error {
		var t tombstone
		if err := json.Unmarshal(value, &t); err != nil {
			return fmt.Errorf("tombstone %q: %w", key, err)
		}
		t.Model = t.Deployment
		for range 2 { // its id ends in the date, and in four random characters
			t.Model = t.Model[:max(strings.LastIndexByte(t.Model, '-'), 0)]
		}
		old[string(key)] = &t
		return nil
	})
	for key, t := range old {
		err = errors.Join(err, bucket.Delete([]byte(key)), put(tx, bucketTombstones, grave(t.Model, t.Digest), t))
	}
	return err
}

// upgrade brings a file from an older schema to the one of this build. It reports
// whether it knows how.
func upgrade(tx *bbolt.Tx, from int) (bool, error) {
	for ; from < schema; from++ {
		step, known := upgrades()[from]
		if !known {
			return false, nil
		}
		if err := step(tx); err != nil {
			return true, fmt.Errorf("upgrade from schema %d: %w", from, err)
		}
	}
	return from == schema, nil
}

// keepOlder copies a state file of an older schema that this build can upgrade, before it
// is written to, and returns the copy's path; "" where there is nothing to upgrade. A copy
// that an earlier upgrade left is replaced.
func keepOlder(path string) (string, error) {
	found, err := schemaOf(path)
	if err != nil || found >= schema || upgrades()[found] == nil {
		return "", err
	}
	kept := fmt.Sprintf("%s.schema-%d", path, found)
	draft := kept + ".new"
	if err = copyFile(draft, path); err == nil {
		err = rename(draft, kept)
	}
	if err != nil {
		os.Remove(draft) //nolint:errcheck,gosec // the first error counts
		return "", storageFault(err)
	}
	return kept, nil
}

// schemaOf reads the schema of a state file; 0 for one that names none.
func schemaOf(path string) (found int, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return 0, stateFault(path, err)
	}
	defer db.Close() //nolint:errcheck // only read
	err = db.View(func(tx *bbolt.Tx) error {
		if meta := tx.Bucket([]byte(bucketMeta)); meta != nil {
			found, _ = strconv.Atoi(string(meta.Get([]byte("schema")))) // what is no number is refused by prepare
		}
		return nil
	})
	if err != nil {
		return 0, stateFault(path, err)
	}
	return found, nil
}

// copyFile makes a copy that is on disk when it returns.
func copyFile(to, from string) error {
	source, err := os.Open(from) //nolint:gosec // the state file
	if err != nil {
		return err
	}
	defer source.Close()                                                      //nolint:errcheck // only read
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // beside the state file
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close())
}

package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

const opOpen = "deploy.open"

// openStore opens or makes the state file. One of an older schema is copied, and then
// upgraded in one transaction. It fails with fault.Conflict while
// another process holds it, fault.Unsupported when a newer build wrote it (the
// file is left as it is), fault.Exhausted when there is no room for it, and
// fault.Corrupt when it cannot be read.
func openStore(path string) (*store, error) {
	info, err := os.Stat(path)
	isNew := errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0
	if isNew {
		err = createState(path)
	} else {
		err = checkWhole(path)
	}
	if err != nil {
		return nil, err
	}
	kept, err := keepOlder(path)
	if err == nil && !isNew {
		err = renewState(path)
	}
	if err != nil {
		return nil, err
	}
	s, err := openState(path)
	if err != nil {
		return nil, err
	}
	s.kept = kept
	return s, nil
}

// createState makes an empty state file.
func createState(path string) error {
	return draft(path, func(name string) error {
		s, err := openState(name)
		if err != nil {
			return err
		}
		return s.close()
	})
}

// draft makes a state file under another name, and gives it its own when all of it is on
// disk: neither a full disk nor a power cut leaves half of one.
func draft(path string, fill func(name string) error) error {
	name := path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return stateFault(name, err)
	}
	err := fill(name)
	if err == nil {
		err = rename(name, path)
	}
	if err != nil {
		os.Remove(name) //nolint:errcheck,gosec // the first error counts
		return stateFault(path, err)
	}
	return nil
}

// rename renames a file of a directory, for good.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// checkWhole refuses a state file that is damaged, before anything of it is used or written.
func checkWhole(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true}) // for the lock
	if err != nil {
		return stateFault(path, err)
	}
	defer db.Close()               //nolint:errcheck // only read
	data, err := os.ReadFile(path) //nolint:gosec // the state directory is the owner's choice
	if err != nil {
		return stateFault(path, err)
	}
	file, err := readState(data)
	if err == nil {
		err = file.known()
	}
	if err == nil {
		err = file.check()
	}
	return stateFault(path, err)
}

// renewState writes a state file that is whole anew. What is read from then on is what is on
// disk, also after a sync that failed; and the new file's list of free pages, which no sum
// covers, is made from its content. Where there is no room, the file stays as it is.
func renewState(path string) error {
	old, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return stateFault(path, err)
	}
	defer old.Close() //nolint:errcheck // only read
	err = draft(path, func(name string) error {
		renewed, openErr := bbolt.Open(name, 0o600, &bbolt.Options{Timeout: time.Second})
		if openErr != nil {
			return openErr
		}
		return errors.Join(bbolt.Compact(renewed, old, 0), renewed.Close())
	})
	if fault.KindOf(err) == fault.Exhausted {
		return nil
	}
	return err
}

// known refuses a schema that this build does not know.
func (f *stateFile) known() error {
	if number, err := strconv.Atoi(f.schema); f.schema == "" || err == nil && number > 0 && number <= schema {
		return nil // "" is found by check
	}
	return fault.New(fault.Unsupported, opOpen, "state has schema %s, this build knows %d", f.schema, schema).
		WithHint("Use the newer verge that wrote it, or name another directory with --state-dir.")
}

// openState opens a state file, which it makes where there is none.
func openState(path string) (*store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, stateFault(path, err)
	}
	s := &store{db: db}
	if err := s.prepare(); err != nil {
		db.Close() //nolint:errcheck,gosec // the first error counts
		return nil, stateFault(path, err)
	}
	return s, nil
}

// stateFault says why the state file cannot be used.
func stateFault(path string, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, bolterrors.ErrTimeout):
		return fault.New(fault.Conflict, opOpen, "the state file is held by another process").On(path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fault.New(fault.Denied, opOpen, "%w", err).WithHint("Run as the user who owns the state directory, or name another one with --state-dir.")
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return storageFault(err)
	}
	return fault.New(fault.Corrupt, opOpen, "%w", err).On(path).
		WithHint("Bring %s back from a copy, or move it away to start with an empty state and deploy the models again.", filepath.Base(path))
}

func (s *store) prepare() error {
	return s.update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists([]byte(bucketMeta))
		if err != nil {
			return fmt.Errorf("make bucket: %w", err)
		}
		if found := meta.Get([]byte("schema")); found != nil && string(found) != strconv.Itoa(schema) {
			number, _ := strconv.Atoi(string(found)) // 0, which no upgrade begins with, where it is none
			known, err := upgrade(tx, number)
			if err != nil {
				return err
			}
			if !known {
				return fault.New(fault.Unsupported, opOpen, "state has schema %s, this build knows %d", found, schema).
					WithHint("Use the newer verge that wrote it, or name another directory with --state-dir.")
			}
		}
		return makeBuckets(tx, meta)
	})
}

// makeBuckets makes what is missing, and marks the file as one of this build's schema.
func makeBuckets(tx *bbolt.Tx, meta *bbolt.Bucket) error {
	for _, name := range []string{bucketModels, bucketDeployments, bucketJournal, bucketChoices, bucketTombstones, bucketReports, bucketAudit} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return fmt.Errorf("make bucket: %w", err)
		}
	}
	return meta.Put([]byte("schema"), []byte(strconv.Itoa(schema)))
}

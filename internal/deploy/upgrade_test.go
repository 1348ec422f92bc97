package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"go.etcd.io/bbolt"

	"verge/internal/deploy"
	"verge/internal/fault"
)

// older is a node's directory as a build of the first schema leaves it.
func older(t *testing.T) (dir, path string, before []byte) {
	t.Helper()
	dir = t.TempDir()
	n := newNode(t, dir)
	n.deploy(base, "digits.onnx")
	n.close()
	path = edit(t, dir, func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("1")), tx.DeleteBucket([]byte("choices")), tx.DeleteBucket([]byte("tombstones")))
	})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, path, before
}

func TestAStateOfAnOlderSchemaIsCopiedUpgradedAndServesAgain(t *testing.T) {
	dir, path, before := older(t)
	n := newNode(t, dir)
	n.manager.Restore()
	if version, _ := n.ask(); version != 1 {
		t.Errorf("version %d serves, want 1", version)
	}
	if d := n.deploy(base, "digits.onnx"); d.Version != 2 || d.Error != nil {
		t.Errorf("the next deployment is %+v", d)
	}
	n.close()
	kept := path + ".schema-1"
	if copied, err := os.ReadFile(kept); err != nil || !bytes.Equal(copied, before) {
		t.Errorf("%s is not what the older build left (%v)", kept, err)
	}
	if info, err := os.Stat(kept); err != nil || info.Mode() != 0o600 {
		t.Errorf("the copy: %v (%v)", info, err)
	}
	edit(t, dir, func(tx *bbolt.Tx) error {
		if got := string(tx.Bucket([]byte("meta")).Get([]byte("schema"))); got != "4" {
			t.Errorf("the schema is %q, want 4", got)
		}
		return nil
	})

	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	newNode(t, dir).close()
	if _, err := os.Stat(kept); err == nil {
		t.Error("a state of this build's schema is copied")
	}
}

func TestAStateThatCannotBeCopiedIsNotUpgraded(t *testing.T) {
	dir, path, before := older(t)
	if err := os.Mkdir(path+".schema-1.new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".schema-1.new/keep", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	host := newNode(t, t.TempDir()).host()
	host.StatePath = path
	_, err := deploy.Open(host)
	check(t, "Open", err, fault.Internal, "write the state file: open: is a directory", "")
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Errorf("the state of %s was written to", dir)
	}
}

func TestTombstonesOfAnOlderSchemaHold(t *testing.T) {
	n, _ := deployed(t)
	n.set(behaviour{add: 1})
	n.back(0, "it sees ghosts")
	n.close()
	edit(t, n.dir, func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("tombstones"))
		key, value := bucket.Cursor().First()
		var t map[string]any
		err := json.Unmarshal(value, &t)
		delete(t, "model")
		old, _ := json.Marshal(t)
		digest, _ := t["digest"].(string)
		return errors.Join(err, bucket.Delete(bytes.Clone(key)), bucket.Put([]byte(digest), old), tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("3")))
	})
	after := newNode(t, n.dir)
	after.set(behaviour{add: 1})
	after.manager.Restore()
	_, err := after.manager.Submit(after.request(base, "digits-bad.onnx"), asker())
	if fault.KindOf(err) != fault.Conflict {
		t.Errorf("Submit of bytes that were rolled back = %v", err)
	}
	other := after.request(base, "digits-bad.onnx")
	other.Name = "another"
	if _, err := after.manager.Submit(other, asker()); fault.KindOf(err) == fault.Conflict {
		t.Errorf("Submit of them as another model = %v", err)
	}
}

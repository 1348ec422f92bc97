package deploy_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/fault"
)

// written returns the state file of a node that has ended, with several deployments, one of
// which is large enough for pages that overflow, and of one whose journal has many pages.
func written(t *testing.T) (n *node, path string, data []byte) {
	t.Helper()
	n = newNode(t, t.TempDir())
	n.set(behaviour{add: 1})
	for range 4 {
		n.deploy(base, "digits.onnx")
	}
	n.deploy(strings.Replace(base, "{", "{"+strings.Repeat(" ", 9000), 1), "digits.onnx")
	n.close()
	path = n.host().StatePath
	return n, path, read(t, path)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// stride is how many bits a test goes on by: a prime number, so that each bit of a byte
// takes part.
func stride() int {
	if os.Getenv("FAULTS") == "all" {
		return 1
	}
	return 61
}

func TestNoFlippedBitOfTheStateFileChangesWhatItSays(t *testing.T) {
	t.Parallel()
	_, _, data := written(t)
	want, err := deploy.ReadState(data)
	if err != nil {
		t.Fatal(err)
	}
	const metas = 2 * 4096 // the last transaction may be lost with its page: there are two
	refused, harmless := 0, 0
	for bit := range 8 * len(data) {
		if bit%stride() != 0 {
			continue
		}
		changed := bytes.Clone(data)
		if changed[bit/8] ^= 1 << (bit % 8); bit/8 < metas && os.Getpagesize() == metas/2 {
			continue // see TestAStateFileWhoseLastTransactionIsDamaged
		}
		switch got, err := deploy.ReadState(changed); {
		case err != nil:
			refused++
		case got != want:
			t.Errorf("bit %d: the records have the sum %s, want %s, or that the file is refused", bit, got, want)
		default:
			harmless++ // nothing lies there
		}
	}
	t.Logf("of %d bits %d are noticed, %d belong to no record", refused+harmless, refused, harmless)
	if refused == 0 || harmless == 0 {
		t.Error("want some of both")
	}
}

func TestNoCutOfTheStateFileChangesWhatItSays(t *testing.T) {
	t.Parallel()
	_, _, data := written(t)
	want, err := deploy.ReadState(data)
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(data) {
		if got, err := deploy.ReadState(data[:size]); err == nil && got != want {
			t.Errorf("%d of %d bytes: the records have the sum %s, want %s, or that the file is refused", size, len(data), got, want)
		}
	}
}

func TestADamagedStateIsRefusedAndLeftOrDoesNotMatter(t *testing.T) {
	t.Parallel()
	n, path, data := written(t)
	m, err := deploy.Open(n.host())
	if err != nil {
		t.Fatal(err)
	}
	want := m.List("", 100, "")
	m.Close()
	artifacts, err := n.artifacts.List()
	if err != nil {
		t.Fatal(err)
	}
	refused, opened := 0, 0
	for bit := 0; bit < 8*len(data); bit += 67 * stride() {
		changed := bytes.Clone(data)
		changed[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := deploy.Open(n.host())
		if err != nil {
			refused++
			if kind := fault.KindOf(err); kind != fault.Corrupt && kind != fault.Unsupported || fault.HintOf(err) == "" {
				t.Errorf("bit %d: Open = %v %v, want corrupt, with a hint", bit, kind, err)
			}
			if !bytes.Equal(read(t, path), changed) {
				t.Errorf("bit %d: the file that was refused was written to", bit)
			}
			continue
		}
		opened++
		if diff := cmp.Diff(want, m.List("", 100, "")); diff != "" {
			t.Errorf("bit %d: what is known changed:\n%s", bit, diff)
		}
		m.Close()
	}
	t.Logf("%d refused, %d opened", refused, opened)
	if left, err := n.artifacts.List(); err != nil || len(left) != len(artifacts) {
		t.Errorf("%d artifacts are left, %v, want %d", len(left), err, len(artifacts))
	}
}

// A page of the two that say where the last transaction is may be torn by a power cut: the
// other one holds then. So damage there takes back one transaction at most, which is the one
// that says that the node ended; an answer to a client is never in one transaction alone.
func TestAStateFileWhoseLastTransactionIsDamaged(t *testing.T) {
	n, path, data := written(t)
	for page := range 2 {
		changed := bytes.Clone(data)
		changed[page*os.Getpagesize()+40] ^= 1
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := deploy.Open(n.host())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range m.List("", 100, "") {
			if d.Phase != client.PhaseCommitted {
				t.Errorf("page %d: %s is %s, want committed", page, d.ID, d.Phase)
			}
		}
		m.Close()
	}
}

func TestAStateOfTheFirstSchemaIsReadAndGetsASum(t *testing.T) {
	n, path, _ := written(t)
	edit(t, n.dir, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("1")) })
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Delete([]byte("sum")) })
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	m, err := deploy.Open(n.host())
	if err != nil {
		t.Fatal(err)
	}
	if all := m.List("", 100, ""); len(all) != 5 || all[0].Phase != client.PhaseCommitted {
		t.Errorf("it knows %+v, want 5 deployments", all)
	}
	m.Close()
	damaged := bytes.ReplaceAll(read(t, path), []byte(`"phase":"committed"`), []byte(`"phase":"committee"`))
	if _, err := deploy.ReadState(damaged); err == nil {
		t.Error("a changed record is not noticed")
	}
}

func TestARecordThatIsMissingIsNoticed(t *testing.T) {
	for bucket, key := range map[string]string{"models": "m", "meta": "sum"} {
		n, path, _ := written(t)
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Delete([]byte(key)) })
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		if _, err := deploy.Open(n.host()); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("%s %s: Open = %v, want corrupt", bucket, key, err)
		}
	}
}

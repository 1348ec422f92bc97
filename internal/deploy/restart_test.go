package deploy_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/fault"
	"verge/internal/native"
)

func TestEveryWalkThroughTheMovesEndsAndServesOnlyAfterTheSwitch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		phase, active := client.PhasePending, false
		for steps := 0; !phase.Final(); steps++ {
			next := deploy.Moves()[phase]
			if len(next) == 0 || steps > len(client.Phases()) {
				rt.Fatalf("a walk hangs in %s", phase)
			}
			to := rapid.SampledFrom(next).Draw(rt, "to")
			if err := deploy.CheckMove(phase, to); err != nil {
				rt.Fatal(err)
			}
			if deploy.Switched(phase) && to != client.PhaseCommitted && to != client.PhaseObserving && to != client.PhaseRolledBack {
				rt.Fatalf("%s leads to %s, though it has switched", phase, to)
			}
			active = active || deploy.Switched(to)
			phase = to
		}
		if active != (phase == client.PhaseCommitted || phase == client.PhaseRolledBack) {
			rt.Fatalf("ended %s, switched: %v", phase, active)
		}
	})
}

func TestMovesThatAreNotInTheTableAreRefused(t *testing.T) {
	for _, from := range client.Phases() {
		for _, to := range client.Phases() {
			err := deploy.CheckMove(from, to)
			if allowed := slices.Contains(deploy.Moves()[from], to); (err == nil) != allowed {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if undone := from == client.PhaseCommitted && to == client.PhaseRolledBack; from.Final() && (err == nil) != undone {
				t.Errorf("%s is an end; to %s: %v", from, to, err)
			}
		}
	}
	if got := deploy.CheckMove(client.PhaseGating, client.PhaseCommitted).Error(); got != "deployment cannot move from gating to committed" {
		t.Errorf("text %q", got)
	}
}

// copyState copies a directory as a power cut would leave it: every write that was
// synced, and no lock.
func copyState(tb testing.TB, from string) string {
	tb.Helper()
	to := filepath.Join(tb.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
	return to
}

func TestACrashInAnyPhaseLeavesTheOldVersionOrTheNewOne(t *testing.T) {
	for _, phase := range append(slices.Clone(heldPhases), client.PhaseActivating) {
		t.Run(string(phase), func(t *testing.T) {
			n := newNode(t, t.TempDir())
			n.set(behaviour{add: 1})
			n.deploy(base, "digits.onnx")
			reached, release := n.hold(phase)
			id := n.submit(n.request(base, "digits-bad.onnx")).ID
			<-reached
			crashed := copyState(t, n.dir)
			release()
			n.wait(id)

			after := newNode(t, crashed)
			d, err := after.manager.Get(id)
			if err != nil {
				t.Fatal(err)
			}
			after.set(behaviour{add: 7})
			after.manager.Restore()
			version, _ := after.ask()
			if phase == client.PhaseActivating {
				if d.Phase != client.PhaseCommitted || d.Error != nil || version != 2 {
					t.Errorf("ended %s %+v, version %d serves; want committed, 2", d.Phase, d.Error, version)
				}
				return
			}
			want := &client.Failure{
				Kind: "unavailable", Message: string(phase) + ": the node stopped before the deployment had switched", Hint: "Deploy again.",
			}
			if diff := cmp.Diff(want, d.Error); diff != "" || d.Phase != client.PhaseFailed || version != 1 {
				t.Errorf("ended %s, version %d serves (-want +got):\n%s", d.Phase, version, diff)
			}
			if d := after.deploy(base, "digits.onnx"); d.Version != 3 {
				t.Errorf("the next version is %d, want 3", d.Version)
			}
		})
	}
}

func TestTheJournalHoldsEveryMove(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.deploy(base, "digits.onnx")
	lines, err := n.manager.JournalLines()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range lines {
		got = append(got, string(line[0])+">"+string(line[1]))
	}
	want := ">pending pending>checking checking>preparing preparing>loading loading>gating gating>testing testing>activating activating>committed"
	if strings.Join(got, " ") != want {
		t.Errorf("journal %v, want %s", got, want)
	}
}

func TestCommittedModelsServeAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	n.set(behaviour{add: 1})
	req := n.request(base, "digits.onnx")
	req.Spec = []byte(`{"model":{"path":"m.onnx"},"required_packages":["onnxruntime","pandas"]}`)
	req.IgnorePackages = []string{"pandas"}
	first := n.wait(n.submit(req).ID)
	if first.Phase != client.PhaseCommitted {
		t.Fatalf("ended %s: %+v", first.Phase, first.Error)
	}
	n.close()

	n = newNode(t, dir)
	n.set(behaviour{add: 1})
	n.manager.Restore()
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want 1 and 1", version, y)
	}
	served := n.served["m"]
	if served == nil || served.Deployment() != first.ID || served.Digest() != first.Digest {
		t.Errorf("served %+v", served)
	}
	if _, err := served.CheckModel(t.Context(), n.clock.Now); err != nil {
		t.Errorf("CheckModel = %v", err)
	}
	var replayed []client.EventType
	if err := n.manager.Events(t.Context(), first.ID, 0, func(e client.Event) error {
		replayed = append(replayed, e.Type)
		return nil
	}); err != nil || replayed[len(replayed)-1] != client.EventEnd || !slices.Contains(replayed, client.EventVerdict) {
		t.Errorf("replayed %v, %v", replayed, err)
	}
}

func TestAnAnswerThatChangedIsNoticedAfterARestart(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	n.set(behaviour{add: 1})
	n.deploy(base, "digits.onnx")
	n.close()
	n = newNode(t, dir)
	n.set(behaviour{add: 2})
	n.manager.Restore()
	_, err := n.served["m"].CheckModel(t.Context(), n.clock.Now)
	if err == nil || fault.KindOf(err) != fault.Corrupt || !strings.HasPrefix(fault.Message(err), `the answer to the known input changed: output "y": element `) {
		t.Errorf("CheckModel = %v", err)
	}
}

func TestAnAnswerToAnotherQuestionIsNotComparedAfterARestart(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	n.set(behaviour{add: 1})
	n.deploy(base, "digits.onnx")
	n.close()
	edit(t, dir, func(tx *bbolt.Tx) error { // as a version wrote it that asks something else
		models := tx.Bucket([]byte("models"))
		record := regexp.MustCompile(`"question":"[0-9a-f]{64}"`).ReplaceAll(models.Get([]byte("m")), []byte(`"question":"other"`))
		return models.Put([]byte("m"), record)
	})
	n = newNode(t, dir)
	n.set(behaviour{add: 2})
	n.manager.Restore()
	if _, err := n.served["m"].CheckModel(t.Context(), n.clock.Now); err != nil {
		t.Errorf("CheckModel = %v, want no comparison", err)
	}
}

func TestAModelThatIsNotLoadedAfterARestartAnswersWithTheReason(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	n.deploy(base, "digits.onnx")
	n.close()
	n = newNode(t, dir)
	n.set(behaviour{load: func() error { return fault.New(fault.Unsupported, "fake.load", "the library is gone") }})
	n.manager.Restore()
	_, err := n.server.Resolve("m", "")
	check(t, "Resolve", err, fault.Unavailable, `model "m" is not ready: not loaded: the library is gone`, "")
	n.set(behaviour{add: 3}) // and a new deployment heals it
	n.deploy(base, "digits-bad.onnx")
	if version, y := n.ask(); version != 2 || y != 3 {
		t.Errorf("version %d answers %g, want 2 and 3", version, y)
	}
}

func TestANodeThatStopsWhileItLoadsCommittedModelsReportsNoFailure(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	n.deploy(base, "digits.onnx")
	n.close()
	n = newNode(t, dir)
	n.set(behaviour{load: func() error {
		if err := n.manager.Close(); err != nil {
			t.Error(err)
		}
		return fault.New(fault.Canceled, "fake.load", "the load was canceled")
	}})
	n.manager.Restore()
	if log := n.logged.String(); strings.Contains(log, "level=ERROR") || !strings.Contains(log, "since the node stops") {
		t.Errorf("log:\n%s", log)
	}
	_, err := n.server.Resolve("m", "")
	check(t, "Resolve", err, fault.Unavailable, `model "m" is not ready: loading after a start of the node`, "")
}

func TestAnUndeployedModelIsGoneForGood(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	check(t, "Undeploy", n.manager.Undeploy("m", asker()), fault.NotFound, `model "m" is not deployed`, "verge status lists the models that are.")
	n.deploy(base, "digits.onnx")
	if err := n.manager.Undeploy("m", asker()); err != nil {
		t.Fatal(err)
	}
	_, err := n.server.Resolve("m", "")
	check(t, "Resolve", err, fault.NotFound, `unknown model "m"`, "")
	if !slices.Equal(n.gone, []string{"m"}) || len(n.manager.Serving()) != 0 {
		t.Errorf("gone %v, serving %v", n.gone, n.manager.Serving())
	}
	check(t, "Undeploy again", n.manager.Undeploy("m", asker()), fault.NotFound, `model "m" is not deployed`, "verge status lists the models that are.")
	n.close()
	n = newNode(t, dir)
	n.manager.Restore()
	if len(n.server.Models()) != 0 {
		t.Errorf("models %v", n.server.Models())
	}
	if d := n.deploy(base, "digits.onnx"); d.Version != 2 {
		t.Errorf("version %d, want the numbers to go on with 2", d.Version)
	}
}

func TestArtifactsStayWhileTheyAreNeeded(t *testing.T) {
	n := newNode(t, t.TempDir())
	fresh := n.upload([]byte("uploaded for a deployment that comes"))
	first := n.deploy(base, "digits.onnx")
	second := n.deploy(base, "digits-bad.onnx")
	if !n.artifacts.Has(first.Digest) || !n.artifacts.Has(second.Digest) || !n.artifacts.Has(fresh) {
		t.Error("the serving, the previous or a fresh artifact was removed")
	}
	n.clock.pass(2 * time.Hour)
	third := n.deploy(base, "digits-slow.onnx")
	if n.artifacts.Has(first.Digest) || !n.artifacts.Has(second.Digest) || !n.artifacts.Has(third.Digest) {
		t.Error("want the artifacts of the last two versions, and no older one")
	}
	if n.artifacts.Has(fresh) {
		t.Error("an upload that nobody asked for within an hour is still there")
	}
}

func TestOldDeploymentsAreForgotten(t *testing.T) {
	n := newNode(t, t.TempDir())
	var ids []string
	for range 22 {
		n.set(behaviour{load: func() error { return fault.New(fault.Corrupt, "fake.load", "no") }})
		ids = append(ids, n.wait(n.submit(n.request(base, "digits.onnx")).ID).ID)
	}
	all := n.manager.List("", 100, "")
	if len(all) != 20 || all[0].ID != ids[21] || all[19].ID != ids[2] {
		t.Errorf("%d deployments are known, from %s", len(all), all[0].ID)
	}
	page := n.manager.List("m", 3, all[4].ID)
	if len(page) != 3 || page[0].ID != all[5].ID {
		t.Errorf("page %v", page)
	}
	if rest := n.manager.List("m", 3, ids[0]); len(rest) != 0 {
		t.Errorf("behind one that was forgotten comes %v, want nothing, since it was the oldest", rest)
	}
	if other := n.manager.List("other", 3, ""); len(other) != 0 {
		t.Errorf("other model has %v", other)
	}
}

func edit(tb testing.TB, dir string, change func(*bbolt.Tx) error) string {
	tb.Helper()
	path := filepath.Join(dir, "state.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return errors.Join(change(tx), deploy.WriteSum(tx)) }); err != nil {
		tb.Fatal(err)
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestAStateThatCannotBeUsedIsRefusedAndLeft(t *testing.T) {
	put := func(bucket, key, value string) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), []byte(value)) }
	}
	tests := map[string]struct {
		change        func(*bbolt.Tx) error
		kind          fault.Kind
		message, hint string
	}{
		"a newer schema": {
			put("meta", "schema", "5"), fault.Unsupported, "state has schema 5, this build knows 4",
			"Use the newer verge that wrote it, or name another directory with --state-dir.",
		},
		"a schema that is no number": {
			put("meta", "schema", "x"), fault.Unsupported, "state has schema x, this build knows 4",
			"Use the newer verge that wrote it, or name another directory with --state-dir.",
		},
		"a deployment that is no JSON": {
			put("deployments", "m-1", "{"), fault.Corrupt, "deployments m-1: unexpected end of JSON input", "",
		},
		"a model that is no JSON": {
			put("models", "m", `{"last_version":"x"}`), fault.Corrupt,
			"models m: json: cannot unmarshal string into Go struct field modelRecord.last_version of type int", "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := newNode(t, dir)
			host := n.host()
			n.close()
			path := edit(t, dir, test.change)
			before, _ := os.ReadFile(path)
			m, err := deploy.Open(host)
			if err == nil {
				m.Restore()
				m.Close()
			}
			check(t, "Open", err, test.kind, test.message, test.hint)
			after, _ := os.ReadFile(path)
			if test.kind == fault.Unsupported && sha256.Sum256(before) != sha256.Sum256(after) {
				t.Error("the file was written to")
			}
		})
	}
}

const cutHint = "Bring state.db back from a copy, or move it away to start with an empty state and deploy the models again."

func TestAFileThatIsNoStateIsRefused(t *testing.T) {
	n := newNode(t, t.TempDir())
	host := n.host()
	host.StatePath = filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(host.StatePath, bytes.Repeat([]byte("not a database. "), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := deploy.Open(host)
	check(t, "Open", err, fault.Corrupt, host.StatePath+": invalid database",
		cutHint)
}

func TestAStateThatWasCutOffIsRefused(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	host := n.host()
	n.close()
	whole, err := os.ReadFile(host.StatePath)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for _, size := range []int{1, page, 2 * page, 3 * page} {
		if err := os.WriteFile(host.StatePath, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := deploy.Open(host)
		if fault.KindOf(err) != fault.Corrupt || fault.HintOf(err) != cutHint {
			t.Errorf("%d bytes: %v (hint %q), want corrupt", size, err, fault.HintOf(err))
		}
		if left, _ := os.ReadFile(host.StatePath); len(left) != size {
			t.Errorf("%d bytes: the file has %d now", size, len(left))
		}
	}
}

func TestAnEmptyStateFileIsNoState(t *testing.T) {
	n := newNode(t, t.TempDir())
	host := n.host()
	host.StatePath = filepath.Join(t.TempDir(), "state.db")
	for _, name := range []string{host.StatePath, host.StatePath + ".new"} { // what a start on a full disk left
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := deploy.Open(host)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(host.StatePath + ".new"); !os.IsNotExist(err) {
		t.Errorf("the draft is left (%v)", err)
	}
}

func TestTwoManagersDoNotShareAState(t *testing.T) {
	n := newNode(t, t.TempDir())
	_, err := deploy.Open(n.host())
	check(t, "second Open", err, fault.Conflict, filepath.Join(n.dir, "state.db")+": the state file is held by another process", "")
}

func TestAClosedManagerTakesNothing(t *testing.T) {
	n := newNode(t, t.TempDir())
	req := n.request(base, "digits.onnx")
	n.manager.Close()
	_, err := n.manager.Submit(req, asker())
	check(t, "Submit", err, fault.Unavailable, "the node is stopping", "")
	check(t, "Undeploy", n.manager.Undeploy("m", asker()), fault.Unavailable, "the node is stopping", "")
}

func TestAMoveThatCannotBeWrittenDoesNotHappen(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, dir)
	n.set(behaviour{add: 1})
	n.deploy(base, "digits.onnx")
	n.set(behaviour{add: 2})
	reached, release := n.hold(client.PhaseTesting)
	id := n.submit(n.request(base, "digits-bad.onnx")).ID
	<-reached
	n.manager.BreakState()
	release()
	want := &client.Failure{Kind: "unavailable", Message: "testing: the node is stopping"}
	if d := n.wait(id); d.Phase != client.PhaseFailed || !cmp.Equal(want, d.Error) {
		t.Errorf("ended %s, %+v", d.Phase, d.Error)
	}
	if version, y := n.ask(); version != 1 || y != 1 {
		t.Errorf("version %d answers %g, want the old one", version, y)
	}
	n.close()
	n = newNode(t, dir)
	if d, err := n.manager.Get(id); err != nil || d.Phase != client.PhaseFailed {
		t.Errorf("after a start it is %+v, %v", d, err)
	}
}

// unwilling is a store that fails to give its files a few times.
type unwilling struct {
	deploy.Artifacts
	fails atomic.Int32
	err   error
}

func (u *unwilling) Load(digest string) (*native.Memory, error) {
	if u.fails.Add(-1) >= 0 {
		return nil, u.err
	}
	return u.Artifacts.Load(digest)
}

func TestAModelThatIsNotReadAtOnceAfterARestartIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		serves bool
	}{
		"too many open files": {fault.New(fault.Internal, "artifact.load", "too many open files"), true},
		"damaged":             {fault.New(fault.Corrupt, "artifact.load", "its bytes have changed"), false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := newNode(t, dir)
			n.deploy(base, "digits.onnx")
			n.close()
			n = newNodeWith(t, dir, func(h *deploy.Host) {
				u := &unwilling{Artifacts: h.Artifacts, err: test.err}
				u.fails.Store(2)
				h.Artifacts = u
			})
			n.manager.Restore()
			if serves := len(n.manager.Serving()) == 1; serves != test.serves {
				t.Errorf("it serves: %v, want %v", serves, test.serves)
			}
		})
	}
}

func TestWhatAnswersIsListed(t *testing.T) {
	n := newNode(t, t.TempDir())
	n.set(behaviour{add: 1})
	const models = 30
	missed := make(chan string, models)
	var looking sync.WaitGroup
	for i := range models {
		name := fmt.Sprint("m", i)
		looking.Go(func() {
			for {
				if _, err := n.server.Resolve(name, ""); err != nil {
					continue // it does not answer yet
				}
				if !slices.ContainsFunc(n.manager.Serving(), func(s *deploy.Served) bool { return s.Model == name }) {
					missed <- name
				}
				return
			}
		})
		req := n.request(base, "digits.onnx")
		req.Name = name
		if d := n.wait(n.submit(req).ID); d.Phase != client.PhaseCommitted {
			t.Fatalf("%+v", d.Error)
		}
		looking.Wait()
	}
	close(missed)
	for name := range missed {
		t.Errorf("%s answers and is not listed", name)
	}
}

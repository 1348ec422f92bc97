package faults_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// spread returns n numbers of 1 to last, in even steps, which begin at a random place; all
// of them where there are no more.
func spread(last, n int) (all []int) {
	if n >= last {
		n = last
	}
	begin := rand.IntN(max(1, last/n))
	for i := range n {
		all = append(all, begin+i*last/n+1)
	}
	return slices.DeleteFunc(all, func(at int) bool { return at > last })
}

// calls counts the calls of a play without a fault.
func (s *stage) calls(t *testing.T, names ...string) int {
	t.Helper()
	p := s.perform(t, plan{Calls: names}, false)
	last := 0
	for _, o := range p.ops() {
		last = max(last, o.Number)
	}
	if p.was.committed == "" {
		t.Fatalf("without a fault: %+v; the node said:\n%s", p.was, p.said())
	}
	return last
}

// met returns the op that met the fault, or fails where none did.
func (p *play) met() (op, bool) {
	for _, o := range p.ops() {
		if o.Fault {
			return o, true
		}
	}
	return op{}, false
}

func TestANodeMayBeKilledAtEachCall(t *testing.T) {
	s := newStage(t)
	last := s.calls(t)
	met := 0
	for range count(t, "FAULTS_ROUNDS", 1) {
		for _, at := range spread(last, count(t, "FAULTS_KILLS", 12)) {
			t.Run(fmt.Sprint(at), func(t *testing.T) {
				p := s.perform(t, plan{At: at, Kill: true}, false)
				o, ok := p.met()
				if !ok {
					t.Logf("no call %d", at) // the number of calls differs by a few
					return
				}
				met++
				t.Logf("%s: %+v", o.name(p.state), p.was)
				s.verify(t, p.state, p.was)
			})
		}
	}
	t.Logf("killed at %d of %d calls", met, last)
	if met == 0 {
		t.Error("the node was never killed")
	}
}

func TestEachCallMayFail(t *testing.T) {
	s := newStage(t)
	for _, fault := range []struct {
		name string
		plan plan
		cut  bool // the power goes afterwards
	}{
		{"EIO", plan{Errno: int(syscall.EIO)}, false},
		{"ENOSPC", plan{Errno: int(syscall.ENOSPC)}, false},
		{"ENOSPC from then on", plan{Errno: int(syscall.ENOSPC), On: true, Calls: []string{"write", "pwrite64", "ftruncate", "mkdirat"}}, false},
		{"EROFS", plan{Errno: int(syscall.EROFS)}, false},
		{"EMFILE", plan{Errno: int(syscall.EMFILE), Calls: []string{"openat"}}, false},
		{"half a write, then ENOSPC", plan{Errno: int(syscall.ENOSPC), Short: true, Calls: []string{"write", "pwrite64"}}, false},
		{"a failed sync", plan{Errno: int(syscall.EIO), Calls: []string{"fsync", "fdatasync"}}, true},
		{"failed syncs from then on", plan{Errno: int(syscall.EIO), On: true, Calls: []string{"fsync", "fdatasync"}}, true},
	} {
		t.Run(fault.name, func(t *testing.T) {
			last := s.calls(t, fault.plan.Calls...)
			met := 0
			for _, at := range spread(last, count(t, "FAULTS_ERRORS", 3)) {
				t.Run(fmt.Sprint(at), func(t *testing.T) {
					what := fault.plan
					what.At = at
					p := s.perform(t, what, false)
					o, ok := p.met()
					if !ok {
						t.Logf("no call %d", at)
						return
					}
					met++
					t.Logf("%s: %+v %+v", o.name(p.state), p.was, p.was.failed)
					if fault.cut {
						p.lose(t)
					}
					s.verify(t, p.state, p.was)
				})
			}
			t.Logf("%d of %d calls met it", met, last)
			if met == 0 {
				t.Error("no call met it")
			}
		})
	}
}

// base is what a play began with.
func (p *play) base() string {
	if p.was.fresh {
		return ""
	}
	return p.s.state
}

// lose puts what a power cut leaves in the place of the state directory. It comes after the
// last call, or at any after the fault: then what the client was told later was never said.
func (p *play) lose(t *testing.T) {
	t.Helper()
	ops := p.ops()
	end := len(ops)
	var chance *rand.Rand
	seed := rand.Uint64()
	if seed%4 > 0 {
		fault := slices.IndexFunc(ops, func(o op) bool { return o.Fault })
		end = fault + 1 + rand.IntN(len(ops)-fault)
	}
	if seed%4 > 1 {
		chance = rand.New(rand.NewPCG(seed, 0))
	}
	t.Logf("the power goes after %s, seed %d", ops[end-1].name(p.state), seed)
	d := newDisk(t, p.base(), p.state)
	for _, o := range ops[:end] {
		d.do(t, o)
	}
	if err := os.RemoveAll(p.state); err != nil {
		t.Fatal(err)
	}
	d.cut(t, p.state, chance)
	p.was = p.was.before(end)
}

func TestThePowerMayGoAtEachCall(t *testing.T) {
	s := newStage(t)
	for name, fresh := range map[string]bool{"an empty directory": true, "a third version": false} {
		t.Run(name, func(t *testing.T) {
			p := s.perform(t, plan{}, fresh)
			if p.was.committed == "" {
				t.Fatalf("without a fault: %+v", p.was)
			}
			ops := p.ops()
			want := count(t, "FAULTS_CUTS", 10)
			at := spread(len(ops), want)
			seen := map[string]bool{}
			for _, kind := range []string{"nothing lasts that was not synced", "some of it lasts"} {
				t.Run(kind, func(t *testing.T) {
					d := newDisk(t, p.base(), p.state)
					for i, o := range ops {
						d.do(t, o)
						if !slices.Contains(at, i+1) {
							continue
						}
						seed := rand.Uint64()
						var chance *rand.Rand
						if kind == "some of it lasts" {
							chance = rand.New(rand.NewPCG(seed, 0))
						}
						state := filepath.Join(filepath.Dir(p.state), "cut")
						was := p.was.before(i + 1)
						digest := d.cut(t, state, chance) + fmt.Sprintf("%+v", was)
						if seen[digest] {
							os.RemoveAll(state)
							continue
						}
						seen[digest] = true
						t.Run(fmt.Sprint(i+1), func(t *testing.T) {
							t.Logf("after %s, seed %d: %+v", o.name(p.state), seed, was)
							s.verify(t, state, was)
						})
					}
				})
			}
			t.Logf("%d different directories of cuts after %d of %d calls", len(seen), len(at), len(ops))
		})
	}
}

// before is what the client was told before an op.
func (w told) before(op int) told {
	if w.after["uploaded"] > op {
		w.uploaded = ""
	}
	if w.after["submitted"] > op {
		w.submitted = ""
	}
	if w.after["committed"] > op {
		w.committed = ""
	}
	w.after = nil
	return w
}

package client_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"verge/client"
)

// whole is an entry in which every field says something.
func whole() client.AuditEntry {
	return client.AuditEntry{
		Sequence: 7, Time: time.Date(2026, 11, 23, 12, 0, 0, 120_000_000, time.UTC), Act: client.ActDeploy,
		By:    client.Actor{Kind: client.ActorSocket, Name: "ada", UID: new(1000), GID: new(100), PID: 4711},
		Model: "digits", Version: 3, Deployment: "digits-20261123-7f3a", Digest: "sha256:0123", Reason: "ärger", Before: "abcd",
	}
}

// The hash was computed by the script in docs/reports.md.
func TestTheHashOfAnEntryStaysWhatItIs(t *testing.T) {
	for want, e := range map[string]client.AuditEntry{
		"fd347c0d8a6973a19c7ec9ca665eaf15c19679a8695e7c7b014de084bbe84934": whole(),
		"fdf9a7dfc45c9aef4ccd9f4d5e185679ecbdb182af0d8a0afab6fa35a464b0cc": {},
	} {
		if got := e.Sum(); got != want {
			t.Errorf("Sum(%+v) = %s, want %s", e, got, want)
		}
	}
	elsewhere := whole()
	elsewhere.Time = elsewhere.Time.In(time.FixedZone("", 3600))
	if here := whole(); elsewhere.Sum() != here.Sum() {
		t.Error("the hash depends on the time zone")
	}
}

func TestTheHashOfAnEntryCoversEveryField(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, e client.AuditEntry) {
		sum := e.Sum()
		if other := seen[sum]; other != "" {
			t.Errorf("%s has the hash of %s", what, other)
		}
		seen[sum] = what
	}
	add("the whole", whole())
	for _, nested := range []bool{false, true} {
		e := whole()
		structure := reflect.TypeOf(e)
		if nested {
			structure = reflect.TypeOf(e.By)
		}
		for i := range structure.NumField() {
			changed := whole()
			value := reflect.ValueOf(&changed).Elem()
			if nested {
				value = value.FieldByName("By")
			}
			name := structure.Field(i).Name
			if name == "By" || name == "Hash" {
				continue
			}
			field := value.Field(i)
			field.Set(reflect.Zero(field.Type()))
			add("the one without "+name, changed)
		}
	}
	shifted := whole()
	shifted.Model, shifted.Deployment = "digits3", "igits-20261123-7f3a"
	add("one with letters elsewhere", shifted)
}

func TestAChainSaysWhatIsWrong(t *testing.T) {
	first := client.AuditEntry{Sequence: 1, Act: client.ActPin}
	first.Hash = first.Sum()
	second := client.AuditEntry{Sequence: 2, Act: client.ActUnpin, Before: first.Hash}
	second.Hash = second.Sum()
	chain := client.NewAuditChain(client.AuditMark{})
	if err := errors.Join(chain.Add(&first), chain.Add(&second), chain.End(client.AuditMark{Sequence: 2, Hash: second.Hash})); err != nil || chain.Entries != 2 {
		t.Fatalf("%d entries, %v", chain.Entries, err)
	}
	err := chain.Add(&second)
	if wrong, ok := errors.AsType[*client.AuditError](err); !ok || wrong.Sequence != 3 || wrong.Message != "entry 2 is in its place" || chain.Entries != 2 {
		t.Errorf("again: %v", err)
	}
	if err := client.NewAuditChain(client.AuditMark{Sequence: 1, Hash: first.Hash}).Add(&second); err != nil {
		t.Errorf("behind an anchor: %v", err)
	}
	if err := client.NewAuditChain(client.AuditMark{Sequence: 1, Hash: "other"}).Add(&second); err == nil {
		t.Error("it follows an anchor that it is not chained to")
	}
}

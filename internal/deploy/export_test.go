package deploy

import (
	"bytes"
	"errors"
	"log/slog"

	"verge/client"
	"verge/internal/choice"
	"verge/internal/deployfile"
	"verge/internal/inference"
	"verge/internal/modelfile"
)

// The table of moves, for the walk through it.
var (
	Moves     = moves
	CheckMove = checkMove
	Switched  = switched
)

// JournalLines returns the moves in the journal, oldest first.
func (m *Manager) JournalLines() ([][2]client.Phase, error) {
	all, err := readAll[move](m.store, bucketJournal)
	var lines [][2]client.Phase
	for _, one := range all {
		lines = append(lines, [2]client.Phase{one.From, one.To})
	}
	return lines, err
}

// HasSettled says whether the version that serves a model has settled.
func (m *Manager) HasSettled(model string) bool {
	record, err := m.store.model(model)
	return err == nil && record != nil && record.Serving != nil && record.Serving.Settled
}

// Plan lists the ways to run the files of a deployment.
func (f *Findings) Plan(file *deployfile.File, machine Machine, libraries Libraries) choice.Plan {
	return f.plan(file, machine, libraries)
}

// BreakState makes every write of the state file fail from now on.
func (m *Manager) BreakState() { m.store.close() }

// PreprocessOf says how pictures become the inputs of a session of a model file.
func PreprocessOf(data []byte, inputs []inference.Spec) map[string]client.Preprocess {
	file := modelfile.File{Bytes: bytes.NewReader(data), Size: int64(len(data))}
	return openEmbedded(&deployfile.File{}, file, slog.New(slog.DiscardHandler)).preprocess(inputs)
}

// WriteSum sums the records of a state file up.
var WriteSum = writeSum

// ReadState reads a state file that a node is about to use, and returns the sum of its
// records.
func ReadState(data []byte) (sum string, err error) {
	f, err := readState(data)
	if err != nil {
		return "", err
	}
	return string(f.sum.text()), errors.Join(f.known(), f.check())
}

// Act writes so many acts to the audit log, in one transaction.
func (m *Manager) Act(n int) error {
	acts := make([]client.AuditEntry, n)
	for i := range acts {
		acts[i] = client.AuditEntry{Time: m.host.Now(), Act: client.ActPin, Model: "m", Version: i}
	}
	return m.store.save(change{acts: acts})
}

// The bounds of what is kept for reports and for the audit log.
const (
	MaxAudit  = maxAudit
	MaxReport = maxReport
)

// Fit shortens the log and the events of a report to so many bytes, and returns what is
// left, how many bytes it takes, and what it says of that.
func Fit(log []client.ReportRecord, events []client.ReportEvent, records, most int) (kept, said int, bytes int, cut []string) {
	k := reported{Log: log, Events: events, records: records}
	k.fit(most)
	return len(k.Log), len(k.Events), size(k), k.Cut
}

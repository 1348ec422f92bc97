package deploy

import "verge/client"

// The table of moves, for the walk through it.
var (
	Moves     = moves
	CheckMove = checkMove
	Switched  = switched
)

// JournalLines returns the moves in the journal, oldest first.
func (m *Manager) JournalLines() ([][2]client.Phase, error) {
	all, err := readAll[move](m.store.db, bucketJournal)
	var lines [][2]client.Phase
	for _, one := range all {
		lines = append(lines, [2]client.Phase{one.From, one.To})
	}
	return lines, err
}

// BreakState makes every write of the state file fail from now on.
func (m *Manager) BreakState() { m.store.close() }

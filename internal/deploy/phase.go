package deploy

import (
	"fmt"
	"slices"

	"verge/client"
)

// moves is the one table of legal moves. A phase that is not a key is an end. What is
// committed has ended for who deployed it, and may be rolled back all the same. What is
// rolled back to was checked, gated and tested before: it is loaded and activated.
func moves() map[client.Phase][]client.Phase {
	return map[client.Phase][]client.Phase{
		client.PhasePending:    {client.PhaseChecking, client.PhaseLoading, client.PhaseFailed, client.PhaseCanceled},
		client.PhaseChecking:   {client.PhasePreparing, client.PhaseFailed, client.PhaseCanceled},
		client.PhasePreparing:  {client.PhaseLoading, client.PhaseFailed, client.PhaseCanceled},
		client.PhaseLoading:    {client.PhaseGating, client.PhaseActivating, client.PhaseFailed, client.PhaseCanceled},
		client.PhaseGating:     {client.PhaseTesting, client.PhaseFailed, client.PhaseCanceled},
		client.PhaseTesting:    {client.PhaseCanary, client.PhaseActivating, client.PhaseFailed, client.PhaseCanceled},
		client.PhaseCanary:     {client.PhaseActivating, client.PhaseFailed, client.PhaseCanceled},
		client.PhaseActivating: {client.PhaseObserving, client.PhaseCommitted},
		client.PhaseObserving:  {client.PhaseCommitted, client.PhaseRolledBack},
		client.PhaseCommitted:  {client.PhaseRolledBack},
	}
}

// switched reports whether a deployment that stopped in p had already made its
// version the one that serves, so that it is finished rather than ended.
func switched(p client.Phase) bool {
	return p == client.PhaseActivating || p == client.PhaseObserving
}

// checkMove fails when the table does not allow from → to.
func checkMove(from, to client.Phase) error {
	if !slices.Contains(moves()[from], to) {
		return fmt.Errorf("deployment cannot move from %s to %s", from, to)
	}
	return nil
}

package engine

import (
	"context"
	"slices"
	"strings"
	"sync"

	"belay/remote/hold"
	"belay/steps/journal"
)

// lockFindings says which hosts other runs hold. A host that does not answer
// has findings of its own.
func (e *Engine) lockFindings(ctx context.Context) (found []journal.Finding) {
	if e.Hold == nil {
		return nil
	}
	hosts := e.looking()
	var mu sync.Mutex
	e.onHosts(e.hostNames(), func(name string) {
		h, err := hold.Look(ctx, hosts[name])
		if err != nil || h == nil || h.Run == e.Hold.Run {
			return
		}
		f := journal.Finding{
			ID: journal.FindingID(lockCheck, name, ""), Check: lockCheck, Host: name, Level: "block",
			Text: "held by " + h.String(),
			Fix:  `wait until that run is over, or resume it or roll it back where it runs; if nobody works there any more: belay resume, with --break-lock "reason"`,
		}
		if e.BreakLock != "" {
			f.Level, f.Fix = "warn", "its lock will be broken before prepare: "+e.BreakLock
		}
		mu.Lock()
		defer mu.Unlock()
		found = append(found, f)
	})
	slices.SortFunc(found, func(a, b journal.Finding) int { return strings.Compare(a.Host, b.Host) })
	return found
}

const lockCheck = "lock"

// acceptBreaks accepts what the operator gave a reason for beforehand.
func (e *Engine) acceptBreaks(found []journal.Finding) error {
	reasons := map[string]string{lockCheck: e.BreakLock, rehearsalCheck: e.Unrehearsed}
	for _, f := range found {
		reason := reasons[f.Check]
		if f.Level != "warn" || reason == "" {
			continue
		}
		a := journal.Answer{Choice: "accept", Item: f.ID, Reason: reason, By: e.Author, Time: e.Now().UTC()}
		if err := e.append(journal.Event{Type: journal.Accepted, Key: f.ID}, a); err != nil {
			return err
		}
	}
	return nil
}

// toBreak tells whether the findings on record forbid what --break-lock allows.
func (e *Engine) toBreak() bool {
	return e.BreakLock != "" && slices.ContainsFunc(e.Log.State().Findings, func(f journal.Finding) bool {
		return f.Check == lockCheck && f.Level == "block"
	})
}

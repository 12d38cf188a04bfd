package engine

import (
	"maps"
	"strings"

	"belay/steps/journal"
)

const rehearsalCheck = "rehearsal"

// rehearsalFindings is the licence of a run that wants a rehearsal before it.
func (e *Engine) rehearsalFindings(sizes map[string]journal.Size) []journal.Finding {
	if e.Rehearsed == nil {
		return nil
	}
	f := e.Rehearsed(e.known(sizes))
	f.ID, f.Check = journal.FindingID(rehearsalCheck, "", ""), rehearsalCheck
	if f.Level == "block" {
		if reason := e.unrehearsed(); reason != "" {
			f.Level, f.Fix = "warn", withoutRehearsal+reason
		}
	}
	return []journal.Finding{f}
}

const withoutRehearsal = "going on without a rehearsal: "

// unrehearsed is the reason to do without: of the command line, else the one
// that is on record since the run began.
func (e *Engine) unrehearsed() string {
	if e.Unrehearsed != "" {
		return e.Unrehearsed
	}
	if e.Log == nil { // somebody only looks
		return ""
	}
	s := e.Log.State()
	for _, f := range s.Findings {
		if _, accepted := s.Accepted[f.ID]; accepted && f.Check == rehearsalCheck && strings.HasPrefix(f.Fix, withoutRehearsal) {
			return strings.TrimPrefix(f.Fix, withoutRehearsal)
		}
	}
	return ""
}

// practise turns the gate of close into that of a rehearsal: the way back is
// tried first, and close belongs to production.
func practise(q *journal.Question) {
	q.Title = "The way forward is rehearsed. Try the way back?"
	q.Text = "A rehearsal is a licence for production once it went forward and back. Look at the new side as long as you like, then roll back.\n" +
		"Closing instead tries what close does, and leaves the way back untried: production will want another rehearsal."
	for i, o := range q.Options {
		if o.Choice == "rollback" {
			o.Label = "try the way back"
			q.Options[i] = o
		}
	}
}

// known are sizes, and what was seen of steps that have begun since.
func (e *Engine) known(sizes map[string]journal.Size) map[string]journal.Size {
	all := map[string]journal.Size{}
	if e.Log != nil {
		maps.Copy(all, e.Log.State().Sizes)
	}
	maps.Copy(all, sizes)
	return all
}

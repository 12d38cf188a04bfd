package engine

import "belay/steps/journal"

const rehearsalCheck = "rehearsal"

// rehearsalFindings is the licence of a run that wants a rehearsal before it.
func (e *Engine) rehearsalFindings() []journal.Finding {
	if e.Rehearsed == nil {
		return nil
	}
	f := e.Rehearsed()
	f.ID, f.Check = journal.FindingID(rehearsalCheck, "", ""), rehearsalCheck
	if f.Level == "block" && e.Unrehearsed != "" {
		f.Level, f.Fix = "warn", "going on without a rehearsal: "+e.Unrehearsed
	}
	return []journal.Finding{f}
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

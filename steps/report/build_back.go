package report

import (
	"cmp"
	"encoding/json"
	"slices"

	"belay/steps/journal"
)

// owe records the debt that a failed undo leaves, if it leaves one. It takes
// the place of what was owed for the same, as in the fold.
func (b *builder) owe(i int, e journal.Event) {
	var d journal.Debt
	if json.Unmarshal(e.Data, &d) != nil || d.Step == "" {
		return
	}
	b.r.Debts = slices.DeleteFunc(b.r.Debts, func(old Debt) bool {
		return old.Settled.IsZero() && old.Step == d.Step && (d.Host == "" || old.Host == d.Host)
	})
	at := utc(d.Time)
	if at.IsZero() {
		at = b.clock.time[i]
	}
	b.r.Debts = append(b.r.Debts, Debt{Step: d.Step, Title: b.title(d.Step), Host: d.Host, Why: d.Why, Time: at})
}

// settle notes that what was owed has been undone; host "" means on every host.
func (b *builder) settle(i int, step, host string) {
	for k := range b.r.Debts {
		d := &b.r.Debts[k]
		if d.Settled.IsZero() && d.Step == step && (host == "" || d.Host == host) {
			d.Settled = b.clock.time[i]
		}
	}
}

// owed counts the debts that are not settled.
func (r *Report) owed() int {
	n := 0
	for _, d := range r.Debts {
		if d.Settled.IsZero() {
			n++
		}
	}
	return n
}

// finishRollback tells the way back, if there was one.
func (b *builder) finishRollback() {
	var undone []*stepBuild
	for _, s := range b.steps {
		if s.firstUndo >= 0 {
			undone = append(undone, s)
		}
	}
	if b.rollbackAt == 0 && len(undone) == 0 {
		return
	}
	slices.SortStableFunc(undone, func(x, y *stepBuild) int { return cmp.Compare(x.firstUndo, y.firstUndo) })
	r := &Rollback{List: append([]string{}, b.agreed...), Steps: []Undone{}}
	if b.state.Rollback != nil {
		r.By, r.Reason = b.state.Rollback.By, b.state.Rollback.Reason
	}
	begin := b.rollbackAt - 1
	if b.rollbackAt == 0 {
		begin = undone[0].firstUndo
	}
	r.Span = b.clock.open(begin)
	if b.ended {
		r.Span = b.clock.span(begin, len(b.events)-1)
	}
	r.Way, r.Losses = b.way(), b.losses
	for _, s := range undone {
		last := s.Undos[len(s.Undos)-1]
		u := Undone{Step: s.ID, Title: s.Title, Status: s.Status, Tries: len(s.Undos), Span: b.clock.open(s.firstUndo), Errs: last.Errs}
		if last.Outcome != journal.Running {
			u.Span = b.clock.span(s.firstUndo, s.lastUndo)
		}
		for _, try := range s.Undos {
			u.Worked = millis(u.Worked + try.Span.Seconds)
		}
		r.Steps = append(r.Steps, u)
	}
	b.r.Rollback = r
}

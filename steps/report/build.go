package report

import (
	"belay/steps/journal"
	"belay/steps/plan"
)

// Build makes the report of a run from its plan (nil when it is not known) and
// its events, oldest first.
func Build(p *plan.Plan, events []journal.Event, o Options) *Report {
	r := &Report{Format: Format, Record: Record{Events: len(events), Verified: o.Verified, Damage: o.Damage}}
	st := journal.NewState()
	for _, e := range events {
		st.Apply(e)
	}
	r.Run, r.Plan, r.Outcome.Status = st.Run, Plan{Name: st.Plan, Hash: st.PlanHash}, st.Status
	return r
}

package report

import (
	"cmp"
	"encoding/json"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Build makes the report of a run from its plan (nil when it is not known) and
// its events, oldest first.
func Build(p *plan.Plan, events []journal.Event, o Options) *Report {
	b := &builder{
		r: &Report{
			Format: Format, Hosts: []string{}, Sessions: []Session{}, Stages: []Stage{}, Steps: []Step{},
			Questions: []Question{}, Soak: []Watch{}, Debts: []Debt{}, Notes: []Note{},
		},
		plan: p, events: events, clock: newClock(events), state: journal.NewState(),
		stepOf: map[string]*stepBuild{}, asked: map[string]int{}, touched: map[string]int{}, decided: len(events) - 1,
	}
	b.planned()
	for i, e := range events {
		b.state.Apply(e)
		b.event(i, e)
	}
	b.head()
	b.finishStages()
	b.finishSteps()
	b.finishFindings()
	b.finishSignoff()
	b.finishSoak()
	b.finishRollback()
	b.finishExpected(o.Expected)
	b.record(o)
	b.r.Outcome = b.outcome() // last: it counts what the others found
	return b.r
}

// builder reads the events once, in order. The fold knows how things stand;
// the builder remembers how they came to that.
type builder struct {
	r      *Report
	plan   *plan.Plan
	events []journal.Event
	clock  *clock
	state  *journal.State

	steps   []*stepBuild // in the order of the plan, then of the events
	stepOf  map[string]*stepBuild
	asked   map[string]int // question id → its place in r.Questions
	askedAt []int          // event that asked it, by that place
	options []journal.Question
	touched map[string]int // sign-off item → event of its last evidence or signature
	decided int            // event that closed the sign-off; the last one while there is none
	verdict string         // of the sign-off: go or no-go
	ended   bool
	looks   int

	soakBegun  int
	soakOpen   bool
	countAt    int
	rollbackAt int // event, counted from 1; 0: none
	losses     []Lost
	agreed     []string
}

func (b *builder) event(i int, e journal.Event) {
	switch e.Type {
	case journal.RunOpened:
		var d journal.Opened
		_ = json.Unmarshal(e.Data, &d) // what does not fit is left out, as the fold does
		b.session(i, d.By, false)
	case journal.RunResumed:
		var by journal.Author
		_ = json.Unmarshal(e.Data, &by)
		b.session(i, by, true)
		b.ended = false
	case journal.RunEnded:
		b.ended = e.Key != ""
	case journal.StageEntered:
		b.r.Stages = append(b.r.Stages, Stage{Stage: journal.Stage(e.Key), Span: b.clock.open(i)})
	case journal.Assessed:
		b.looks++
	case journal.Noted:
		b.r.Notes = append(b.r.Notes, Note{b.clock.time[i], e.Key})
	case journal.RollbackBegun:
		b.rollbackAt, b.ended = i+1, false
		b.enterWay(e.Key)
		b.lose()
	case journal.Asked, journal.Answered, journal.Accepted, journal.Evidence, journal.Signed:
		b.gateEvent(i, e)
	case journal.SoakBegun, journal.Probed, journal.Verdict, journal.Baselined, journal.Counting, journal.Turned:
		b.soakEvent(i, e)
	case journal.StepStarted, journal.StepPassed, journal.StepFailed, journal.StepSkipped, journal.StepUnknown,
		journal.HostDone, journal.UndoStarted, journal.UndoDone, journal.UndoFailed:
		if e.Step != "" {
			b.stepEvent(i, e)
		}
	case journal.Remembered:
		b.remembered(e)
	case journal.StageDone, journal.Losing, journal.Marked, journal.Estimated, journal.Sized, journal.Located, journal.Voided:
		// The fold has it.
	}
}

func (b *builder) session(i int, by journal.Author, resumed bool) {
	b.r.Sessions = append(b.r.Sessions, Session{b.clock.time[i], by, resumed})
}

// head fills in what the run was opened with.
func (b *builder) head() {
	r, st := b.r, b.state
	r.Run, r.Environment, r.Version, r.By = st.Run, st.Environment, st.Version, st.By
	r.Hosts = append(r.Hosts, st.Hosts...)
	r.Rehearsal = len(st.Rehearsal) > 0
	r.Plan.Name, r.Plan.Hash = st.Plan, st.PlanHash
	if n := len(b.events); n > 0 {
		r.Span = b.clock.span(0, n-1)
	}
	p := b.plan
	if p == nil {
		return
	}
	r.Plan.About = p.About
	r.Plan.Name, r.Plan.Hash = cmp.Or(st.Plan, p.Name), cmp.Or(st.PlanHash, p.Hash)
	r.Environment = cmp.Or(st.Environment, p.Environment)
	if p.Hash != r.Plan.Hash {
		r.Plan.Other = p.Hash
	}
	if w := p.Window; w != nil {
		r.Plan.Window = &Span{Begin: utc(w.Start), End: utc(w.Start.Add(w.Length)), Seconds: millis(w.Length.Seconds())}
	}
}

// finishStages gives each stage that was entered its end.
func (b *builder) finishStages() {
	ends := map[journal.Stage]int{}
	begins := map[journal.Stage]int{}
	for i, e := range b.events {
		stage := journal.Stage(e.Key)
		_, begun := begins[stage]
		switch {
		case e.Type == journal.StageEntered && !begun:
			begins[stage] = i
		case e.Type == journal.StageDone && begun:
			ends[stage] = i
		}
	}
	var once []Stage
	for _, s := range b.r.Stages {
		begin, fresh := begins[s.Stage]
		if !fresh {
			continue // entered once more; told already
		}
		delete(begins, s.Stage)
		end, done := ends[s.Stage]
		s.Done = done
		switch last := len(b.events) - 1; {
		case done:
			s.Span = b.clock.span(begin, max(begin, end))
		case b.rollbackAt-1 > begin:
			s.Span = b.clock.span(begin, b.rollbackAt-1)
		case b.ended:
			s.Span = b.clock.span(begin, last)
		}
		once = append(once, s)
	}
	b.r.Stages = append([]Stage{}, once...)
}

// record says what is known about the journal itself.
func (b *builder) record(o Options) {
	rec := Record{Events: len(b.events), Verified: o.Verified && o.Damage == "", Damage: o.Damage, ClockBack: b.clock.jumps}
	if n := len(b.events); n > 0 {
		rec.First, _ = journal.Sum(b.events[0]) // an event that cannot be written has no checksum
		rec.Last, _ = journal.Sum(b.events[n-1])
	}
	b.r.Record = rec
}

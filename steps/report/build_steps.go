package report

import (
	"encoding/json"
	"slices"

	"belay/steps/journal"
)

// stepBuild is a step whose story is being read.
type stepBuild struct {
	Step
	begun, last int  // events; begun is -1 before the first
	attempt     int  // event that began the open attempt
	open        bool // an attempt has no end yet
	undo        int  // event that began the open undo
	firstUndo   int  // -1: none
	lastUndo    int
}

// planned enters the steps of the plan, so that those that were never reached
// are told as well.
func (b *builder) planned() {
	if b.plan == nil {
		return
	}
	for _, s := range b.plan.Steps() {
		b.enterPlanned(s)
	}
}

func (b *builder) enter(s Step) *stepBuild {
	s.Attempts = []Attempt{}
	sb := &stepBuild{Step: s, begun: -1, firstUndo: -1}
	b.steps = append(b.steps, sb)
	b.stepOf[s.ID] = sb
	return sb
}

func (b *builder) title(id string) string {
	if s := b.stepOf[id]; s != nil && s.Title != "" {
		return s.Title
	}
	return id
}

func (b *builder) stepEvent(i int, e journal.Event) {
	s := b.stepOf[e.Step]
	if s == nil {
		s = b.enter(Step{ID: e.Step, Title: e.Step, Stage: b.state.Stage})
	}
	switch e.Type {
	case journal.UndoStarted, journal.UndoDone, journal.UndoFailed:
		b.undoEvent(i, e, s)
		return
	case journal.HostDone:
		s.Hosts = put(s.Hosts, HostResult{e.Host, journal.PassedStatus, b.clock.time[i]})
		return
	}
	if s.begun < 0 {
		s.begun = i
	}
	s.last = i
	switch e.Type {
	case journal.StepStarted:
		var d journal.Started
		_ = json.Unmarshal(e.Data, &d)
		s.Hosts = slices.DeleteFunc(s.Hosts, func(h HostResult) bool { return h.Status == journal.Undone })
		s.Attempts = append(s.Attempts, Attempt{Number: d.Attempt, Span: b.clock.open(i), Outcome: journal.Running, Changes: d.Changes})
		s.attempt, s.open, s.Skipped = i, true, nil
	case journal.StepPassed:
		b.close(i, s, journal.PassedStatus, "")
	case journal.StepFailed:
		b.close(i, s, journal.FailedStatus, e.Err)
	case journal.StepUnknown:
		a := b.current(i, s)
		a.Outcome = journal.Unknown
		a.Broken = append(a.Broken, Note{b.clock.time[i], e.Err})
	case journal.StepSkipped:
		b.skip(i, e, s)
	}
}

// current is the attempt that goes on; a look, when none does.
func (b *builder) current(i int, s *stepBuild) *Attempt {
	if !s.open {
		s.Attempts = append(s.Attempts, Attempt{Span: b.clock.open(i), Outcome: journal.Running})
		s.attempt, s.open = i, true
	}
	return &s.Attempts[len(s.Attempts)-1]
}

func (b *builder) close(i int, s *stepBuild, outcome journal.Status, err string) {
	a := b.current(i, s)
	a.Outcome, a.Err, a.Span = outcome, err, b.clock.span(s.attempt, i)
	s.open = false
}

// skip records who passed a step over: a person, with an answer, or the plan.
func (b *builder) skip(i int, e journal.Event, s *stepBuild) {
	if s.open && s.Attempts[len(s.Attempts)-1].Outcome == journal.Running {
		b.close(i, s, journal.Skipped, "")
	}
	s.open = false // an attempt whose outcome is unknown stays so
	s.Skipped = &Skip{Time: b.clock.time[i], Reason: e.Err}
	if len(e.Data) > 0 {
		a := b.saying(i, e)
		s.Skipped.By, s.Skipped.Reason, s.Skipped.Err = &a.By, a.Reason, e.Err
	}
}

func (b *builder) undoEvent(i int, e journal.Event, s *stepBuild) {
	if s.firstUndo < 0 {
		s.firstUndo = i
	}
	s.lastUndo = i
	if e.Type == journal.UndoStarted || len(s.Undos) == 0 {
		s.Undos = append(s.Undos, Undo{Span: b.clock.open(i), Outcome: journal.Running})
		s.undo = i
	}
	u := &s.Undos[len(s.Undos)-1]
	switch {
	case e.Type == journal.UndoDone && e.Host != "":
		done := HostResult{e.Host, journal.Undone, b.clock.time[i]}
		u.Hosts, s.Hosts = put(u.Hosts, done), put(s.Hosts, done)
		b.settle(i, e.Step, e.Host)
	case e.Type == journal.UndoDone:
		u.Outcome, u.Span = journal.Undone, b.clock.span(s.undo, i)
		b.settle(i, e.Step, "")
	case e.Type == journal.UndoFailed:
		u.Outcome, u.Span = journal.UndoFailedSt, b.clock.span(s.undo, i)
		u.Errs = append(u.Errs, HostErr{e.Host, e.Err})
		b.owe(i, e)
	}
}

// put sets a host's result, in the place that it has.
func put(all []HostResult, h HostResult) []HostResult {
	for i := range all {
		if all[i].Host == h.Host {
			all[i] = h
			return all
		}
	}
	return append(all, h)
}

// finishSteps takes from the fold how each step stands.
func (b *builder) finishSteps() {
	for _, s := range b.steps {
		st := b.state.Step(s.ID)
		s.Status, s.Already = st.Status, st.Already && st.Status == journal.PassedStatus
		if s.begun >= 0 {
			s.Span = b.clock.span(s.begun, s.last)
			if s.open {
				s.Span = b.clock.open(s.begun)
			}
		}
		b.r.Steps = append(b.r.Steps, s.Step)
	}
}

// remembered takes the result of a comparison; what other steps remember is
// for their undo only.
func (b *builder) remembered(e journal.Event) {
	s := b.stepOf[e.Step]
	if s == nil || s.Kind != "compare" || e.Key != "compare" {
		return
	}
	c := &Compared{Times: 1}
	if json.Unmarshal(e.Data, &c.Result) != nil {
		return // as the fold does
	}
	if s.Compared != nil {
		c.Times = s.Compared.Times + 1
	}
	s.Compared = c
}

package journal

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// NewState returns the state of a run in which nothing has happened.
func NewState() *State {
	return &State{
		Stage: Assess, Status: Assessing, base: Assessing,
		Reached: map[Stage]time.Time{}, Done: map[Stage]time.Time{},
		Accepted: map[string]Answer{}, Sizes: map[string]Size{}, Steps: map[string]*StepState{},
		Items: map[string]*ItemState{}, Soak: newSoak(), Losses: map[string]Losses{},
	}
}

// Apply folds one event into the state. It is the only reducer. Data that does
// not fit its type is ignored: the checksum has vouched for the line, so it
// can only come from a newer belay.
func (s *State) Apply(e Event) {
	s.Seq, s.Last = e.Seq, e.Time
	switch e.Type {
	case RunOpened:
		_ = json.Unmarshal(e.Data, &s.Opened)
		s.Begun = e.Time
		s.prepared(s.By)
	case RunResumed:
		s.ended = ""
		var by Author
		if json.Unmarshal(e.Data, &by) == nil {
			s.prepared(by)
		}
		s.note(e.Time, "resumed")
	case StageEntered:
		s.enter(Stage(e.Key), e.Time)
	case StageDone:
		s.Done[Stage(e.Key)] = e.Time
		if Stage(e.Key) == Soak {
			s.Soak.Said = nil
		}
	case Assessed:
		s.Findings = nil
		_ = json.Unmarshal(e.Data, &s.Findings)
		s.AssessedAt = e.Time
	case Accepted:
		s.Accepted[e.Key] = answerOf(e)
		s.prepared(s.Accepted[e.Key].By)
	case Estimated:
		s.Estimates = e.Data
	case Sized:
		_ = json.Unmarshal(e.Data, &s.Sizes) // adds to what is known
	case Located:
		s.Places = nil
		_ = json.Unmarshal(e.Data, &s.Places)
	case Noted:
		s.note(e.Time, e.Key)
	case RollbackBegun:
		a := answerOf(e)
		s.Rollback, s.Way, s.ended, s.Soak.Countdown = &a, e.Key, "", nil
		s.Turning, s.Soak.Said = nil, nil
	case RunEnded:
		s.ended = Status(e.Key)
	case Losing:
		var d Losses
		if json.Unmarshal(e.Data, &d) == nil && e.Step != "" {
			s.Losses[e.Step] = d
		}
	case Asked, Answered, Evidence, Signed, Voided:
		s.applyGate(e)
	case SoakBegun, Probed, Verdict, Baselined, Marked, Counting, Turned:
		s.applySoak(e)
	default:
		s.applyStep(e)
	}
	s.settle()
}

func (s *State) enter(stage Stage, at time.Time) {
	s.Stage = stage
	if s.Reached[stage].IsZero() {
		s.Reached[stage] = at
	}
	s.base = map[Stage]Status{
		Assess: Assessing, Prepare: Preparing, Signoff: Held, Cutover: CuttingOver, Soak: Soaking, Close: Closing,
	}[stage]
}

// prepared remembers who had a hand in the run until prepare was done.
func (s *State) prepared(by Author) {
	if s.Done[Prepare].IsZero() && by != (Author{}) && !slices.Contains(s.Prepared, by) {
		s.Prepared = append(s.Prepared, by)
	}
}

func (s *State) note(at time.Time, text string) { s.Notes = append(s.Notes, Note{at, text}) }

func (s *State) applyStep(e Event) {
	if e.Step == "" {
		return
	}
	st := s.Steps[e.Step]
	if st == nil {
		st = &StepState{ID: e.Step, Stage: s.Stage, Status: Pending}
		s.Steps[e.Step] = st
	}
	switch e.Type {
	case StepStarted:
		for h, now := range st.Hosts {
			if now == Undone {
				delete(st.Hosts, h)
			}
		}
		var d Started
		_ = json.Unmarshal(e.Data, &d)
		st.Status, st.Attempt, st.Changes, st.Started, st.Ended, st.Err = Running, d.Attempt, d.Changes, e.Time, time.Time{}, ""
		st.Stage, st.Took, st.Failed = s.Stage, 0, false
		size := SizeOf(d.Changes)
		st.Size = Size{max(st.Size.Bytes, size.Bytes), max(st.Size.Rows, size.Rows)}
	case HostDone:
		if st.Hosts == nil {
			st.Hosts = map[string]Status{}
		}
		st.Hosts[e.Host] = PassedStatus
	case StepPassed:
		var d Passed
		_ = json.Unmarshal(e.Data, &d)
		st.Status, st.Ended, st.Err, st.Already, st.Took, st.Failed = PassedStatus, e.Time, "", d.Already, d.Took, false
	case StepFailed:
		st.Status, st.Ended, st.Err, st.Failed = FailedStatus, e.Time, e.Err, true
	case StepSkipped:
		st.Status, st.Ended = Skipped, e.Time
		if e.Err != "" {
			st.Err = e.Err
		}
		if len(e.Data) > 0 {
			a := answerOf(e)
			st.Reason = &a
		}
	case StepUnknown:
		st.Status, st.Err = Unknown, e.Err
	case Remembered:
		st.remember(e)
	case UndoStarted, UndoDone, UndoFailed:
		s.applyUndo(st, e)
	}
	st.shown = st.Status
}

func (st *StepState) remember(e Event) {
	if st.Memory == nil {
		st.Memory = map[string]map[string]json.RawMessage{}
	}
	if st.Memory[e.Host] == nil {
		st.Memory[e.Host] = map[string]json.RawMessage{}
	}
	st.Memory[e.Host][e.Key] = e.Data
}

func (s *State) applyUndo(st *StepState, e Event) {
	switch e.Type {
	case UndoStarted:
		st.Undoing, st.Status, st.UndoStarted = true, Running, e.Time
	case UndoDone:
		s.settleDebt(e.Step, e.Host)
		if e.Host != "" {
			if st.Hosts == nil {
				st.Hosts = map[string]Status{}
			}
			st.Hosts[e.Host] = Undone
		} else {
			var d Passed
			_ = json.Unmarshal(e.Data, &d)
			st.Undoing, st.Status, st.UndoEnded, st.UndoTook = false, Undone, e.Time, d.Took
		}
	case UndoFailed:
		var d Debt
		if json.Unmarshal(e.Data, &d) == nil && d.Step != "" {
			s.settleDebt(d.Step, d.Host)
			s.Debts = append(s.Debts, d)
		}
		st.Undoing, st.Status, st.Err, st.UndoEnded = false, UndoFailedSt, e.Err, e.Time
	}
}

// settleDebt strikes the debts of a step; host "" strikes them on every host.
func (s *State) settleDebt(step, host string) {
	s.Debts = slices.DeleteFunc(s.Debts, func(d Debt) bool {
		return d.Step == step && (host == "" || d.Host == host)
	})
}

func (s *State) applyGate(e Event) {
	switch e.Type {
	case Asked:
		var q Question
		_ = json.Unmarshal(e.Data, &q)
		s.Questions = append(s.Questions, q)
	case Answered:
		a := answerOf(e)
		s.Answers = append(s.Answers, a)
		s.decided(e.Key, a)
		s.Soak.answered(a)
		s.PastClose = s.PastClose || a.Choice == "close"
		s.passSafe(e.Key, a)
		s.Questions = slices.DeleteFunc(s.Questions, func(q Question) bool { return q.ID == e.Key })
		s.prepared(a.By)
		s.applyVoid(e)
	case Voided:
		s.applyVoid(e)
	case Evidence:
		var it ItemState
		_ = json.Unmarshal(e.Data, &it)
		if old := s.Items[it.ID]; old != nil {
			it.Signed, it.Voided = old.Signed, old.Voided
		}
		s.Items[it.ID] = &it
	case Signed:
		a := answerOf(e)
		a.Seq = e.Seq
		s.Answers = append(s.Answers, a)
		it := s.Items[e.Key]
		if it == nil {
			it = &ItemState{ID: e.Key}
			s.Items[e.Key] = it
		}
		it.Signed = append(it.Signed, a)
		it.OK, it.Time = true, e.Time
	}
}

// decided takes note of an answer whose carrying out is an event of its own, so
// that it is not lost where belay ends between the two.
func (s *State) decided(question string, a Answer) {
	i := slices.IndexFunc(s.Questions, func(q Question) bool { return q.ID == question })
	if i < 0 || a.Choice == "withdrawn" {
		return
	}
	switch kind := s.Questions[i].Kind; {
	case kind == AskRollback && a.Choice == "back":
		s.Turning = nil
	case question == s.ranOut: // nobody's word: belay looks again
	case kind == AskRollback, a.Choice == "rollback":
		s.Turning = &a
	case kind == AskSoak && (a.Choice == "accept" || a.Choice == "extend"):
		s.Soak.Said = &a
	}
}

// passSafe takes note of a decision to go on with the cutover.
func (s *State) passSafe(question string, a Answer) {
	for _, q := range s.Questions {
		on := q.Kind == AskCutover && (a.Choice == "go" || a.Choice == "break-glass") || q.Kind == AskLastSafe && a.Choice == "on"
		if q.ID == question && on && a.Time.After(s.PastSafe) {
			s.PastSafe = a.Time
		}
	}
}

// settle derives the run's status, and which steps wait for a person, from
// what is open.
func (s *State) settle() {
	for _, id := range s.waiting {
		if st := s.Steps[id]; st.Status == WaitingYou {
			st.Status = st.shown
		}
	}
	s.waiting = s.waiting[:0]
	s.Status = s.base
	if s.Rollback != nil {
		s.Status = RollingBack
	}
	for _, q := range s.Questions {
		if st := s.Steps[q.Step]; st != nil && st.Status != FailedStatus && st.Status != UndoFailedSt && st.Status != Unknown {
			st.Status = WaitingYou
			s.waiting = append(s.waiting, st.ID)
		}
		if q.Kind == AskSignoff || q.Kind == AskCutover {
			s.Status = Held
			continue
		}
		s.Status = NeedsYou
	}
	if s.ended != "" {
		s.Status = s.ended
	}
}

// Clone returns a copy that shares nothing changeable with s.
func (s *State) Clone() *State {
	c := *s
	c.waiting = slices.Clone(s.waiting)
	c.Reached, c.Done = maps.Clone(s.Reached), maps.Clone(s.Done)
	c.Sizes = maps.Clone(s.Sizes)
	c.Findings, c.Accepted = slices.Clone(s.Findings), maps.Clone(s.Accepted)
	c.Questions, c.Answers = slices.Clone(s.Questions), slices.Clone(s.Answers)
	c.Debts, c.Notes = slices.Clone(s.Debts), slices.Clone(s.Notes)
	c.Places, c.Prepared = maps.Clone(s.Places), slices.Clone(s.Prepared)
	c.Soak.Probes, c.Losses = maps.Clone(s.Soak.Probes), maps.Clone(s.Losses)
	c.Soak.Looks, c.Soak.Memory = maps.Clone(s.Soak.Looks), maps.Clone(s.Soak.Memory)
	c.Soak.Baseline, c.Soak.BaseLooks = maps.Clone(s.Soak.Baseline), maps.Clone(s.Soak.BaseLooks)
	c.Steps = make(map[string]*StepState, len(s.Steps))
	for id, st := range s.Steps {
		d := *st
		d.Hosts = maps.Clone(st.Hosts)
		d.Memory = make(map[string]map[string]json.RawMessage, len(st.Memory))
		for h, m := range st.Memory {
			d.Memory[h] = maps.Clone(m)
		}
		c.Steps[id] = &d
	}
	c.Items = make(map[string]*ItemState, len(s.Items))
	for id, it := range s.Items {
		d := *it
		d.Signed, d.Voided = slices.Clone(it.Signed), slices.Clone(it.Voided)
		c.Items[id] = &d
	}
	return &c
}

func answerOf(e Event) Answer {
	var a Answer
	_ = json.Unmarshal(e.Data, &a)
	return a
}

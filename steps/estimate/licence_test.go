package estimate

import (
	"strings"
	"testing"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// rehearsal is a run of the plan as a rehearsal, forward and back.
func rehearsal(p *plan.Plan, change func(s *journal.State)) *journal.State {
	s := past("shop", true, map[string]int{"one": 10, "two": 60, "three": 20, "four": 1, "five": 2})
	s.Run, s.Version, s.Rehearsal = "r1", "v1", p.Parts
	s.Reached[journal.Prepare], s.Done[journal.Cutover] = begin, begin.Add(5*time.Minute)
	s.Last = begin.Add(time.Hour)
	s.Apply(journal.Event{Seq: s.Seq + 1, Time: s.Last, Type: journal.RollbackBegun, Data: []byte(`{"choice":"go"}`)})
	s.Apply(journal.Event{Seq: s.Seq + 1, Time: s.Last, Type: journal.RunEnded, Key: string(journal.RolledBack)})
	change(s)
	return s
}

func TestLicensed(t *testing.T) {
	p := load(t)
	p.Rehearsal = &plan.Rehearsal{MaxAge: 30 * 24 * time.Hour}
	now := begin.Add(48 * time.Hour)
	for _, c := range []struct {
		name     string
		change   func(s *journal.State)
		ok, warn bool
		says     string
	}{
		{"whole", func(*journal.State) {}, true, false, "forward in 5:00"},
		{"another plan's", func(s *journal.State) { s.Plan = "blog" }, false, false, "not rehearsed yet"},
		{"a run that counted", func(s *journal.State) { s.Rehearsal = nil }, false, false, "not rehearsed yet"},
		{"changed since", func(s *journal.State) {
			s.Rehearsal = append([]journal.Part{{Name: "prepare: Zero", Sum: "0"}}, p.Parts...)
		}, false, false, "1 thing differs"},
		{"another order", func(s *journal.State) {
			other := append([]journal.Part{}, p.Parts...)
			other[1], other[2] = other[2], other[1]
			s.Rehearsal = other
		}, false, false, "was of another plan"},
		{"broke off", func(s *journal.State) { delete(s.Done, journal.Cutover) }, false, false, "did not come to the end of cutover"},
		{"closed", func(s *journal.State) { s.Rollback, s.Status = nil, journal.Closed }, false, false, "did not try the way back"},
		{"half-way back", func(s *journal.State) { s.Status = journal.Stopped }, false, false, "did not come to the end of the way back"},
		{"in debt", func(s *journal.State) { s.Debts = []journal.Debt{{Step: "two", Host: "a"}} }, false, false, "could not undo everything: two"},
		{"old", func(s *journal.State) { s.Last = now.Add(-31 * 24 * time.Hour) }, false, false, "too old"},
		{"another belay", func(s *journal.State) { s.Version = "v0" }, true, true, "rehearsed"},
		{"failed, passed over and undone", func(s *journal.State) { s.Steps["four"].Reason = &journal.Answer{Reason: "known"} }, true, true, "rehearsed"},
		{"passed over", func(s *journal.State) { s.Steps["four"].Status = journal.Skipped }, true, true, "rehearsed"},
	} {
		l := Licensed(p, []*journal.State{past("shop", true, nil), rehearsal(p, c.change)}, "v1", now, nil)
		if l.OK != c.ok || l.Warn != c.warn || !strings.Contains(l.Text, c.says) {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
	// An older one that holds counts more than a newer one that does not.
	bad := rehearsal(p, func(s *journal.State) { s.Last = now; delete(s.Done, journal.Cutover) })
	if l := Licensed(p, []*journal.State{bad, rehearsal(p, func(*journal.State) {})}, "v1", now, nil); !l.OK {
		t.Errorf("%+v", l)
	}
}

// The licence says what the rehearsal moved, and what is here.
func TestLicenceComparesSizes(t *testing.T) {
	p := load(t)
	now := begin.Add(48 * time.Hour)
	one := rehearsal(p, func(s *journal.State) { s.Steps["one"].Size = journal.Size{Bytes: 1200 << 20, Rows: 9} })
	for _, c := range []struct {
		name         string
		here         map[string]journal.Size
		text, detail string
	}{
		{"far more", map[string]journal.Size{"one": {Bytes: 40 << 30}}, "rehearsed with 1.2 GiB, here 40.0 GiB: the times are scaled, and a guess",
			"One: rehearsed with 1.2 GiB, here 40.0 GiB: the time is scaled from 0:10 to ~5:41, a guess"},
		{"as much", map[string]journal.Size{"one": {Bytes: 1201 << 20}}, "", "One: rehearsed with 1.2 GiB, here 1.2 GiB"},
		{"not known", nil, "", "data in the rehearsal: 1.2 GiB; how much is here is not known yet"},
	} {
		l := Licensed(p, []*journal.State{one}, "v1", now, c.here)
		if !l.OK || l.Warn || !strings.Contains(strings.Join(l.Detail, "\n"), c.detail) || !strings.Contains(l.Text, c.text) || (c.text == "") == strings.Contains(l.Text, "here") {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

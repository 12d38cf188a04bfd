package tui

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/steps"
	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

// wayPlan is the plan of the other moments with two ways back.
func wayPlan() *plan.Plan {
	p := chatPlan()
	off := st(journal.GoingBack, "run", "off", "Maintenance on", "Nobody writes while it is exported.", oneway{})
	export := st(journal.GoingBack, "postgres.dump", "export", "Export what was written since the cutover", "It is looked through by hand.", oneway{})
	export.On = []string{"db"}
	on := st(journal.GoingBack, "run", "on", "Maintenance off", "", oneway{})
	say := st(journal.GoingBack, "manual", "say", "Say what could not be merged", "", oneway{})
	say.On = nil
	p.Ways = []plan.Way{
		{Name: "emergency", About: "The old chat at once, as it was before.", Loses: "Everything that was written since the cutover.", From: journal.Cutover},
		{Name: "graceful", About: "Nobody writes meanwhile; what was written is exported first.", Loses: "What cannot be merged by hand. The export stays.",
			From: journal.Cutover, Before: one(off, export), After: one(on, say)},
	}
	return p
}

func askWaysMoment() *fakeSession {
	f := failedMoment()
	f.plan = wayPlan()
	name := journal.Option{Type: "chat", Needs: "name reason", Danger: true}
	emergency, graceful := name, name
	emergency.Choice, emergency.Label = "emergency", "roll back: emergency"
	graceful.Choice, graceful.Label = "graceful", "roll back: graceful"
	return asks(f, journal.Question{Kind: journal.AskRollback, Title: "Roll back?", Items: []string{"Start Fluxer (chat)", "Stop Stoat Chat (chat)", "Build the frontend (chat)"},
		Text:    "3 steps will be undone, last first.\nThese have no way back and stay as they are: Run 60 migrations.",
		Options: []journal.Option{emergency, graceful, {Choice: "back", Label: "do not roll back; return to the run"}, stopHere}})
}

func onTheWayMoment() *fakeSession {
	f := rollbackMoment()
	f.plan = wayPlan()
	s := f.st
	s.Way, s.Rollback.Choice = "graceful", "graceful"
	pass(s, "off", 60*time.Second, 3*time.Second)
	s.Steps["export"] = &journal.StepState{ID: "export", Status: journal.Running, Attempt: 1, Started: noon.Add(-40 * time.Second)}
	for _, id := range []string{"start", "stop", "migrations", "frontend"} {
		s.Steps[id].Undoing, s.Steps[id].UndoStarted, s.Steps[id].UndoEnded = false, time.Time{}, time.Time{}
	}
	pass(s, "frontend", 6*time.Minute, 2*time.Minute)
	pass(s, "migrations", 6*time.Minute, 3*time.Minute)
	pass(s, "stop", 3*time.Minute, 4*time.Second)
	s.Steps["start"].Status, s.Steps["start"].Err = journal.FailedStatus, "docker compose up: exit status 1"
	s.Debts = nil
	f.logs["export"] = []run.Line{{Text: "pg_dump: dumping contents of table \"messages\""}}
	return f
}

func waySoakMoment() *fakeSession {
	f := soakMoment()
	f.plan = lossPlan()
	s := f.st
	s.Losses = map[string]journal.Losses{"copy": {At: noon.Add(-3 * time.Minute), Of: []journal.Loss{{Store: "database chat at 127.0.0.1:5432 on db", Count: 1204, Unit: "rows",
		Since: "since it was copied", Detail: "public.messages 1200 added; public.users 4 changed", Kept: "the database is set aside, not dropped"}}},
		"sessions": {At: noon, Err: "redis at 127.0.0.1:6380 on chat: connection refused"}}
	for _, id := range []string{"copy", "sessions", "uploads"} {
		pass(s, id, 9*time.Minute, 2*time.Second)
	}
	return f
}

// fillsStore is a step whose store people write to.
type fillsStore struct{ way }

func (fillsStore) Losses(context.Context, steps.Env) ([]steps.Loss, error) { return nil, nil }

func lossPlan() *plan.Plan {
	p := wayPlan()
	p.Prepare = append(p.Prepare, one(st(journal.Prepare, "postgres.copy", "copy", "Copy the database", "", fillsStore{}),
		st(journal.Prepare, "redis.copy", "sessions", "Copy the sessions", "", fillsStore{}),
		st(journal.Prepare, "files.sync", "uploads", "Copy the uploads", "", fillsStore{}))...)
	return p
}

func askLossMoment() *fakeSession {
	f, q := waySoakMoment(), askWaysMoment().st.Questions[0]
	return asks(f, q)
}

func init() {
	moments["askways"], moments["ontheway"], moments["waysoak"], moments["asklosses"] = askWaysMoment, onTheWayMoment, waySoakMoment, askLossMoment
	moments["held"] = heldMoment
	goldenKeys["asklosses"] = []string{"enter"}
	goldenKeys["askways"] = []string{"enter"}
}

// What was measured looks like it, and what was not does not.
func TestWaysSayHowLongTheyTake(t *testing.T) {
	sec := func(n int) estimate.Took {
		d := time.Duration(n) * time.Second
		return estimate.Took{Runs: 2, Median: d, Worst: 2 * d}
	}
	f := askWaysMoment()
	o := Options{Estimates: estimate.Estimates{Runs: 2,
		Back:    map[string]estimate.Took{"start": sec(9), "stop": sec(4), "frontend": sec(1), "checkout": sec(1), "archive": sec(1)},
		Forward: map[string]estimate.Took{"off": sec(3), "export": sec(60)}}}
	got := drive(t, f, 120, 60, o).press("enter").screen()
	for _, want := range []string{"about 0:16, at worst 0:32 (measured)", "~1:19 or more, a guess: 2 of 9 steps never measured"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q:\n%s", want, got)
		}
	}
}

func TestAWayIsChosenByItsLetter(t *testing.T) {
	f := askWaysMoment()
	r := drive(t, f, 100, 40, Options{})
	r.press("enter", "g").write("chat").press("tab").write("too slow").press("tab").write("Vish").press("ctrl+y")
	want := []journal.Answer{{Question: "q9", Choice: "graceful", Text: "chat", Reason: "too slow", By: by("Vish"), Time: noon}}
	if d := cmp.Diff(want, f.answers); d != "" {
		t.Errorf("%s\n%s", d, r.screen())
	}
}

// The steps of the way that is taken stand among the others, and what runs can
// be ended.
func TestOnTheWayBack(t *testing.T) {
	r := drive(t, onTheWayMoment(), 100, 40, Options{})
	if got := r.screen(); !strings.Contains(got, "belay is running “Export what was written since") {
		t.Errorf("%s", got)
	}
	r.press("[", "[", "[", "[")
	if got := r.screen(); !strings.Contains(got, "Say what could not be merged") || !strings.Contains(got, "dumping contents of table") {
		t.Errorf("steps:\n%s", got)
	}
	if got := r.press("x").screen(); !strings.Contains(got, "end the running commands now") || strings.Contains(got, "asks again before it undoes") {
		t.Errorf("x:\n%s", got)
	}
}

func TestPlainSaysTheWays(t *testing.T) {
	out, err := plainRun(t, closes(askWaysMoment()), "1\nchat\nbecause\nVish\n")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plain.ways", out)
}

// A run that is held says whether it is ready, and why not.
func TestHeldSaysWhyItIsNotReady(t *testing.T) {
	f := heldMoment()
	f.edit(func(s *journal.State) {
		s.Items = map[string]*journal.ItemState{"prepared": {ID: "prepared", Machine: true, Evidence: "3 rows differ in orders", Time: noon.Add(-2 * time.Minute)}}
	})
	drive(t, f, 100, 40, Options{}).shows("NOT READY: Everything is prepared: 3 rows differ in orders, seen 2 min ago", "window")
	f = heldMoment()
	f.plan.Window.Start = noon.Add(time.Hour)
	drive(t, f, 100, 40, Options{}).shows("opens in 1h 00m; cutting over before wants a reason")
}

func heldMoment() *fakeSession {
	f := cutoverMoment()
	f.st.Questions[0].Options = append(f.st.Questions[0].Options[:1:1], append([]journal.Option{{Choice: "recheck", Label: "prove the checklist again now"}}, f.st.Questions[0].Options[1:]...)...)
	return f
}

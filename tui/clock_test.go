package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"belay/steps"
	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
)

// lanesMoment is in the middle of a cutover with lanes, the first of which
// decides when it ends.
func lanesMoment() *fakeSession {
	f := prepareMoment()
	reach(f.st, journal.Assess, journal.Prepare, journal.Signoff, journal.Cutover)
	f.st.Status = journal.CuttingOver
	p := *f.plan
	files := st(journal.Cutover, "files.sync", "files", "Copy the last files", "Uploads of the last hour.", way{})
	check := st(journal.Cutover, "compare", "compare", "Compare the databases", "", way{})
	check.Takes = 2 * time.Minute
	stop, start, mail := p.Step("stop"), p.Step("start"), p.Step("mail")
	p.Cutover = append(one(stop), plan.Group{Lanes: []plan.Lane{{Steps: []*plan.Step{start, check}}, {Steps: []*plan.Step{files}}}})
	p.Cutover = append(p.Cutover, one(mail)...)
	f.plan = &p
	for _, id := range []string{"archive", "checkout", "frontend", "migrations"} {
		pass(f.st, id, 6*time.Minute, 2*time.Minute)
	}
	pass(f.st, "stop", 3*time.Minute, 4*time.Second)
	f.st.Steps["start"] = &journal.StepState{ID: "start", Status: journal.Running, Attempt: 1, Started: noon.Add(-60 * time.Second)}
	f.st.Steps["files"] = &journal.StepState{ID: "files", Status: journal.Running, Attempt: 1, Started: noon.Add(-20 * time.Second),
		Size: journal.Size{Bytes: 40 << 30}}
	f.live.Progress = map[string]map[string]steps.Progress{"files": {"chat": {Done: 30 << 30, Total: 40 << 30, Unit: "B", Text: "uploads"}}}
	return f
}

// clocked are earlier runs of that plan: nothing is a guess but the compare.
func clocked() Options {
	took := func(median, worst time.Duration) estimate.Took {
		return estimate.Took{Runs: 2, Median: median, Worst: worst}
	}
	moved := took(30*time.Second, 30*time.Second)
	moved.Moved = []estimate.Sample{{Took: 30 * time.Second, Size: journal.Size{Bytes: 12 << 30}}}
	return Options{Estimates: estimate.Estimates{Runs: 2,
		Forward: map[string]estimate.Took{"stop": took(4*time.Second, 9*time.Second), "start": took(5*time.Minute, 8*time.Minute), "files": moved, "mail": took(time.Second, time.Second)},
		Back: map[string]estimate.Took{"archive": took(0, 0), "checkout": took(0, 0), "frontend": took(0, 0), "stop": took(time.Minute, time.Minute),
			"start": took(2*time.Minute, 3*time.Minute), "files": took(time.Second, time.Second), "compare": took(0, 0)},
	}}
}

func TestTheEndIsForetold(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		r := drive(t, lanesMoment(), size[0], size[1], clocked())
		golden(t, fmt.Sprintf("clock.%dx%d", size[0], size[1]), ansi.Strip(r.m.View().Content))
	}
	measured := clocked()
	measured.Estimates.Forward["compare"] = estimate.Took{Runs: 2, Median: time.Minute, Worst: 2 * time.Minute}
	measured.Env = []string{"NO_COLOR=1", "TERM=linux"} // ASCII
	r := drive(t, lanesMoment(), 80, 24, measured)
	screen := ansi.Strip(r.m.View().Content)
	for _, want := range []string{"ends about 22:19, at worst 22:23", "#1 Start Fluxer", "on the critical path"} {
		if !strings.Contains(screen, want) {
			t.Errorf("%q is not on the screen:\n%s", want, screen)
		}
	}
	r.press("j", "j") // the reader looks at the other lane
	if screen = ansi.Strip(r.m.View().Content); !strings.Contains(screen, "took 0:30 before with 12.0 GiB, ~1:40 (guess)") || !strings.Contains(screen, "|2 Copy the last files") {
		t.Errorf("the sizes are not compared:\n%s", screen)
	}
	r.now = noon.Add(24 * time.Minute) // the last safe moment was at about 22:36
	for range 10 {
		r.send(tickMsg{})
	}
	screen = ansi.Strip(r.m.View().Content)
	for _, want := range []string{"too late to turn back", "you are asked before the next step", "(guess)"} {
		if !strings.Contains(screen, want) {
			t.Errorf("%q is not on the screen:\n%s", want, screen)
		}
	}
}

// safeMoment asks whether to go on past the last safe moment.
func safeMoment() *fakeSession {
	f := lanesMoment()
	pass(f.st, "start", 4*time.Minute, 3*time.Minute)
	pass(f.st, "files", 4*time.Minute, 3*time.Minute)
	f.plan.Window.Start = noon.Add(-38 * time.Minute)
	f.st.Status = journal.NeedsYou
	f.st.Questions = []journal.Question{{ID: "q7", Kind: journal.AskLastSafe, Title: "The last safe moment to turn back has passed",
		Text:    "It was 22:12:30 UTC: a rollback that begins later will, by the longest that it ever took, not be over 4m30s before the window ends at 22:21 UTC.\n\"Compare the databases\" has not begun, and nothing else begins; what runs goes on.",
		Items:   []string{"still to do: Compare the databases", "still to do: Tell the users by mail"},
		Options: []journal.Option{{Choice: "on", Label: "go on past it", Needs: "reason", Danger: true}, {Choice: "rollback", Label: "go back now", Danger: true}, {Choice: "stop", Label: "stop here; resume later"}}}}
	return f
}

func TestLastSafeQuestion(t *testing.T) {
	r := drive(t, safeMoment(), 80, 24, clocked())
	r.press("enter")
	golden(t, "lastsafe.80x24", ansi.Strip(r.m.View().Content))
	f := closes(safeMoment())
	out, err := plainRun(t, f, "1\nnearly done\nVish\nyes\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.answers) != 1 || f.answers[0].Choice != "on" || f.answers[0].Reason != "nearly done" {
		t.Errorf("answered %+v", f.answers)
	}
	golden(t, "plain.lastsafe", out)
}

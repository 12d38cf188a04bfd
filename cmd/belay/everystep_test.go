package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// failEveryStep plants a failure in every step of a plan in turn, rolls back,
// and wants the world to be what it was. One world serves all failures, as a
// rollback restores it, so the servers are started once:
//
//	l := dockerlab.Up(t, …)
//	failEveryStep(t, everyStep{
//		plan: text, overlay: overlay, host: "chat",
//		env:   []string{"BELAY_SSH_CONFIG=" + l.SSHConfig()},
//		world: func(t *testing.T) string { return l.Exec("chat", "curl -fsS …; sha256sum …") },
//	})
//
// A step fails in two ways: after, when all that it does was done; and during,
// when the middle one of the changes that it makes was made and no answer comes
// any more. (A change is a command that is not Pure, or a request over a dialled
// connection that is a POST, PUT or DELETE; how many a step makes is counted in
// the first run, which fails in the last step.) With BELAY_CRASH_ALL=1 all are
// tried; with BELAY_CRASH_ALL=paragraphs a step that the plan writes once for
// several values (each) fails once during, for the first of them, and once
// after, for the last. Both go in parts with BELAY_CRASH_PART=K/N. Else it is
// `tries` of them, spread over the whole plan.
func failEveryStep(t *testing.T, w everyStep) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plan.yaml"), w.plan)
	write(t, filepath.Join(dir, "overlay.yaml"), w.overlay)
	p, err := plan.LoadFile(filepath.Join(dir, "plan.yaml"), filepath.Join(dir, "overlay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.before = w.world(t)
	begun, tried, none := time.Now(), 0, 0
	for i, at := range w.points(t, p) {
		if at.when == "during" && w.changes != nil && w.changes[at.step] == 0 {
			none++
			continue
		}
		t.Run(at.step+" "+at.when, func(t *testing.T) {
			if err := w.fail(t, p, at); err != nil {
				t.Error(err)
			}
		})
		if tried++; t.Failed() {
			return // the world is not what it was: what follows would say nothing
		}
		if i == 0 && testing.Verbose() {
			t.Logf("changes that each step makes: %v", w.changes)
		}
	}
	t.Logf("%d failures planted in %d steps, in %s; %d more in the middle of what changes nothing", tried, len(p.Steps()), time.Since(begun).Round(time.Second), none)
}

// everyStep is a plan in a world of its own.
type everyStep struct {
	plan    string   // its text; shipped.Read has the shipped ones
	overlay string   // what differs in this world
	host    string   // what is typed at the gates
	answers []string // besides labAnswers: "  - {question: manual, choice: done, text: seen}"
	way     string   // what is chosen when the rollback is asked for; "": go
	env     []string // BELAY_SSH_CONFIG, and secrets
	// world says what a user of the old service sees: its answers and its data.
	// It must say the same before the first run and after every rollback; it may
	// wait for what takes a moment to come up.
	world func(t *testing.T) string
	// settle, if set, takes away after a rollback what that leaves by its nature
	// (an archive, say), so that the next run finds what the first one found.
	settle func(t *testing.T)
	// idle are steps that have nothing to do in this world, so that none fails.
	idle []string
	// tries is how many failures are planted without BELAY_CRASH_ALL=1, at
	// least 1; 0: all.
	tries int

	before  string
	changes map[string]int // by step, as counted in the first run
}

// failPoint is where a failure is planted.
type failPoint struct{ step, when string } // when: during or after

// points are the failures to plant. The first is that of the last step.
func (w *everyStep) points(t *testing.T, p *plan.Plan) []failPoint {
	t.Helper()
	var all []failPoint
	for _, s := range slices.Backward(p.Steps()) {
		if !slices.Contains(w.idle, s.ID) {
			all = append(all, failPoint{s.ID, "after"}, failPoint{s.ID, "during"})
		}
	}
	which := os.Getenv("BELAY_CRASH_ALL")
	if which == "paragraphs" {
		all = perParagraph(p, all)
	}
	if which != "" || w.tries == 0 || w.tries >= len(all) {
		first, end := crashPart(t, len(all)-1)
		return append(all[:1:1], all[1+first:1+end]...)
	}
	some := all[:1:1]
	for i := 1; i < w.tries; i++ { // the middles of as many equal parts
		some = append(some, all[1+(2*i-1)*(len(all)-1)/(2*(w.tries-1))])
	}
	return slices.Compact(some)
}

// perParagraph leaves, of the steps that one paragraph of the plan makes, the
// first during and the last after; half of the parts then bring every paragraph
// once. all goes backwards and begins with a step that stays.
func perParagraph(p *plan.Plan, all []failPoint) (some []failPoint) {
	type paragraph struct {
		line int
		when string
	}
	last, first := map[paragraph]string{}, map[paragraph]string{}
	for _, at := range all {
		key := paragraph{p.Step(at.step).Line, at.when}
		first[key] = at.step
		if last[key] == "" {
			last[key] = at.step
		}
	}
	var after []failPoint
	for _, at := range all[1:] {
		switch key := (paragraph{p.Step(at.step).Line, at.when}); {
		case at.when == "during" && at.step == first[key]:
			some = append(some, at)
		case at.when == "after" && at.step == last[key]:
			after = append(after, at)
		}
	}
	return slices.Concat(all[:1], some, after)
}

// fail runs the plan with a failure at one point, rolls back, and says what is
// not as it should be.
func (w *everyStep) fail(t *testing.T, p *plan.Plan, at failPoint) error {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plan.yaml"), w.plan)
	write(t, filepath.Join(dir, "overlay.yaml"), w.overlay)
	write(t, filepath.Join(dir, "answers.yaml"), w.toFailure(p.Step(at.step)))
	told := filepath.Join(dir, "told.json")
	seed, err := json.Marshal(planting{Step: at.step, Nth: w.nth(at), File: told})
	if err != nil {
		return err
	}
	env := append([]string{"BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real", plantAt + "=" + string(seed)}, w.env...)
	code, out := belay(t, dir, env, "run", "plan.yaml", "--with", "overlay.yaml", "--headless", "--answers", "answers.yaml")
	var result plantOutcome
	if b, err := os.ReadFile(told); err != nil {
		return fmt.Errorf("belay ended with %d before it took up the plan:\n%s", code, out)
	} else if err := json.Unmarshal(b, &result); err != nil {
		return err
	}
	if w.changes == nil {
		w.changes = result.Changes
	}
	if testing.Verbose() {
		t.Logf("belay ended with %d:\n%s", code, out)
	}
	if !result.Failed {
		return fmt.Errorf("nothing failed: the step was never carried out, or did not come to the planted point (belay ended with %d); a step that has nothing to do in this world stands under idle:\n%s", code, out)
	}
	if code != exitRolledBack {
		return fmt.Errorf("belay ended with %d, not rolled back:\n%s", code, out)
	}
	if after := w.world(t); after != w.before {
		return fmt.Errorf("before:\n%s\nafter the rollback:\n%s\nbelay said:\n%s", w.before, after, out)
	}
	if w.settle != nil {
		w.settle(t)
	}
	return nil
}

// toFailure are the answers that lead to the failure of s and back.
func (w *everyStep) toFailure(s *plan.Step) string {
	way := w.way
	if way == "" {
		way = "go"
	}
	atClose := "  - {question: close, choice: rollback}"
	if s.Stage == journal.Close {
		atClose = "  - {question: close, choice: close, text: " + w.host + "}"
	}
	then := slices.Concat(w.answers, []string{
		"  - {question: failed, step: " + s.ID + ", choice: rollback}",
		"  - {question: unknown, step: " + s.ID + ", choice: rollback}",
		atClose, toTheEnd,
		"  - {question: rollback, choice: " + way + ", text: " + w.host + ", reason: a planted failure}",
	})
	return labAnswers(w.host, then...)
}

// nth is after which of its changes a step fails; 0: after all.
func (w *everyStep) nth(at failPoint) int {
	if at.when == "after" {
		return 0
	}
	return (w.changes[at.step] + 1) / 2
}

const everyStepPlan = `belay: 1
name: every-step
hosts: {here: {local: true}}
vars: {w: %q}
prepare:
  - step: Copy
    run: {dir: "${{ w }}", script: cp -r data copy, undo: rm -rf copy}
  - step: Look
    manual: {text: Look at the copy., evidence: what you saw}
cutover:
  - step: Edit
    files.edit: {path: "${{ w }}/app.env", env: {set: {PORT: "9090"}}}
  - step: Move
    run: {dir: "${{ w }}", script: mv data new, undo: %q}
  - step: Wait
    wait: {for: {file: {on: here, path: "${{ w }}/new"}}}
close:
  - step: Retire
    run: {dir: "${{ w }}", script: mv copy copy.retired, undo: "[ ! -d copy.retired ] || mv copy.retired copy"}
`

// TestFailEveryStep shows that the loop finds what it is for.
func TestFailEveryStep(t *testing.T) {
	world := func(t *testing.T, w string) everyStep {
		write(t, w+"/data/one", "1\n")
		write(t, w+"/app.env", "PORT=8080\n")
		return everyStep{host: "here", world: func(*testing.T) string { return tree(w) },
			answers: []string{"  - {question: manual, choice: done, text: a copy}"}}
	}
	t.Run("a way back that goes all the way", func(t *testing.T) {
		dir := t.TempDir()
		w := world(t, dir)
		w.plan, w.overlay = fmt.Sprintf(everyStepPlan, dir, "[ -d data ] || mv new data"), "environment: lab\n"
		w.tries = 6
		failEveryStep(t, w)
	})
	t.Run("one that does not", func(t *testing.T) {
		dir := t.TempDir()
		w := world(t, dir)
		w.plan, w.overlay = fmt.Sprintf(everyStepPlan, dir, "mkdir -p data"), "environment: lab\n"
		w.before = w.world(t)
		write(t, filepath.Join(dir+".plan", "plan.yaml"), w.plan)
		p, err := plan.LoadFile(filepath.Join(dir+".plan", "plan.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.fail(t, p, failPoint{"edit", "after"}); err != nil {
			t.Errorf("before the step that has no good way back: %v", err)
		}
		if err := w.fail(t, p, failPoint{"move", "after"}); err == nil || !strings.Contains(err.Error(), "after the rollback:") {
			t.Errorf("data that is gone was not missed: %v", err)
		}
	})
}

package report

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

const planText = `belay: 1
name: chat-to-new
about: Move the chat to new, with its messages.
environment: staging
window: {start: 2026-12-01T22:00Z, length: 45m}
hosts: {old: {}, new: {}}
prepare:
  - step: Take a copy
    why: Rollback starts from this archive.
    on: old
    run: {script: tar -czf /b.tgz /chat, undo: rm -f /b.tgz}
  - step: Write the settings
    on: [old, new]
    run: {script: write-settings, undo: rm -f /etc/chat.env}
signoff:
  - The office knows.
  - check: prepare
approvers: 2
cutover:
  - step: Stop the old chat
    on: old
    run: {script: ./stop.sh, undo: ./start.sh}
  - step: Switch the proxy
    on: new
    optional: true
    run: {script: switch}
soak:
  for: 1m
  watch:
    - http: {on: new, url: "http://127.0.0.1:80/"}
      title: The chat answers
close:
  - step: Retire the old chat
    on: old
    run: {script: mv /chat /chat.retired}
rollback:
  emergency: {loses: all that was written since}
  graceful:
    about: Nobody writes meanwhile.
    loses: what cannot be merged | by hand.
    before:
      - {step: Show the maintenance page, on: new, run: page on}
      - {step: Export what was written, on: new, run: dump}
    after:
      - {step: Hide the maintenance page, on: old, run: page off}
      - {step: Tell the office, manual: Say what was lost.}
`

func thePlan(t testing.TB) *plan.Plan {
	t.Helper()
	p, err := plan.Load("plan.yaml", []byte(planText), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	ana = journal.Author{Name: "Ana Ng", Login: "ana", From: "10.0.0.7"}
	bo  = journal.Author{Name: "Bo | *Berg*", Login: "bo"}
)

// story is a list of events in the making: each happens two seconds after the
// one before, unless time is let pass.
type story struct {
	events []journal.Event
	now    time.Time
	asked  int
}

func begin() *story {
	s := &story{now: time.Date(2026, 12, 1, 21, 55, 0, 0, time.UTC)}
	s.add(journal.RunOpened, "", "", journal.Opened{
		Run: "20261201-2155-chat", Plan: "chat-to-new", PlanHash: "5e1f", Version: "0.3.1",
		Environment: "staging", Hosts: []string{"old", "new"}, By: ana,
	}, "")
	return s
}

func (s *story) pass(d time.Duration) { s.now = s.now.Add(d) }

func (s *story) add(typ journal.Type, step, key string, data any, err string) {
	s.now = s.now.Add(2 * time.Second)
	e := journal.Event{Seq: uint64(len(s.events) + 1), Time: s.now, Type: typ, Step: step, Key: key, Err: err}
	if data != nil {
		e.Data, _ = json.Marshal(data)
	}
	s.events = append(s.events, e)
}

func (s *story) enter(st journal.Stage) { s.add(journal.StageEntered, "", string(st), nil, "") }
func (s *story) done(st journal.Stage)  { s.add(journal.StageDone, "", string(st), nil, "") }

func (s *story) start(step string, attempt int, changes ...journal.Change) {
	s.add(journal.StepStarted, step, "", journal.Started{Attempt: attempt, Changes: changes}, "")
}

func (s *story) passed(step string) { s.add(journal.StepPassed, step, "", journal.Passed{}, "") }

func (s *story) ask(q journal.Question) string {
	s.asked++
	q.ID = "q" + string(rune('0'+s.asked))
	s.add(journal.Asked, q.Step, q.ID, q, "")
	return q.ID
}

func (s *story) answer(typ journal.Type, q, item string, a journal.Answer) journal.Answer {
	s.pass(time.Minute)
	a.Question, a.Item, a.Time = q, item, s.now
	key := item
	if typ == journal.Answered {
		key = q
	}
	s.add(typ, "", key, a, "")
	return a
}

const prepared = "every-step-of-prepare-is-done"

var failedOptions = []journal.Option{
	{Choice: "retry", Label: "try again"}, {Choice: "skip", Label: "skip it", Needs: "reason"}, {Choice: "rollback", Label: "roll back"},
}

// assess is the same in every story: two looks, a warning accepted.
func (s *story) assess() {
	s.enter(journal.Assess)
	warn := journal.Finding{ID: "disk/new/", Check: "disk", Host: "new", Level: "warn", Text: "1.2 GiB free on /, 5 GiB asked for", Fix: "free 4 GiB"}
	s.add(journal.Assessed, "", "", []journal.Finding{{ID: "port/old/80", Check: "port 80 on old", Host: "old", Level: "unknown", Text: "not judged"}, warn}, "")
	q := s.ask(journal.Question{Kind: journal.AskFindings, Title: "Begin to prepare?", Text: "Nothing has been changed so far.",
		Options: []journal.Option{{Choice: "go", Label: "begin to prepare"}, {Choice: "accept", Label: "accept a finding"}}})
	s.add(journal.Assessed, "", "", []journal.Finding{
		{ID: "port/old/80", Check: "port 80 on old", Host: "old", Level: "pass", Text: "port 80 is held by chat (pid 412)"}, warn,
	}, "")
	s.answer(journal.Accepted, q, "disk/new/", journal.Answer{Choice: "accept", Reason: "the images are 300 MiB", By: ana})
	s.answer(journal.Answered, q, "", journal.Answer{Choice: "go", By: ana})
	s.done(journal.Assess)
}

func (s *story) prepare() {
	s.enter(journal.Prepare)
	s.start("take-a-copy", 1, journal.Change{Host: "old", Text: "run a script", Cmd: "tar -czf /b.tgz /chat"})
	s.pass(90 * time.Second)
	s.passed("take-a-copy")
	s.start("write-the-settings", 1,
		journal.Change{Host: "old", Text: "write /etc/chat.env (1 line differs)", Diff: "--- /etc/chat.env\n+++ /etc/chat.env\n@@ -1,2 +1,2 @@\n-PORT=80\n+PORT=8080\n \n"},
		journal.Change{Host: "new", Text: "write /etc/chat.env"})
	s.events = append(s.events, journal.Event{Seq: uint64(len(s.events) + 1), Time: s.now, Type: journal.HostDone, Step: "write-the-settings", Host: "old"})
	s.events = append(s.events, journal.Event{Seq: uint64(len(s.events) + 1), Time: s.now, Type: journal.HostDone, Step: "write-the-settings", Host: "new"})
	s.passed("write-the-settings")
	s.done(journal.Prepare)
}

func (s *story) signoff() {
	s.enter(journal.Signoff)
	s.add(journal.Evidence, "", "the-office-knows", journal.ItemState{ID: "the-office-knows", Text: "The office knows.", Time: s.now}, "")
	s.add(journal.Evidence, "", prepared, journal.ItemState{ID: prepared, Text: "every step of prepare is done", Machine: true, OK: true, Evidence: "2 of 2 steps passed", Time: s.now}, "")
	q := s.ask(journal.Question{Kind: journal.AskSignoff, Title: "Go or no-go?", Items: []string{"the-office-knows", prepared},
		Options: []journal.Option{{Choice: "sign", Label: "sign an item"}, {Choice: "go", Label: "go"}}})
	s.answer(journal.Signed, q, "the-office-knows", journal.Answer{Choice: "sign", Text: "mail of 21:40", By: bo})
	s.answer(journal.Signed, q, journal.GoItem, journal.Answer{Choice: "go", By: ana})
	last := s.answer(journal.Signed, q, journal.GoItem, journal.Answer{Choice: "go", By: bo})
	s.add(journal.Answered, "", q, last, "")
	s.done(journal.Signoff)
}

func (s *story) cutoverGate() {
	s.enter(journal.Cutover)
	q := s.ask(journal.Question{Kind: journal.AskCutover, Title: "Cut over now?", Items: []string{"Stop the old chat (old)", "Switch the proxy (new)"},
		Options: []journal.Option{{Choice: "go", Label: "cut over", Type: "old"}}})
	s.answer(journal.Answered, q, "", journal.Answer{Choice: "go", Text: "old", By: ana})
}

// forward goes from the beginning to closed.
func forward() []journal.Event {
	s := begin()
	s.assess()
	s.prepare()
	s.signoff()
	s.add(journal.Baselined, "", "the-chat-answers", journal.Tally{Probe: "The chat answers", Good: 238, Bad: 2, P50: 2.5, P95: 9, Last: "HTTP 200"}, "")
	s.cutoverGate()
	s.start("stop-the-old-chat", 1, journal.Change{Host: "old", Text: "run a script", Cmd: "./stop.sh"})
	s.passed("stop-the-old-chat")
	s.add(journal.StepPassed, "switch-the-proxy", "", journal.Passed{Already: true}, "")
	s.done(journal.Cutover)
	s.enter(journal.Soak)
	s.add(journal.SoakBegun, "", "", journal.SoakPlan{Until: s.now.Add(time.Minute)}, "")
	s.pass(58 * time.Second)
	s.add(journal.Probed, "", "the-chat-answers", journal.Tally{Probe: "The chat answers", Good: 29, Bad: 1, P50: 3.14, P95: 12, Last: "HTTP 200"}, "")
	s.add(journal.Verdict, "", "healthy", nil, "every probe stayed within its limits")
	s.done(journal.Soak)
	s.enter(journal.Close)
	q := s.ask(journal.Question{Kind: journal.AskClose, Title: "Close the migration?", Options: []journal.Option{{Choice: "close", Label: "close it", Type: "old"}}})
	s.answer(journal.Answered, q, "", journal.Answer{Choice: "close", Text: "old", By: bo})
	s.start("retire-the-old-chat", 1, journal.Change{Host: "old", Text: "run a script", Cmd: "mv /chat /chat.retired"})
	s.passed("retire-the-old-chat")
	s.done(journal.Close)
	s.add(journal.RunEnded, "", string(journal.Closed), nil, "")
	return s.events
}

// mended has a failure, a retry, a skip by a person and one by the plan; the
// clock is set back in the middle, and it is stopped.
func mended() []journal.Event {
	s := begin()
	s.assess()
	s.enter(journal.Prepare)
	change := journal.Change{Host: "old", Text: "run a script with ``` and | and <b>", Cmd: "cat <<'EOF'\n```\n\tx | y\x1b[31m\nEOF"}
	s.start("take-a-copy", 1, change)
	s.add(journal.StepFailed, "take-a-copy", "", nil, "exit status 1: \x1b[31mtar: /b.tgz: No space left on device\x1b[0m\n```\n<script>alert(1)</script>")
	q := s.ask(journal.Question{Kind: journal.AskFailed, Step: "take-a-copy", Title: `"Take a copy" failed`, Text: "exit status 1: tar\nWhat went before it stands.", Options: failedOptions})
	s.answer(journal.Answered, q, "", journal.Answer{Choice: "retry", By: ana})
	s.start("take-a-copy", 2, change)
	s.pass(-2 * time.Hour)
	s.passed("take-a-copy")
	s.add(journal.StepFailed, "write-the-settings", "", nil, "look what is to be done: host new not reached; nothing was changed")
	q = s.ask(journal.Question{Kind: journal.AskFailed, Step: "write-the-settings", Title: `"Write the settings" failed`, Options: failedOptions})
	a := s.answer(journal.Answered, q, "", journal.Answer{Choice: "skip", Reason: "done by hand | see <TICKET-1>", By: bo})
	s.add(journal.StepSkipped, "write-the-settings", "", a, "look what is to be done: host new not reached; nothing was changed")
	s.done(journal.Prepare)
	s.enter(journal.Cutover)
	s.add(journal.StepSkipped, "switch-the-proxy", "", nil, "its condition does not hold: test -f /etc/proxy")
	s.ask(journal.Question{Kind: journal.AskCutover, Title: "Cut over now?"})
	s.add(journal.RunEnded, "", string(journal.Stopped), nil, "")
	return s.events
}

// back is rolled back after a bad soak; one host is not reached, a debt of
// another step is settled by a second try.
func back() []journal.Event {
	s := begin()
	s.assess()
	s.prepare()
	s.signoff()
	s.cutoverGate()
	s.start("stop-the-old-chat", 1)
	s.passed("stop-the-old-chat")
	s.start("switch-the-proxy", 1)
	s.add(journal.StepFailed, "switch-the-proxy", "", nil, "exit status 7")
	s.done(journal.Cutover)
	s.enter(journal.Soak)
	s.add(journal.SoakBegun, "", "", journal.SoakPlan{Until: s.now.Add(time.Minute)}, "")
	s.add(journal.Probed, "", "the-chat-answers", journal.Tally{Probe: "The chat answers", Good: 1, Bad: 9, Last: "HTTP 502"}, "")
	s.add(journal.Verdict, "", "degraded", nil, "90.0% of 10 looks failed in the last 30s; the limit is 5.0%")
	q := s.ask(journal.Question{Kind: journal.AskSoak, Title: "Soak is degraded. Roll back?", Options: failedOptions})
	s.add(journal.Counting, "", journal.CountBegun, journal.Countdown{Question: q, Length: time.Minute, Why: "90% of the looks failed"}, "")
	s.answer(journal.Answered, q, "", journal.Answer{Choice: "hold", By: bo})
	q = s.ask(journal.Question{Kind: journal.AskSoak, Title: "Soak is degraded. Roll back?", Options: failedOptions})
	s.answer(journal.Answered, q, "", journal.Answer{Choice: "rollback", By: ana})
	q = s.ask(journal.Question{Kind: journal.AskRollback, Title: "Roll back?", Text: "3 steps will be undone, last first.",
		Items: []string{"Stop the old chat (old)", "Write the settings (old, new)", "Take a copy (old)"}, Options: []journal.Option{{Choice: "go", Label: "roll back", Type: "old"}}})
	a := s.answer(journal.Answered, q, "", journal.Answer{Choice: "go", Text: "old", Reason: "9 of 10 looks fail", By: ana})
	s.add(journal.RollbackBegun, "", "", a, "")
	s.add(journal.Noted, "", "Switch the proxy: has no way back; it stays as it is", nil, "")
	s.add(journal.UndoStarted, "stop-the-old-chat", "", nil, "")
	s.add(journal.UndoDone, "stop-the-old-chat", "", nil, "")
	s.add(journal.UndoStarted, "write-the-settings", "", nil, "")
	s.undone("write-the-settings", "old")
	s.owe("write-the-settings", "new", "new: connection refused")
	s.add(journal.UndoStarted, "take-a-copy", "", nil, "")
	s.owe("take-a-copy", "old", "old: connection lost")
	s.add(journal.RunEnded, "", string(journal.RolledBack), nil, "")
	s.pass(time.Hour)
	s.add(journal.RunResumed, "", "", bo, "")
	s.add(journal.UndoStarted, "take-a-copy", "", nil, "")
	s.add(journal.UndoDone, "take-a-copy", "", nil, "")
	s.add(journal.RunEnded, "", string(journal.RolledBack), nil, "")
	return s.events
}

// graceful is rolled back the graceful way; the export fails and is left out.
func graceful() []journal.Event {
	s := begin()
	s.assess()
	s.prepare()
	s.signoff()
	s.cutoverGate()
	s.start("stop-the-old-chat", 1)
	s.passed("stop-the-old-chat")
	s.add(journal.Losing, "take-a-copy", "", journal.Losses{At: s.now, Of: []journal.Loss{{Store: "database chat on new", Count: 1204, Unit: "rows",
		Since: "since it was copied", Detail: "public.messages 1200 added", Kept: "the database is set aside, not dropped"}}}, "")
	q := s.ask(journal.Question{Kind: journal.AskRollback, Title: "Roll back?", Items: []string{"Stop the old chat (old)"},
		Options: []journal.Option{{Choice: "emergency", Label: "roll back: emergency"}, {Choice: "graceful", Label: "roll back: graceful", Type: "old"}}})
	a := s.answer(journal.Answered, q, "", journal.Answer{Choice: "graceful", Text: "old", Reason: "the new one is slow", By: ana})
	s.add(journal.RollbackBegun, "", "graceful", a, "")
	s.start("show-the-maintenance-page", 1)
	s.passed("show-the-maintenance-page")
	s.start("export-what-was-written", 1)
	s.add(journal.StepFailed, "export-what-was-written", "", nil, "exit status 1")
	q = s.ask(journal.Question{Kind: journal.AskFailed, Step: "export-what-was-written", Title: `"Export what was written" failed`, Options: failedOptions})
	a = s.answer(journal.Answered, q, "", journal.Answer{Choice: "undo", Reason: "nobody wrote", By: bo})
	s.add(journal.StepSkipped, "export-what-was-written", "", a, "exit status 1")
	s.add(journal.UndoStarted, "stop-the-old-chat", "", nil, "")
	s.add(journal.UndoDone, "stop-the-old-chat", "", nil, "")
	s.start("hide-the-maintenance-page", 1)
	s.passed("hide-the-maintenance-page")
	return s.events
}

func (s *story) undone(step, host string) {
	s.add(journal.UndoDone, step, "", nil, "")
	s.events[len(s.events)-1].Host = host
}

func (s *story) owe(step, host, why string) {
	s.add(journal.UndoFailed, step, "", journal.Debt{Step: step, Host: host, Why: why, Time: s.now}, "not undone yet: "+why)
	s.events[len(s.events)-1].Host = host
}

// crashed breaks off while a step runs, is taken up, and breaks off again.
func crashed() []journal.Event {
	s := begin()
	s.assess()
	s.enter(journal.Prepare)
	s.start("take-a-copy", 1, journal.Change{Host: "old", Text: "run a script", Cmd: "tar -czf /b.tgz /chat"})
	s.pass(10 * time.Minute)
	s.add(journal.RunResumed, "", "", bo, "")
	s.add(journal.StepUnknown, "take-a-copy", "", nil, "belay ended while this step ran")
	s.passed("take-a-copy")
	s.start("write-the-settings", 1, journal.Change{Host: "new", Text: "write /etc/chat.env"})
	return s.events
}

var stories = map[string]func() []journal.Event{"forward": forward, "mended": mended, "back": back, "crashed": crashed, "graceful": graceful}

// expected is what earlier runs tell of the stories' plan.
var expected = Expected{
	Steps: map[string]Estimate{
		"take-a-copy":        {Runs: 3, Median: 120, Worst: 150},
		"write-the-settings": {Runs: 2, Median: 0.2, Worst: 0.4},
		"stop-the-old-chat":  {Median: 8, Worst: 8},
		"switch-the-proxy":   {},
	},
	Back:  map[string]Estimate{"take-a-copy": {Runs: 1, Median: 2, Worst: 2}},
	Stage: map[journal.Stage]Estimate{journal.Prepare: {Runs: 3, Median: 120.2, Worst: 150.4}, journal.Cutover: {Median: 8, Worst: 8, Unknown: 1}},
	Undo:  Estimate{Runs: 1, Median: 2, Worst: 2, Unknown: 2},
}

func optionsOf(name string) Options {
	switch name {
	case "forward":
		return Options{Verified: true, Expected: &expected}
	case "back":
		return Options{Expected: &expected}
	case "crashed":
		return Options{Damage: errors.New("journal:41: journal damaged: checksum does not match").Error()}
	}
	return Options{}
}

func has(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("the report does not say %q:\n%s", w, got)
		}
	}
}

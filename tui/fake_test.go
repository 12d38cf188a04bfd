package tui

import (
	"context"
	"fmt"
	"sync"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

// noon is when everything in these tests happens.
var noon = time.Date(2026, 12, 1, 22, 14, 0, 0, time.UTC)

// fakeSession is a run made by hand.
type fakeSession struct {
	mu       sync.Mutex
	plan     *plan.Plan
	st       *journal.State
	live     run.Live
	logs     map[string][]run.Line
	prompt   *run.Prompt
	answers  []journal.Answer
	requests []run.Request
	refuse   error
	onAnswer func(journal.Answer)
	dir      string
}

func (f *fakeSession) lock() func() { f.mu.Lock(); return f.mu.Unlock }

func (f *fakeSession) Plan() *plan.Plan { return f.plan }
func (f *fakeSession) Dir() string      { return f.dir }

func (f *fakeSession) State() *journal.State { defer f.lock()(); return f.st }
func (f *fakeSession) Live() run.Live        { defer f.lock()(); return f.live }
func (f *fakeSession) Prompt() *run.Prompt   { defer f.lock()(); return f.prompt }

func (f *fakeSession) Answer(_ context.Context, a journal.Answer) error {
	defer f.lock()()
	if f.refuse != nil {
		return f.refuse
	}
	f.answers = append(f.answers, a)
	if f.onAnswer != nil {
		f.onAnswer(a)
	}
	return nil
}

func (f *fakeSession) Request(_ context.Context, r run.Request) error {
	defer f.lock()()
	f.requests = append(f.requests, r)
	return nil
}

// edit changes the state as the engine does: a new snapshot with a new Seq.
func (f *fakeSession) edit(change func(*journal.State)) {
	defer f.lock()()
	st := *f.st
	st.Steps = map[string]*journal.StepState{}
	for k, v := range f.st.Steps {
		c := *v
		st.Steps[k] = &c
	}
	st.Seq++
	change(&st)
	f.st = &st
}

func (f *fakeSession) Log(step, host string) run.Log { return &fakeLog{f, step, host} }

type fakeLog struct {
	f          *fakeSession
	step, host string
}

func (l *fakeLog) Len() int {
	defer l.f.lock()()
	return len(l.f.logs[l.step])
}

func (l *fakeLog) Lines(from, n int) []run.Line {
	defer l.f.lock()()
	all := l.f.logs[l.step]
	from = min(max(from, 0), len(all))
	return append([]run.Line(nil), all[from:min(len(all), from+n)]...)
}

// way is a step that can be undone, oneway is one that cannot.
type oneway struct{}

func (oneway) Pending(context.Context, steps.Env) ([]steps.Change, error) { return nil, nil }
func (oneway) Apply(context.Context, steps.Env) error                     { return nil }
func (oneway) Verify(context.Context, steps.Env) error                    { return nil }

type way struct{ oneway }

func (way) Undo(context.Context, steps.Env) error { return nil }

type idle struct{}

func (idle) Assess(context.Context, checks.World) ([]checks.Finding, error) { return nil, nil }

func st(stage journal.Stage, kind, id, title, why string, do steps.Step) *plan.Step {
	return &plan.Step{ID: id, Title: title, Why: why, Stage: stage, Kind: steps.Kind{Name: kind}, Do: do, On: []string{"chat"}, Line: 20}
}

func one(ss ...*plan.Step) []plan.Group {
	var gs []plan.Group
	for _, s := range ss {
		gs = append(gs, plan.Group{Lanes: []plan.Lane{{Steps: []*plan.Step{s}}}})
	}
	return gs
}

// chatPlan is the plan that most tests look at.
func chatPlan() *plan.Plan {
	archive := st(journal.Prepare, "files.archive", "archive", "Take a copy of Stoat Chat", "Rollback starts from this archive.", way{})
	archive.Params = "path: /root/stoatchat\nto: /var/backups/stoat.tar.zst\n"
	checkout := st(journal.Prepare, "git.checkout", "checkout", "Check out Fluxer", "The version that was rehearsed.", way{})
	frontend := st(journal.Prepare, "run", "frontend", "Build the frontend", "Served by nginx as static files.", way{})
	frontend.Expect = "A dist folder of about 40 MB."
	frontend.Timeout = 15 * time.Minute
	frontend.Params = "run: |\n  cd /root/fluxer/frontend\n  npm ci && npm run build\n"
	migrate := st(journal.Prepare, "run", "migrations", "Run 60 migrations", "The schema that the new version expects.", oneway{})
	migrate.On = []string{"db"}
	stop := st(journal.Cutover, "process.stop", "stop", "Stop Stoat Chat", "Port 8088 can have one owner.", way{})
	stop.Undo = &plan.Step{Title: "Start Stoat Chat again", Params: "run: cd /root/stoatchat && ./start.sh\n"}
	start := st(journal.Cutover, "compose.up", "start", "Start Fluxer", "From here on users talk to Fluxer.", way{})
	start.Expect = "All 15 services healthy."
	start.Timeout = 5 * time.Minute
	start.Hints = []plan.Hint{{Hint: steps.Hint{Match: "port is already allocated", Cause: "the old service still owns the port", Fix: "run the previous step again"}}}
	mail := st(journal.Cutover, "run", "mail", "Tell the users by mail", "They were promised a word.", oneway{})
	retire := st(journal.Close, "run", "retire", "Remove the old files", "Disk space.", oneway{})
	p := &plan.Plan{Path: "stoat-to-fluxer.yaml", Hash: "9f2c51d07ab3e6690f11", Name: "stoat-to-fluxer", About: "Replace Stoat Chat with Fluxer.",
		Environment: "production", Window: &plan.Window{Start: noon.Add(-14 * time.Minute), Length: 45 * time.Minute, Margin: 270 * time.Second},
		Hosts: []plan.Host{{Name: "chat"}, {Name: "db"}}, Approvers: plan.Approvers{Count: 1},
		Prepare: append(one(archive, checkout), plan.Group{Title: "builds", Lanes: []plan.Lane{{Steps: []*plan.Step{frontend}}, {Steps: []*plan.Step{migrate}}}}),
		Signoff: []plan.Item{{ID: "prepared", Text: "Everything is prepared", Stage: journal.Prepare}, {ID: "team", Text: "The team knows that chat is down for five minutes"},
			{ID: "backup", Text: "Somebody has looked into the archive"}},
		Cutover: one(stop, start, mail), Close: one(retire),
		Soak: &plan.Soak{For: 10 * time.Minute, RollbackWhen: []plan.Trigger{{ErrorRate: 0.05, For: 10 * time.Minute}},
			Watch: []plan.Probe{{ID: "health", Check: plan.Check{Title: "http 127.0.0.1:8088/_health", Do: idle{}}, Every: 2 * time.Second},
				{ID: "gateway", Check: plan.Check{Title: "tcp gateway:4000", Do: idle{}}, Every: 2 * time.Second}}},
	}
	return p
}

func newFake() *fakeSession {
	up := run.Light{Light: remote.Up}
	return &fakeSession{plan: chatPlan(), dir: "/root/.local/state/belay/runs/2026-12-01-2200-stoat-to-fluxer", logs: map[string][]run.Line{},
		live: run.Live{Lights: map[string]run.Light{"chat": up, "db": up}, Progress: map[string]map[string]steps.Progress{}},
		st: &journal.State{Opened: journal.Opened{Run: "r1", Plan: "stoat-to-fluxer", By: journal.Author{Name: "Vish", Login: "vish", From: "10.0.0.7"}},
			Seq: 1, Begun: noon.Add(-14 * time.Minute), Last: noon, Stage: journal.Assess, Status: journal.Assessing,
			Reached: map[journal.Stage]time.Time{}, Done: map[journal.Stage]time.Time{}, Accepted: map[string]journal.Answer{},
			Steps: map[string]*journal.StepState{}, Items: map[string]*journal.ItemState{}}}
}

// pass marks a step as passed, having taken so long.
func pass(s *journal.State, id string, ago, took time.Duration) {
	s.Steps[id] = &journal.StepState{ID: id, Status: journal.PassedStatus, Attempt: 1, Started: noon.Add(-ago), Ended: noon.Add(took - ago)}
}

func reach(s *journal.State, stages ...journal.Stage) {
	s.Reached, s.Done = map[journal.Stage]time.Time{}, map[journal.Stage]time.Time{}
	for i, stage := range stages {
		s.Reached[stage] = noon
		if i < len(stages)-1 {
			s.Done[stage] = noon
		}
		s.Stage = stage
	}
}

// The moments of a run that the golden screens show.

func findingsMoment() *fakeSession {
	f := newFake()
	f.st.Status, f.st.AssessedAt = journal.NeedsYou, noon.Add(-3*time.Minute)
	reach(f.st, journal.Assess)
	f.st.Findings = []journal.Finding{
		{ID: "os:chat", Check: "os", Host: "chat", Level: "pass", Text: "Debian 12 (bookworm), x86_64"},
		{ID: "disk:chat:/var", Check: "disk", Host: "chat", Level: "warn", Text: "/var/lib/docker has 6.1 GiB free of 40 GiB; the plan asks for 5 GiB", Fix: "Remove images that nothing uses: docker image prune.", Detail: "/dev/sda1 ext4 40.0 GiB 6.1 GiB free"},
		{ID: "port:chat:8088", Check: "port", Host: "chat", Level: "pass", Text: "port 8088 is held by stoatchat (pid 412)"},
		{ID: "skew:db", Check: "clock", Host: "db", Level: "block", Text: "the clock of db is 94 s behind this machine", Fix: "Start time synchronisation on db: timedatectl set-ntp true. Then check again (r).", Detail: "skew -94.2s ± 0.1s"},
		{ID: "tools:db", Check: "tools", Host: "db", Level: "unknown", Text: "sudo asked for a password: what db listens on is not known"},
		{ID: "mem:chat", Check: "memory", Host: "chat", Level: "pass", Text: "5.2 GiB of 8 GiB available"},
	}
	f.st.Questions = []journal.Question{{ID: "q1", Kind: journal.AskFindings, Title: "Begin to prepare?",
		Text: "Nothing has been changed so far. Prepare makes changes, while the old service stays up.", Options: []journal.Option{{Choice: "go", Label: "begin to prepare"},
			{Choice: "accept", Label: "accept a finding", Needs: "reason"}, {Choice: "recheck", Label: "assess again"}, {Choice: "stop", Label: "stop here; resume later"}}}}
	return f
}

func prepareMoment() *fakeSession {
	f := newFake()
	s := f.st
	s.Status = journal.Preparing
	reach(s, journal.Assess, journal.Prepare)
	pass(s, "archive", 9*time.Minute, 72*time.Second)
	pass(s, "checkout", 7*time.Minute, 11*time.Second)
	s.Steps["frontend"] = &journal.StepState{ID: "frontend", Status: journal.Running, Attempt: 1, Started: noon.Add(-42 * time.Second),
		Changes: []journal.Change{{Host: "chat", Text: "build /root/fluxer/frontend/dist", Cmd: "cd /root/fluxer/frontend\nnpm ci && npm run build"},
			{Host: "chat", Text: "write /root/fluxer/.env (2 lines differ)", Diff: "--- .env\n+++ .env\n@@ -1,3 +1,3 @@\n DOMAIN=st.vish.gg\n-PORT=3000\n+PORT=8088\n"}}}
	s.Steps["migrations"] = &journal.StepState{ID: "migrations", Status: journal.Running, Attempt: 2, Started: noon.Add(-95 * time.Second)}
	f.live.Progress["frontend"] = map[string]steps.Progress{"chat": {Done: 61, Total: 120, Unit: "modules", Text: "bundling"}}
	f.live.Progress["migrations"] = map[string]steps.Progress{"db": {Done: 17, Total: 60, Unit: "migrations", Text: "0017_messages"}}
	for i := range 40 {
		f.logs["frontend"] = append(f.logs["frontend"], run.Line{Time: noon.Add(time.Duration(i-40) * time.Second), Step: "frontend", Host: "chat",
			Text: fmt.Sprintf("[%d/120] transform src/components/Message%02d.tsx → dist/assets/message-%02d.js 14.%d kB", i+20, i, i, i%10)})
	}
	f.logs["frontend"][31].Text = "warning: error boundary is missing in src/routes/Call.tsx"
	f.logs[""] = f.logs["frontend"]
	return f
}

func failedMoment() *fakeSession {
	f := prepareMoment()
	s := f.st
	s.Status = journal.NeedsYou
	reach(s, journal.Assess, journal.Prepare, journal.Signoff, journal.Cutover)
	pass(s, "frontend", 6*time.Minute, 2*time.Minute)
	pass(s, "migrations", 6*time.Minute, 3*time.Minute)
	pass(s, "stop", 3*time.Minute, 4*time.Second)
	s.Steps["start"] = &journal.StepState{ID: "start", Status: journal.FailedStatus, Attempt: 1, Started: noon.Add(-2 * time.Minute), Ended: noon.Add(-40 * time.Second),
		Err: "docker compose up: exit status 1"}
	f.logs["start"] = []run.Line{{Text: " Container fluxer-postgres-1  Healthy"}, {Text: " Container fluxer-caddy-1  Starting"},
		{Text: "Error response from daemon: driver failed programming external connectivity on endpoint fluxer-caddy-1: Bind for 0.0.0.0:8088 failed: port is already allocated"}}
	s.Questions = []journal.Question{{ID: "q2", Kind: journal.AskFailed, Step: "start", Title: "Start Fluxer failed on chat",
		Text: "docker compose up ended with status 1. Of 15 services 14 are up; nothing else was changed. The old service is stopped: chat is down.",
		Options: []journal.Option{{Choice: "retry", Label: "try again"}, {Choice: "recheck", Label: "I fixed it, check again"}, {Choice: "skip", Label: "skip this step", Needs: "reason"},
			{Choice: "rollback", Label: "roll back everything", Needs: "reason", Danger: true}, {Choice: "stop", Label: "stop here"}}}}
	return f
}

func signoffMoment() *fakeSession {
	f := prepareMoment()
	s := f.st
	s.Status = journal.NeedsYou
	reach(s, journal.Assess, journal.Prepare, journal.Signoff)
	pass(s, "frontend", 6*time.Minute, 2*time.Minute)
	pass(s, "migrations", 6*time.Minute, 3*time.Minute)
	s.Items["prepared"] = &journal.ItemState{ID: "prepared", Machine: true, OK: true, Evidence: "4 of 4 steps passed", Time: noon.Add(-2 * time.Minute)}
	s.Items["team"] = &journal.ItemState{ID: "team", OK: true, Signed: []journal.Answer{{Item: "team", Choice: "sign", By: journal.Author{Name: "Vish", Login: "vish"}, Time: noon.Add(-time.Minute)}}}
	s.Items["backup"] = &journal.ItemState{ID: "backup"}
	s.Questions = []journal.Question{{ID: "q3", Kind: journal.AskSignoff, Title: "Go or no-go?",
		Text: "Plan 9f2c51d07ab3. One go is needed.", Items: []string{"prepared", "team", "backup"},
		Options: []journal.Option{{Choice: "sign", Label: "sign an item", Needs: "name"}, {Choice: "go", Label: "go", Needs: "name"}, {Choice: "no-go", Label: "no-go", Needs: "reason"}}}}
	return f
}

func cutoverMoment() *fakeSession {
	f := signoffMoment()
	reach(f.st, journal.Assess, journal.Prepare, journal.Signoff, journal.Cutover)
	f.st.Questions = []journal.Question{{ID: "q4", Kind: journal.AskCutover, Title: "Cut over chat now?",
		Text:    "From here on the old service stops. It is not deleted.",
		Options: []journal.Option{{Choice: "go", Label: "cut over", Type: "chat", Danger: true}, {Choice: "no-go", Label: "no-go", Needs: "reason"}}}}
	return f
}

func soakMoment() *fakeSession {
	f := cutoverMoment()
	s := f.st
	reach(s, journal.Assess, journal.Prepare, journal.Signoff, journal.Cutover, journal.Soak)
	s.Status, s.Questions = journal.Soaking, nil
	pass(s, "stop", 3*time.Minute, 4*time.Second)
	pass(s, "start", 3*time.Minute, 80*time.Second)
	pass(s, "mail", time.Minute, time.Second)
	recent := []float64{12, 14, 13, 12, 15, 40, 16, 13, 12, 12, -1, 18, 13, 12, 14, 12, 13, 12, 55, 13, 12, 12}
	s.Soak = journal.SoakState{Begun: noon.Add(-4 * time.Minute), Until: noon.Add(6 * time.Minute), Probes: map[string]journal.Tally{
		"health":  {Probe: "health", Good: 118, Bad: 1, P50: 13, P95: 41, Last: "200 OK in 12 ms", Recent: recent},
		"gateway": {Probe: "gateway", Good: 101, Bad: 19, P50: 2, P95: 3, Last: "connect: connection refused", Over: "16% of the looks failed; limit 5%, for 6m of 10m", Recent: []float64{2, 2, 3, 2, -1, 2, 2, 2, -1, -1, 2, 2, -1}}}}
	return f
}

func rollbackMoment() *fakeSession {
	f := failedMoment()
	s := f.st
	s.Status, s.Questions = journal.RollingBack, nil
	s.Rollback = &journal.Answer{Choice: "rollback", Reason: "port never came free", By: journal.Author{Name: "Vish", Login: "vish"}}
	undone := func(id string, st journal.Status) {
		s.Steps[id].Undoing, s.Steps[id].Status = true, st
		s.Steps[id].UndoStarted, s.Steps[id].UndoEnded = noon.Add(-30*time.Second), noon.Add(-20*time.Second)
	}
	undone("start", journal.Undone)
	undone("stop", journal.Undone)
	undone("migrations", journal.UndoFailedSt)
	s.Steps["migrations"].Err = "no way back"
	s.Steps["frontend"].Undoing, s.Steps["frontend"].UndoStarted = true, noon.Add(-7*time.Second)
	f.live.Lights = map[string]run.Light{"chat": {Light: remote.Up}, "db": {Light: remote.Down, Reason: "no route to host"}}
	s.Debts = []journal.Debt{{Step: "migrations", Host: "db", Why: "db was not reached: no route to host", Time: noon}}
	return f
}

func endedMoment() *fakeSession {
	f := soakMoment()
	f.st.Status, f.live.Ended = journal.Closed, true
	reach(f.st, journal.Stages...)
	f.st.Done[journal.Close] = noon
	pass(f.st, "retire", time.Minute, 3*time.Second)
	return f
}

func hostKeyMoment() *fakeSession {
	f := newFake()
	f.live.Assessing = true
	f.live.Lights = map[string]run.Light{"chat": {Light: remote.Connecting}}
	f.prompt = &run.Prompt{ID: "p1", Kind: journal.AskHostKey, Host: "db", Title: "The key of db is not known", Type: "yes",
		Text: "root@10.0.0.12:22 shows an ED25519 key with the fingerprint\nSHA256:5xQpZ1m9w0Xc3J7cV4uYb2Jr6T8kN0aD1sEfGhIjKlM\nIf you accept it, it is added to ~/.ssh/known_hosts.", Reply: func(string, bool) {}}
	return f
}

// asks puts one question into a moment.
func asks(f *fakeSession, q journal.Question) *fakeSession {
	q.ID = "q9"
	f.st.Status, f.st.Rollback = journal.NeedsYou, nil
	f.st.Questions = []journal.Question{q}
	return f
}

var (
	skip     = journal.Option{Choice: "skip", Label: "skip it", Needs: "reason", Danger: true}
	rollback = journal.Option{Choice: "rollback", Label: "roll back", Danger: true}
	stopHere = journal.Option{Choice: "stop", Label: "stop here; resume later"}
)

func manualMoment() *fakeSession {
	return asks(prepareMoment(), journal.Question{Kind: journal.AskManual, Step: "frontend", Title: "Look at the page in a browser",
		Text:    "Open https://st.vish.gg and sign in.\n\nType as evidence: the version in the page's footer",
		Options: []journal.Option{{Choice: "done", Label: "done", Needs: "name text"}, skip, rollback, stopHere}})
}

func unknownMoment() *fakeSession {
	return asks(prepareMoment(), journal.Question{Kind: journal.AskUnknown, Step: "migrations", Title: "\"Run 60 migrations\": outcome unknown",
		Text:    "the connection broke while it ran.\nNobody can tell from here whether it was done.\nLook at the host before you choose: doing it a second time may do harm.",
		Options: []journal.Option{{Choice: "recheck", Label: "look again"}, {Choice: "done", Label: "it was done: go on", Needs: "reason"}, {Choice: "retry", Label: "it was not done: do it (again)", Needs: "reason", Danger: true}, skip, rollback, stopHere}})
}

func closeMoment() *fakeSession {
	return asks(soakMoment(), journal.Question{Kind: journal.AskClose, Title: "Close the migration?", Text: "The way back ends here: what close does may take away what a rollback would need.",
		Options: []journal.Option{{Choice: "close", Label: "close it", Type: "chat", Needs: "name", Danger: true}, rollback, stopHere}})
}

func askRollbackMoment() *fakeSession {
	f := failedMoment()
	return asks(f, journal.Question{Kind: journal.AskRollback, Title: "Roll back?", Items: []string{"Start Fluxer (chat)", "Stop Stoat Chat (chat)", "Build the frontend (chat)"},
		Text:    "3 steps will be undone, last first.\nThese have no way back and stay as they are: Run 60 migrations.",
		Options: []journal.Option{{Choice: "go", Label: "roll back", Type: "chat", Needs: "name reason", Danger: true}, {Choice: "back", Label: "do not roll back; return to the run"}, stopHere}})
}

func verdictMoment() *fakeSession {
	return asks(soakMoment(), journal.Question{Kind: journal.AskSoak, Title: "Soak is degraded. Roll back?", Text: "16% of 120 looks failed; the limit is 5%",
		Options: []journal.Option{rollback, {Choice: "extend", Label: "keep watching", Needs: "reason"}, {Choice: "accept", Label: "accept it as it is and end the soak", Needs: "reason", Danger: true}, stopHere}})
}

// countdownMoment is a soak whose plan lets belay roll back by itself.
func countdownMoment() *fakeSession {
	f := verdictMoment()
	p := *f.plan
	limits := *p.Soak
	limits.RollbackWhen = []plan.Trigger{
		{ErrorRate: 0.05, For: 10 * time.Minute, Then: plan.Automatic, Countdown: time.Minute},
		{SlowerThan: 1.5, For: 5 * time.Minute}, {Latency: time.Second, For: time.Minute, Then: plan.Tell}}
	p.Soak, f.plan = &limits, &p
	q := &f.st.Questions[0]
	q.Options = append([]journal.Option{{Choice: "hold", Label: "stop the countdown, and decide by hand"}}, q.Options...)
	f.st.Soak.Verdict, f.st.Soak.Why = "degraded", "The gateway answers: 16% of the looks failed; limit 5%, for 10m"
	f.st.Soak.Baseline = map[string]journal.Tally{"health": {Good: 240, P50: 11, P95: 30}, "gateway": {Good: 238, Bad: 2, P50: 2, P95: 4}}
	f.st.Soak.Countdown = &journal.Countdown{Question: q.ID, Until: noon.Add(42 * time.Second), Length: time.Minute}
	return f
}

var moments = map[string]func() *fakeSession{
	"findings": findingsMoment, "prepare": prepareMoment, "failed": failedMoment, "signoff": signoffMoment, "cutover": cutoverMoment,
	"soak": soakMoment, "rollback": rollbackMoment, "ended": endedMoment, "hostkey": hostKeyMoment,
	"manual": manualMoment, "unknown": unknownMoment, "close": closeMoment, "askrollback": askRollbackMoment, "verdict": verdictMoment, "countdown": countdownMoment,
}

// sharedSession is a run that has another screen too.
type sharedSession struct {
	*fakeSession
	pen   run.Pen
	taken int
}

func (s *sharedSession) Pen() run.Pen { defer s.lock()(); return s.pen }

func (s *sharedSession) TakePen() error {
	defer s.lock()()
	s.taken++
	s.pen = run.Pen{Mine: true, By: journal.Author{Login: "me"}, Screens: 2}
	return nil
}

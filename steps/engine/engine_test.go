package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// world is what the fake steps change: how often each name was put and taken.
type world struct {
	mu   sync.Mutex
	put  map[string]int
	took map[string]int
	log  []string
	hook func(op, name, host string) error // called before an effect
}

var theWorld *world

func newWorld() *world {
	theWorld = &world{put: map[string]int{}, took: map[string]int{}}
	return theWorld
}

func (w *world) has(name string) bool { return w.put[name] > w.took[name] }

// put is a step that sets a name; blind ones cannot see whether it is set.
type put struct {
	Name  string `yaml:"name" scalar:"" doc:"what to put"`
	Again bool   `yaml:"again" doc:"repeatable"`
	Blind bool   `yaml:"blind" doc:"pending cannot tell"`
	Bytes int64  `yaml:"bytes" doc:"how much that moves"`
}

func (p *put) key(e steps.Env) string { return e.Host.Name + ":" + p.Name }

func (p *put) Pending(_ context.Context, e steps.Env) ([]steps.Change, error) {
	theWorld.mu.Lock()
	defer theWorld.mu.Unlock()
	if theWorld.has(p.key(e)) && !p.Blind {
		return nil, nil
	}
	return []steps.Change{{Text: "put " + p.Name, Cmd: "put " + p.Name, Bytes: p.Bytes}}, nil
}

func (p *put) Apply(ctx context.Context, e steps.Env) error { return p.act(ctx, "put", e) }
func (p *put) Undo(ctx context.Context, e steps.Env) error  { return p.act(ctx, "take", e) }

func (p *put) act(_ context.Context, op string, e steps.Env) error {
	theWorld.mu.Lock()
	hook := theWorld.hook
	theWorld.mu.Unlock()
	if hook != nil {
		if err := hook(op, p.Name, e.Host.Name); err != nil {
			return err
		}
	}
	if op == "put" {
		if err := e.Memory.Put("mine", true); err != nil {
			return err
		}
	}
	theWorld.mu.Lock()
	defer theWorld.mu.Unlock()
	switch {
	case op == "put":
		theWorld.put[p.key(e)]++
	case theWorld.has(p.key(e)):
		theWorld.took[p.key(e)]++
	}
	theWorld.log = append(theWorld.log, op+" "+p.key(e))
	return nil
}

func (p *put) Verify(_ context.Context, e steps.Env) error {
	theWorld.mu.Lock()
	defer theWorld.mu.Unlock()
	if !theWorld.has(p.key(e)) {
		return fmt.Errorf("%s is not there", p.Name)
	}
	return nil
}

func (p *put) Repeatable() bool { return p.Again }

// ask is a step that a person carries out.
type ask struct {
	Text string `yaml:"text" scalar:"" doc:"what to do"`
}

func (a *ask) Instruction() (string, string) { return a.Text, "the ticket's number" }
func (a *ask) Pending(_ context.Context, e steps.Env) ([]steps.Change, error) {
	var said string
	if done, err := e.Memory.Get("said", &said); done || err != nil {
		return nil, err
	}
	return []steps.Change{{Text: a.Text}}, nil
}
func (a *ask) Apply(_ context.Context, e steps.Env) error { return e.Memory.Put("said", e.Answer) }
func (a *ask) Verify(context.Context, steps.Env) error    { return nil }

// look is a check whose verdict a test decides.
type look struct {
	Name string `yaml:"name" scalar:"" doc:"which"`
}

var verdicts sync.Map // name → checks.Level or error

func (l *look) Assess(context.Context, checks.World) ([]checks.Finding, error) {
	v, ok := verdicts.Load(l.Name)
	if !ok {
		v = checks.Pass
	}
	if err, bad := v.(error); bad {
		return nil, err
	}
	return []checks.Finding{{Check: "look", Key: l.Name, Level: v.(checks.Level), Text: "looked at " + l.Name}}, nil
}

func fakeKinds() plan.Kinds {
	return plan.Kinds{
		Steps: map[string]steps.Kind{
			"put": {Name: "put", New: func() steps.Step { return &put{} }},
			"ask": {Name: "ask", NoHost: true, New: func() steps.Step { return &ask{} }},
		},
		Checks: map[string]checks.Kind{"look": {Name: "look", New: func() checks.Check { return &look{} }}},
	}
}

func loadPlan(t testing.TB, text string) *plan.Plan {
	t.Helper()
	p, err := plan.Load("test.yaml", []byte(text), fakeKinds())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// operator answers from a script: the first entry that fits a question's kind
// (and step, after a slash) is used up. What is not in the script ends the test.
type operator struct {
	t      testing.TB
	engine *Engine
	mu     sync.Mutex
	script []string // "failed/step=retry", "sign-off=sign:item", "sign-off=go@Ada", "sign-off=go@Ada/login for role"
	asked  []string
	check  func(journal.Question)      // looks at each question as it is asked; nil: nobody does
	mute   func(journal.Question) bool // nobody ever answers these; nil: none
	quiet  bool                        // an unanswered question stops the run, and is no fault of the test
}

func (o *operator) Ask(ctx context.Context, q journal.Question) (journal.Answer, error) {
	if err := context.Cause(ctx); err != nil {
		return journal.Answer{}, err
	}
	if o.check != nil {
		o.check(q)
	}
	if o.mute != nil && o.mute(q) {
		<-ctx.Done()
		return journal.Answer{}, context.Cause(ctx)
	}
	o.mu.Lock()
	o.asked = append(o.asked, q.Kind+"/"+q.Step)
	var said string
	for i, s := range o.script {
		on, ans, _ := strings.Cut(s, "=")
		kind, step, _ := strings.Cut(on, "/")
		if kind == q.Kind && (step == "" || step == q.Step) {
			said = ans
			o.script = append(o.script[:i:i], o.script[i+1:]...)
			break
		}
	}
	o.mu.Unlock()
	if said == "" {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !o.quiet {
			o.t.Errorf("nobody answers %s about %q: %s\n%s", q.Kind, q.Step, q.Title, q.Text)
		}
		o.engine.Stop()
		<-ctx.Done()
		return journal.Answer{}, context.Cause(ctx)
	}
	said, name, _ := strings.Cut(said, "@")
	choice, item, _ := strings.Cut(said, ":")
	name, role, _ := strings.Cut(name, " for ")
	name, login, _ := strings.Cut(name, "/")
	if name == "" {
		name = "Ada"
	}
	if login == "" {
		login = strings.ToLower(strings.TrimSpace(name))
	}
	a := journal.Answer{Choice: choice, Item: item, Reason: "because", Text: "T-1", Role: role, By: journal.Author{Name: name, Login: login}}
	if opt, ok := q.Option(choice); ok && opt.Type != "" {
		a.Text = opt.Type
	}
	if err := o.engine.Judge(q, a); err != nil {
		o.t.Logf("refused %q: %v", said, err)
		o.mu.Lock()
		o.asked = append(o.asked, "refused: "+err.Error())
		o.mu.Unlock()
		return o.Ask(ctx, q)
	}
	return a, nil
}

// bench is one engine over one journal.
type bench struct {
	*Engine
	op  *operator
	log *journal.Journal
}

func newBench(t testing.TB, p *plan.Plan, path string, script ...string) *bench {
	t.Helper()
	j, err := journal.Open(path)
	if err != nil {
		if j, err = journal.Create(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { j.Close() })
	hosts := remote.Hosts{}
	for _, h := range p.Hosts {
		hosts[h.Name] = remote.Local(h.Name)
	}
	op := &operator{t: t, script: script}
	e := &Engine{
		Run: "r1", Version: "test", Plan: p, Log: j, Hosts: hosts, Operator: op,
		Author: journal.Author{Login: "ada"},
		Secret: func(context.Context, string) (secret.Value, error) { return secret.Value{}, errors.New("none") },
		Output: func(string, string) io.Writer { return io.Discard },
	}
	e.Judging = func(context.Context, []checks.Check) []checks.Finding { return nil }
	op.engine = e
	return &bench{e, op, j}
}

const twoHosts = `belay: 1
name: test
hosts: {a: {}, b: {}}
`

const happy = twoHosts + `
prepare:
  - {step: One, on: a, put: one}
  - together:
      - {step: Two, on: a, put: two}
      - {step: Three, on: [a, b], put: three}
signoff:
  - The team knows
  - check: prepare
approvers: 2
cutover:
  - {step: Four, on: b, put: four}
close:
  - {step: Five, on: a, put: five}
`

var happyAnswers = []string{"findings=go", "sign-off=sign:the-team-knows", "sign-off=go@Ada", "sign-off=go@Grace", "cutover=go", "close=close"}

func TestForward(t *testing.T) {
	w := newWorld()
	b := newBench(t, loadPlan(t, happy), filepath.Join(t.TempDir(), "j"), happyAnswers...)
	status, err := b.Walk(context.Background())
	if err != nil || status != journal.Closed {
		t.Fatalf("%q, %v", status, err)
	}
	for _, name := range []string{"a:one", "a:two", "a:three", "b:three", "b:four", "a:five"} {
		if w.put[name] != 1 {
			t.Errorf("%s was put %d times", name, w.put[name])
		}
	}
	if s := b.log.State(); !s.Over() || len(s.Questions) != 0 {
		t.Errorf("over %v, open %v", s.Over(), s.Questions)
	}
}

func TestSignoffNeedsItemsAndDistinctPeople(t *testing.T) {
	newWorld()
	b := newBench(t, loadPlan(t, happy), filepath.Join(t.TempDir(), "j"),
		"findings=go", "sign-off=go@Ada", "sign-off=sign:the-team-knows", "sign-off=sign:prepare", "sign-off=go@Ada", "sign-off=go@ ada ", "sign-off=no-go")
	status, err := b.Walk(context.Background())
	if err != nil || status != journal.NoGo {
		t.Fatalf("%q, %v", status, err)
	}
	refused := 0
	for _, a := range b.op.asked {
		if strings.HasPrefix(a, "refused") {
			refused++
		}
	}
	if refused != 3 {
		t.Errorf("%d answers refused, want the early go, the machine's item and the second go of one person: %q", refused, b.op.asked)
	}
	if theWorld.put["b:four"] != 0 {
		t.Error("cut over without a go")
	}
}

func TestFailedThenRollback(t *testing.T) {
	w := newWorld()
	w.hook = func(op, name, host string) error {
		if op == "put" && name == "four" {
			return errors.New("no room")
		}
		return nil
	}
	b := newBench(t, loadPlan(t, happy), filepath.Join(t.TempDir(), "j"), append(happyAnswers[:5:5],
		"failed/four=retry", "failed/four=recheck", "failed/four=rollback", "rollback=go")...)
	status, err := b.Walk(context.Background())
	if err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v", status, err)
	}
	for name := range w.put {
		if w.has(name) {
			t.Errorf("%s is still there", name)
		}
	}
	if last := w.log[len(w.log)-1]; last != "take a:one" {
		t.Errorf("the first step was not undone last: %q", w.log)
	}
	if s := b.log.State(); !s.Over() || s.Step("four").Status != journal.Undone || s.Step("four").Attempt != 2 {
		t.Errorf("%+v", s.Step("four"))
	}
}

func TestSkipNeedsAReasonAndGoesOn(t *testing.T) {
	w := newWorld()
	w.hook = func(op, name, _ string) error {
		if name == "one" {
			return errors.New("no")
		}
		return nil
	}
	b := newBench(t, loadPlan(t, happy), filepath.Join(t.TempDir(), "j"), append([]string{"failed/one=skip"}, happyAnswers...)...)
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
		t.Fatalf("%q, %v", status, err)
	}
	if st := b.log.State().Step("one"); st.Status != journal.Skipped || st.Reason == nil || st.Reason.Reason != "because" {
		t.Errorf("%+v", st)
	}
}

func TestFoundDoneIsNotUndone(t *testing.T) {
	w := newWorld()
	w.put["a:one"] = 1
	b := newBench(t, loadPlan(t, happy), filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=rollback", "rollback=go")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v", status, err)
	}
	if !w.has("a:one") {
		t.Error("undone what was there before")
	}
	if w.has("a:two") || w.has("b:three") {
		t.Error("something of ours is left")
	}
}

func TestUnreachableHostIsADebtAndTakenUpLater(t *testing.T) {
	w := newWorld()
	path := filepath.Join(t.TempDir(), "j")
	w.hook = func(op, name, host string) error {
		if op == "take" && host == "b" {
			return &remote.UnreachableError{Host: "b", Err: errors.New("no route")}
		}
		return nil
	}
	b := newBench(t, loadPlan(t, happy), path, append(happyAnswers[:5:5], "close=rollback", "rollback=go")...)
	status, err := b.Walk(context.Background())
	if err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v", status, err)
	}
	s := b.log.State()
	if len(s.Debts) != 2 || s.Over() {
		t.Fatalf("debts: %+v", s.Debts)
	}
	if w.has("a:three") || w.has("a:one") || !w.has("b:three") {
		t.Error("the reachable host was not undone")
	}
	b.log.Close()
	w.hook = nil
	b = newBench(t, loadPlan(t, happy), path)
	if status, err := b.Rollback(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v", status, err)
	}
	if s := b.log.State(); len(s.Debts) != 0 || !s.Over() || w.has("b:three") || w.has("b:four") {
		t.Errorf("debts left: %+v", s.Debts)
	}
	if w.took["a:three"] != 1 {
		t.Errorf("a:three was taken %d times", w.took["a:three"])
	}
}

func TestLostLinkAsksUnlessItCanLook(t *testing.T) {
	w := newWorld()
	lost := true
	w.hook = func(op, name, host string) error {
		if lost && (name == "seen" || name == "blind") {
			w.put[host+":"+name]++ // it was done, and the link broke before the answer came
			if name == "blind" {
				lost = false
			}
			return &remote.LostError{Host: host, Err: io.ErrUnexpectedEOF}
		}
		return nil
	}
	b := newBench(t, loadPlan(t, twoHosts+`
prepare:
  - {step: Seen, on: a, put: {name: seen}}
  - {step: Blind, on: a, put: {name: blind, blind: true}}
`), filepath.Join(t.TempDir(), "j"), "findings=go", "unknown/blind=done", "close=close")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
		t.Fatalf("%q, %v", status, err)
	}
	if w.put["a:seen"] != 1 || w.put["a:blind"] != 1 {
		t.Errorf("done twice: %v", w.put)
	}
}

func TestOptionalRetryWhen(t *testing.T) {
	w := newWorld()
	tries := 0
	w.hook = func(op, name, _ string) error {
		if name == "opt" {
			return errors.New("never")
		}
		if name == "again" {
			if tries++; tries < 3 {
				return errors.New("not yet")
			}
		}
		return nil
	}
	b := newBench(t, loadPlan(t, twoHosts+`
prepare:
  - {step: Opt, on: a, optional: true, put: opt}
  - {step: Again, on: a, retry: {times: 3, wait: 1ms}, put: {name: again, again: true}}
  - {step: Never, on: a, when: "false", put: never}
  - {step: Always, on: a, when: "true", put: always}
  - {step: Ticket, ask: Open a ticket}
`), filepath.Join(t.TempDir(), "j"), "findings=go", "manual/ticket=done", "close=close")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
		t.Fatalf("%q, %v", status, err)
	}
	s := b.log.State()
	if s.Step("opt").Status != journal.FailedStatus || tries != 3 || s.Step("never").Status != journal.Skipped || !w.has("a:always") {
		t.Errorf("opt %q, %d tries, never %q", s.Step("opt").Status, tries, s.Step("never").Status)
	}
	if got := string(s.Step("ticket").Memory[""]["said"]); got != `"T-1"` {
		t.Errorf("evidence %s", got)
	}
}

func TestFindingsGate(t *testing.T) {
	newWorld()
	b := newBench(t, loadPlan(t, happy), filepath.Join(t.TempDir(), "j"),
		"findings=go", "findings=accept:x/a/k", "findings=recheck", "findings=go", "findings=accept:x/a/k", "findings=go", "sign-off=stop")
	n := 0
	b.Judging = func(context.Context, []checks.Check) []checks.Finding {
		n++
		level := checks.Block
		if n > 1 {
			level = checks.Unknown
		}
		return []checks.Finding{{Check: "x", Host: "a", Key: "k", Level: level, Text: "t"}}
	}
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Stopped {
		t.Fatalf("%q, %v", status, err)
	}
	refused := strings.Count(strings.Join(b.op.asked, "\n"), "refused")
	if refused != 3 {
		t.Errorf("%d refused, want go on a block, accepting a block, go on an unknown: %q", refused, b.op.asked)
	}
}

// An item that reads like the gate's own line is no approval.
func TestItemNamedGoIsNoGo(t *testing.T) {
	newWorld()
	b := newBench(t, loadPlan(t, twoHosts+`
signoff: [Go]
cutover:
  - {step: Four, on: b, put: four}
`), filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=sign:go", "sign-off=sign:go", "sign-off=no-go")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.NoGo {
		t.Fatalf("%q, %v", status, err)
	}
	if it := b.log.State().Items[journal.GoItem]; it != nil {
		t.Errorf("signing an item counted as a go: %+v", it)
	}
}

func TestHintsReadTheErrorAndTheLog(t *testing.T) {
	newWorld().hook = func(string, string, string) error { return errors.New("exit status 1") }
	b := newBench(t, loadPlan(t, twoHosts+`
prepare:
  - step: One
    on: a
    put: one
    hints:
      - {match: "already allocated", cause: the old one has the port, fix: stop it}
      - {match: "status 1$", cause: it said so, fix: read it}
      - {match: "no such line", cause: nothing, fix: nothing}
`), filepath.Join(t.TempDir(), "j"), "findings=go", "failed/one=stop")
	b.Tail = func(step, host string) []string {
		return []string{"x", "port 8088 already allocated (" + step + " " + host + ")"}
	}
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Stopped {
		t.Fatalf("%q, %v", status, err)
	}
	var q journal.Question
	for _, e := range b.log.Events(0) {
		if e.Type == journal.Asked && e.Step == "one" {
			if err := json.Unmarshal(e.Data, &q); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !strings.Contains(q.Text, "the old one has the port") || !strings.Contains(q.Text, "read it") || strings.Contains(q.Text, "nothing\n") {
		t.Errorf("question says:\n%s", q.Text)
	}
}

func TestOutcomeThatStaysUnknownIsPutToAPerson(t *testing.T) {
	w := newWorld()
	tries := 0
	w.hook = func(_, name, host string) error {
		if tries++; tries < 7 {
			return &remote.LostError{Host: host, Err: io.ErrUnexpectedEOF}
		}
		return nil
	}
	b := newBench(t, loadPlan(t, twoHosts+`
prepare:
  - {step: One, on: a, put: {name: one, again: true}}
`), filepath.Join(t.TempDir(), "j"), "findings=go", "unknown/one=recheck", "unknown/one=recheck", "unknown/one=recheck", "close=close")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	if w.put["a:one"] != 1 || tries != 7 {
		t.Errorf("done %d times in %d tries", w.put["a:one"], tries)
	}
}

func TestOutsideTheWindowWantsAReason(t *testing.T) {
	newWorld()
	for now, needs := range map[string]string{"2026-12-01T22:10:00Z": "name", "2026-12-01T21:00:00Z": "name reason", "2026-12-01T23:00:00Z": "name reason"} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, loadPlan(t, "window: {start: 2026-12-01T22:00Z, length: 45m}\n"+happy), filepath.Join(t.TempDir(), "j"), append(happyAnswers[:4:4], "cutover=no-go")...)
		b.Now = func() time.Time { return at }
		if status, err := b.Walk(context.Background()); err != nil || status != journal.NoGo {
			t.Fatalf("%q, %v", status, err)
		}
		for _, e := range b.log.Events(0) {
			var q journal.Question
			if e.Type == journal.Asked && json.Unmarshal(e.Data, &q) == nil && q.Kind == journal.AskCutover {
				if o, _ := q.Option("go"); o.Needs != needs {
					t.Errorf("at %s going needs %q, want %q: %s", now, o.Needs, needs, q.Text)
				}
			}
		}
	}
}

// A failed undo is put to a person, also after a crash or a stop: it is not
// undone again unasked.
func TestFailedUndoIsAskedAboutAgain(t *testing.T) {
	w := newWorld()
	undos := 0
	w.hook = func(op, name, _ string) error {
		if op == "take" && name == "one" {
			undos++
			return errors.New("stuck")
		}
		return nil
	}
	path := filepath.Join(t.TempDir(), "j")
	p := loadPlan(t, happy)
	b := newBench(t, p, path, "findings=go", "sign-off=rollback", "rollback=go", "failed/one=retry")
	b.op.quiet = true
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Stopped || undos != 2 {
		t.Fatalf("%q, %v, undone %d times", status, err, undos)
	}
	id := b.log.State().Questions[0].ID
	b.log.Close()
	b = newBench(t, p, path, "failed/one=skip")
	if status, err := b.Rollback(context.Background()); err != nil || status != journal.RolledBack || undos != 2 {
		t.Fatalf("%q, %v, undone %d times", status, err, undos)
	}
	s := b.log.State()
	if len(s.Debts) != 1 || s.Answers[len(s.Answers)-1].Question != id {
		t.Errorf("debts %v; answered %+v, want %s", s.Debts, s.Answers[len(s.Answers)-1], id)
	}
}

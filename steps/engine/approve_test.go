package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"belay/checks"
	"belay/remote"
	"belay/steps/journal"
	"belay/steps/plan"
)

const approvedPlan = twoHosts + `
prepare:
  - {step: One, on: a, put: one}
signoff:
  - The team knows
approvers: %s
cutover:
  - {step: Four, on: b, put: four}
`

func refusals(b *bench) (all []string) {
	for _, a := range b.op.asked {
		if why, ok := strings.CutPrefix(a, "refused: "); ok {
			all = append(all, why)
		}
	}
	return all
}

// One login is one approver whatever names it types, and whatever sudo made of
// it, unless the plan goes by names.
func TestApproversAreToldApartByLogin(t *testing.T) {
	for _, c := range []struct{ approvers, second, refused string }{
		{"2", "Grace/ada", "two names there count as one person"},
		{"2", "Grace/ada as root", "two names there count as one person"},
		{"2", "Ada/grace", "Ada has said go already"},
		{"2", "Grace/grace", ""},
		{"{count: 2, distinct: name}", "Grace/ada", ""},
		{"{count: 2, distinct: name}", " ada /grace", "has said go already"},
	} {
		newWorld()
		b := newBench(t, loadPlan(t, fmt.Sprintf(approvedPlan, c.approvers)), filepath.Join(t.TempDir(), "j"),
			"findings=go", "sign-off=sign:the-team-knows", "sign-off=go@Ada/ada", "sign-off=go@"+c.second, "sign-off=stop", "cutover=stop")
		if _, err := b.Walk(context.Background()); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(refusals(b), "; ")
		if (c.refused == "") != (got == "") || !strings.Contains(got, c.refused) {
			t.Errorf("%s, %s: refused %q, want %q", c.approvers, c.second, got, c.refused)
		}
	}
}

func TestRoles(t *testing.T) {
	newWorld()
	text := fmt.Sprintf(approvedPlan, "[{role: dba, who: [ada, grace]}, {role: product}]")
	b := newBench(t, loadPlan(t, text), filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=sign:the-team-knows",
		"sign-off=go@Eve/eve for dba", "sign-off=go@Eve/eve for captain", "sign-off=go@Ada/ada for product",
		"sign-off=go@Ada/ada for dba", // moves, and leaves the other role
		"sign-off=go@Grace/grace for dba", "sign-off=go@Eve/eve", "cutover=stop")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Stopped {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	want := []string{"the role dba is for ada or grace, and you came by the login eve", `no role "captain"`, "Ada has said go for dba already"}
	got := refusals(b)
	if len(got) != len(want) {
		t.Fatalf("refused %q", got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("refused %q, want %q", got[i], want[i])
		}
	}
	var seats []string
	for _, s := range b.Plan.Seats(b.log.State()) {
		seats = append(seats, s.Role+"="+s.Go.By.Login)
	}
	if got := strings.Join(seats, " "); got != "dba=ada product=eve" {
		t.Errorf("seats %s", got)
	}
	if v := b.log.State().Items[journal.GoItem].Voided; len(v) != 1 || v[0].Role != "product" {
		t.Errorf("voided %+v", v)
	}
}

// Who began the run, prepared it or said go does not cut over, but by breaking
// the glass, with a reason.
func TestSecondPerson(t *testing.T) {
	for _, c := range []struct {
		name, answer, refused string
		done                  bool
	}{
		{"who began it", "cutover=go@A/ada", "had a hand in the run", false},
		{"who answered it", "cutover=go@E/eve", "had a hand in the run", false},
		{"who said go", "cutover=go@G/grace as root", "has said go, and the plan wants another person", false},
		{"another", "cutover=go@M/mary", "", true},
		{"the glass", "cutover=break-glass@A/ada", "", true},
	} {
		w := newWorld()
		b := newBench(t, loadPlan(t, fmt.Sprintf(approvedPlan, "{second_person: true}")), filepath.Join(t.TempDir(), "j"),
			"findings=go@Eve/eve", "sign-off=sign:the-team-knows", "sign-off=go@Grace/grace", c.answer, "cutover=stop", "close=stop")
		if _, err := b.Walk(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(refusals(b), "; "); !strings.Contains(got, c.refused) || (c.refused == "") != (got == "") || w.has("b:four") != c.done {
			t.Errorf("%s: cut over %v, refused %q", c.name, w.has("b:four"), got)
		}
	}
	q := journal.Question{Options: []journal.Option{{Choice: breakGlass, Needs: "name reason"}}}
	if err := q.Check(journal.Answer{Choice: breakGlass, By: journal.Author{Name: "Ada"}}); err == nil {
		t.Error("the glass breaks without a reason")
	}
}

// What is signed is void once the plan's hosts are elsewhere, a finding is new
// or worse, or somebody has said no-go; what changes nothing voids nothing.
func TestWhatVoidsASignature(t *testing.T) {
	for _, c := range []struct {
		name, why string
		change    func(*bench)
		item      bool // the statement of a person is void, too
	}{
		{"nothing", "", func(*bench) {}, false},
		{"a finding is gone", "", func(b *bench) { b.Judging = finds() }, false},
		{"a new finding", "new finding, warn: disk is low", func(b *bench) { b.Judging = finds(warn("clock"), warn("disk is low")) }, false},
		{"a worse one", "finding worse, warn now block: clock", func(b *bench) {
			f := warn("clock")
			f.Level = checks.Block
			b.Judging = finds(f)
		}, false},
		{"another host", "host b was old:22 and is new:22", func(b *bench) { b.Hosts["b"] = remote.Host{Name: "b", Addr: "new:22"} }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			newWorld()
			path := filepath.Join(t.TempDir(), "j")
			p := loadPlan(t, fmt.Sprintf(approvedPlan, "2"))
			begin := func(script ...string) *bench {
				b := newBench(t, p, path, script...)
				b.Hosts["b"] = remote.Host{Name: "b", Addr: "old:22"}
				b.Judging = finds(warn("clock"))
				return b
			}
			b := begin("findings=accept:"+journal.FindingID("clock", "", ""), "findings=go", "sign-off=sign:the-team-knows", "sign-off=go@Ada", "sign-off=stop")
			if _, err := b.Walk(context.Background()); err != nil {
				t.Fatal(err)
			}
			b.log.Close()
			b = begin("sign-off=recheck", "sign-off=stop")
			c.change(b)
			if _, err := b.Walk(context.Background()); err != nil {
				t.Fatal(err)
			}
			s := b.log.State()
			voided := s.Items[journal.GoItem].Voided
			if c.why == "" {
				if len(voided) != 0 || len(s.Items[journal.GoItem].Signed) != 1 {
					t.Errorf("voided %+v", voided)
				}
				return
			}
			if len(voided) != 1 || !strings.Contains(voided[0].Why, c.why) || len(s.Items[journal.GoItem].Signed) != 0 {
				t.Errorf("voided %+v, want %q", voided, c.why)
			}
			if it := s.Items["the-team-knows"]; it.OK == c.item {
				t.Errorf("the person's item: %+v", it)
			}
		})
	}
	s := journal.NewState()
	s.PlanHash = "now"
	if why := s.Shaken(&journal.Bound{Plan: "then"}); len(why) != 1 || !strings.Contains(why[0], "the plan has changed") {
		t.Errorf("another plan: %q", why)
	}
}

func warn(text string) checks.Finding {
	return checks.Finding{Check: text, Level: checks.Warn, Text: text}
}

func finds(fs ...checks.Finding) func(context.Context, []checks.Check) []checks.Finding {
	return func(context.Context, []checks.Check) []checks.Finding { return fs }
}

// TestNeverFewerApprovers: whatever people say, whatever changes, and wherever
// belay dies, no cutover begins while fewer valid and distinct go's stand than
// the plan asks for.
func TestNeverFewerApprovers(t *testing.T) {
	begun := 0
	for seed := range uint64(60) {
		if neverFewer(t, rand.New(rand.NewPCG(seed, 8))) {
			begun++
		}
	}
	if begun < 6 {
		t.Errorf("only %d of 60 tales came to a cutover: they prove little", begun)
	}
}

func neverFewer(t *testing.T, r *rand.Rand) (begun bool) {
	t.Helper()
	w := newWorld()
	approvers := []string{"2", "3", "{count: 2, distinct: name}", "[{role: dba, who: [ada, grace]}, {role: product}]", "{count: 2, second_person: true}"}[r.IntN(5)]
	p := loadPlan(t, fmt.Sprintf(approvedPlan, approvers))
	path := filepath.Join(t.TempDir(), "j")
	place, level := 0, 0
	var b *bench
	w.hook = func(op, name, _ string) error {
		if op == "put" && name == "four" {
			begun = true
			checkApproved(t, p, b.log.State(), approvers)
		}
		return nil
	}
	for range 12 { // lives of belay
		b = newBench(t, p, path)
		b.Hosts["b"] = remote.Host{Name: "b", Addr: fmt.Sprint("b:", place)}
		b.Judging = func(context.Context, []checks.Check) []checks.Finding {
			f := warn("disk")
			f.Level = []checks.Level{checks.Pass, checks.Warn, checks.Unknown}[level]
			return []checks.Finding{f}
		}
		b.Operator = asker(func(ctx context.Context, q journal.Question) (journal.Answer, error) {
			for try := 0; ; try++ {
				if err := context.Cause(ctx); err != nil {
					return journal.Answer{}, err
				}
				if r.IntN(12) == 0 {
					level = r.IntN(3)
				}
				a := anybody(r, q, b.log.State())
				if try > 60 {
					a = journal.Answer{Choice: "stop"}
				}
				if b.Judge(q, a) == nil {
					return a, nil
				}
			}
		})
		var log Log = b.log
		if r.IntN(3) > 0 {
			log = &dying{Journal: b.log, left: 4 + r.IntN(30), after: r.IntN(2) == 0}
		}
		b.Log = log
		status, err := b.Walk(context.Background())
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		over := b.log.State().Over()
		b.log.Close()
		if over || begun || status == journal.RolledBack {
			return begun
		}
		if r.IntN(6) == 0 {
			place++
		}
	}
	return begun
}

// anybody answers anything, often what helps.
func anybody(r *rand.Rand, q journal.Question, s *journal.State) journal.Answer {
	people := []journal.Author{{Name: "Ada", Login: "ada"}, {Name: "Grace", Login: "grace"}, {Name: "Grace", Login: "ada"}, {Name: "Mary", Login: "mary as root"}, {Name: "Eve", Login: "mary"}}
	o := q.Options[r.IntN(len(q.Options))]
	if help, ok := q.Option("go"); ok && r.IntN(2) == 0 {
		o = help
	}
	if o.Choice == "rollback" || o.Choice == "stop" && r.IntN(3) > 0 {
		o = q.Options[0]
	}
	a := journal.Answer{Choice: o.Choice, Text: o.Type, Reason: "because", By: people[r.IntN(len(people))]}
	switch {
	case o.Choice == "accept" && len(s.Findings) > 0:
		a.Item = s.Findings[r.IntN(len(s.Findings))].ID
	case o.Choice == "sign":
		a.Item = "the-team-knows"
	case o.Choice == "go" && q.Kind == journal.AskSignoff:
		a.Role = []string{"", "", "dba", "product"}[r.IntN(4)]
	}
	return a
}

// checkApproved looks by itself, and not by the engine's own count.
func checkApproved(t *testing.T, p *plan.Plan, s *journal.State, approvers string) {
	t.Helper()
	var logins, names, roles []string
	for _, a := range s.Items[journal.GoItem].Signed {
		if a.Bound == nil || a.Bound.Plan != p.Hash || a.Bound.Hosts["b"] != s.Places["b"] {
			t.Errorf("approvers %s: a go upon something else counts: %+v", approvers, a)
		}
		for _, f := range s.Findings {
			was := a.Bound.Findings[f.ID]
			if f.Level == "warn" && was == "" || f.Level == "unknown" && was != "unknown" {
				t.Errorf("approvers %s: a go before a finding was worse counts: %+v, %+v", approvers, a, f)
			}
		}
		who, _, _ := strings.Cut(a.By.Login, " ")
		logins, names, roles = append(logins, who), append(names, a.By.Name), append(roles, a.Role)
	}
	distinct := func(all []string) int { slices.Sort(all); return len(slices.Compact(all)) }
	want := 2
	if approvers == "3" {
		want = 3
	}
	if distinct(names) < want || !strings.Contains(approvers, "name") && distinct(logins) < want || strings.Contains(approvers, "role") && (distinct(roles) < 2) {
		t.Errorf("approvers %s: cut over upon the go of %v (%v), for %v", approvers, names, logins, roles)
	}
	if it := s.Items["the-team-knows"]; it == nil || !it.OK {
		t.Errorf("cut over without the item: %+v", it)
	}
}

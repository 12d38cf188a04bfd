package plan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"belay/steps/journal"

	"github.com/google/go-cmp/cmp"
)

const wayPlan = `belay: 1
name: shop
hosts: {a: {}}
vars: {dir: /srv}
prepare:
  - {step: One, run: "true"}
cutover:
  - {step: Two, run: "true"}
rollback:
  emergency:
    loses: what was written in ${{ dir }} since the cutover
  graceful:
    about: Nobody writes meanwhile.
    loses: what cannot be merged
    from: soak
    before:
      - {step: Maintenance on, run: "touch ${{ dir }}/off", hints: [{match: full, cause: the disk is full, mend: "rm ${{ dir }}/tmp"}]}
      - each: {db: [shop, blog]}
        step: Export ${{ db }}
        run: "dump ${{ db }}"
    after:
      - together:
          - {step: Maintenance off, run: "rm ${{ dir }}/off"}
          - {step: Tell them, run: "true"}
`

func TestWaysBack(t *testing.T) {
	p, err := Load("p.yaml", []byte(wayPlan), fakeKinds())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range p.Ways {
		got = append(got, w.Name+" "+string(w.From)+": "+w.Loses)
		for _, s := range w.Steps() {
			got = append(got, s.ID+" "+string(s.Stage)+" "+s.Params)
		}
	}
	if d := cmp.Diff([]string{
		"emergency cutover: what was written in /srv since the cutover", "graceful soak: what cannot be merged",
		"maintenance-on rollback touch /srv/off\n", "export-shop rollback dump shop\n", "export-blog rollback dump blog\n",
		"maintenance-off rollback rm /srv/off\n", "tell-them rollback true\n",
	}, got); d != "" {
		t.Error(d)
	}
	for id, before := range map[string]bool{"export-blog": true, "maintenance-on-mend-1": true, "tell-them": false} {
		if w, b := p.WayOf(id); w == nil || w.Name != "graceful" || b != before || p.Step(id) == nil {
			t.Errorf("%s: %v %v", id, w, b)
		}
	}
	if w, _ := p.WayOf("two"); w != nil {
		t.Errorf("a step of the cutover belongs to %s", w.Name)
	}
	if len(p.Steps()) != 2 || len(p.AllSteps()) != 7 {
		t.Errorf("%d steps in stages, %d in all", len(p.Steps()), len(p.AllSteps()))
	}
}

// What a way gives up is only in question once its stage has begun.
func TestWaysAreOfferedFromTheirStage(t *testing.T) {
	p, err := Load("p.yaml", []byte(wayPlan), fakeKinds())
	if err != nil {
		t.Fatal(err)
	}
	names := func(s *journal.State) string {
		var all []string
		for _, w := range p.WaysFrom(s) {
			all = append(all, w.Name)
		}
		return strings.Join(all, " ")
	}
	s := journal.NewState()
	seq := uint64(0)
	do := func(e journal.Event) {
		seq++
		e.Seq, e.Time = seq, time.Unix(int64(seq), 0)
		s.Apply(e)
	}
	do(journal.Event{Type: journal.StageEntered, Key: "cutover"})
	if got := names(s); got != "" {
		t.Errorf("at the gate of the cutover: %q", got)
	}
	do(journal.Event{Type: journal.StepStarted, Step: "two"})
	if got := names(s); got != "emergency" {
		t.Errorf("in the cutover: %q", got)
	}
	do(journal.Event{Type: journal.StageEntered, Key: "soak"})
	if got := names(s); got != "emergency graceful" {
		t.Errorf("in the soak: %q", got)
	}
}

func TestProblemsOfWays(t *testing.T) {
	for text, want := range map[string]string{
		"  Fast: {loses: x}\n":                                       `cannot name a way back`,
		"  back: {loses: x}\n":                                       `means something else`,
		"  quick: {}\n":                                              `"loses" is missing`,
		"  quick: now\n":                                             `a way back takes`,
		"  quick: {loses: x, steps: []}\n":                           `unknown key "steps"`,
		"  quick: {loses: x, from: close}\n":                         `"close"`,
		"  quick: {loses: x, before: no}\n":                          `"before" takes a list of steps`,
		"  quick: {loses: x, after: [{step: One, run: x}]}\n":        `step id "one" is taken`,
		"  quick: {loses: x, after: [{step: S, run: x, undo: y}]}\n": `is never undone`,
		"  quick: {loses: x, after: [{step: S, run: x}]}\nsignoff: [{check: s}]\n": `belongs to a way back`,
	} {
		head := "belay: 1\nname: x\nhosts: {a: {}}\nprepare: [{step: One, run: x}]\nrollback:\n"
		_, err := Load("p.yaml", []byte(head+text), fakeKinds())
		var ps *Problems
		if !errors.As(err, &ps) || len(ps.List) != 1 || !strings.Contains(ps.Error(), want) {
			t.Errorf("%s want %q:\n%v", text, want, err)
		}
	}
}

func TestExampleOfWays(t *testing.T) {
	head := "belay: 1\nname: x\nhosts: {chat: {}}\n"
	if _, err := Load("p.yaml", []byte(head+waysExample), All()); err != nil {
		t.Error(err)
	}
	text, err := Manual(All(), "rollback")
	if err != nil || !strings.Contains(text, "loses  text, required") || !strings.Contains(text, "one of prepare, cutover, soak, default cutover") {
		t.Errorf("%v\n%s", err, text)
	}
}

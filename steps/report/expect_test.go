package report

import (
	"strings"
	"testing"

	"belay/steps/journal"
)

// What was measured, what is a guess and what nobody knows look different.
func TestEstimateWords(t *testing.T) {
	for want, e := range map[string]*Estimate{
		"3m 00s, at worst 5m 00s (3 runs)": {Runs: 3, Median: 180, Worst: 300},
		"3m 00s (1 run)":                   {Runs: 1, Median: 180, Worst: 180},
		"~40s, a guess":                    {Median: 40, Worst: 40},
		"~40s, at worst 50s or more, a guess: 1 step never measured": {Runs: 2, Median: 40, Worst: 50, Unknown: 1},
		"not measured before": {},
	} {
		if got := e.Words(); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
	if got := (*Estimate)(nil).Words(); got != "not measured before" {
		t.Error(got)
	}
}

func TestOver(t *testing.T) {
	e := &Estimate{Runs: 3, Median: 100, Worst: 200}
	for took, want := range map[float64]string{100: "as expected", 105: "as expected", 150: "+50s", 260: "longer than ever: +1m 00s", 40: "-1m 00s", 199: "+1m 39s"} {
		if got, _ := e.over(took); got != want {
			t.Errorf("%v s: %q, want %q", took, got, want)
		}
	}
	if got, _ := (&Estimate{Median: 1, Worst: 1}).over(99); got != "" {
		t.Errorf("a guess judges: %q", got)
	}
}

// Nothing is drawn of a plan that was never measured.
func TestNothingExpected(t *testing.T) {
	for _, x := range []*Expected{nil, {}} {
		r := Build(thePlan(t), forward(), Options{Expected: x})
		page, err := r.html(nil)
		if err != nil {
			t.Fatal(err)
		}
		if md := string(r.Markdown()); strings.Contains(md, "Planned against") || strings.Contains(string(page), "Planned against") {
			t.Errorf("planned against actual, with nothing planned:\n%s", md)
		}
	}
}

func TestFrozen(t *testing.T) {
	p := thePlan(t)
	for name, want := range map[string]string{
		"forward": "Out of service", "back": "Out of service", "mended": "", "crashed": "",
	} {
		r := Build(p, stories[name](), Options{})
		if (r.Frozen != nil) != (want != "") {
			t.Errorf("%s: %+v", name, r.Frozen)
		}
		if r.Frozen != nil && (r.Frozen.End.IsZero() || !strings.Contains(string(r.Markdown()), want)) {
			t.Errorf("%s: %+v", name, r.Frozen)
		}
	}
	// The steps of a stage that run side by side count once.
	var side []journal.Event
	s := begin()
	s.enter(journal.Prepare)
	s.start("take-a-copy", 1)
	s.start("write-the-settings", 1)
	s.pass(60e9)
	s.passed("take-a-copy")
	s.passed("write-the-settings")
	side = s.events
	r := Build(p, side, Options{})
	a, _ := r.Steps[0].Worked()
	b, _ := r.Steps[1].Worked()
	if w := r.Stages[0].Worked; w < max(a, b) || w >= a+b-1 {
		t.Errorf("two steps of %v and %v s side by side count %v s", a, b, w)
	}
}

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"belay/remote"
	"belay/steps/journal"
)

// Expected is what earlier runs of the plan lead to expect of one.
type Expected struct {
	Steps map[string]Estimate        // by step
	Back  map[string]Estimate        // undoing it
	Stage map[journal.Stage]Estimate // all its steps, lanes side by side
	Undo  Estimate                   // going back from where the run stood when it turned, or stands now
}

// Estimate is how long something was expected to take. The zero value: nobody
// knows.
type Estimate struct {
	Runs   int     `json:"runs"`            // that it was measured in; 0: it is a guess
	Rough  bool    `json:"rough,omitempty"` // measured, but with far less data, or not all of it
	Median float64 `json:"median_seconds"`
	Worst  float64 `json:"worst_seconds"`
	// Unknown counts parts of it that nobody knows anything of; they count as
	// nothing, so that it takes longer.
	Unknown int `json:"unknown,omitempty"`
}

// Known tells whether there is anything to show.
func (e *Estimate) Known() bool { return e != nil && (e.Median > 0 || e.Worst > 0 || e.Runs > 0) }

// Guess tells whether it was not measured as it stands.
func (e *Estimate) Guess() bool { return e.Runs == 0 || e.Unknown > 0 || e.Rough }

// Words say the estimate: "3m 00s, at worst 5m 00s (3 runs)"; a guess has a
// tilde, as on the screens.
func (e *Estimate) Words() string {
	if !e.Known() {
		return "not measured before"
	}
	text := duration(e.Median)
	if e.Worst > e.Median {
		text += ", at worst " + duration(e.Worst)
	}
	switch {
	case e.Unknown > 0:
		return fmt.Sprintf("~%s or more, a guess: %s never measured", text, remote.Plural(e.Unknown, "step"))
	case e.Guess():
		return "~" + text + ", a guess"
	}
	return text + " (" + remote.Plural(e.Runs, "run") + ")"
}

// over says in a word how a time compares with what was expected; "" where
// nothing was measured.
func (e *Estimate) over(took float64) (word, class string) {
	switch {
	case !e.Known() || e.Guess():
		return "", "idle"
	case took > max(e.Worst*1.05, e.Worst+1):
		return "longer than ever: +" + duration(took-e.Worst), "care"
	case took > max(e.Median*1.1, e.Median+1):
		return "+" + duration(took-e.Median), "good"
	case took < min(e.Median*0.9, e.Median-1):
		return "-" + duration(e.Median-took), "good"
	}
	return "as expected", "good"
}

// finishExpected puts beside each step, stage and undo what was expected.
func (b *builder) finishExpected(x *Expected) {
	b.r.Frozen = b.frozen()
	if b.r.Rollback == nil {
		b.lose()
		b.r.Losing = b.losses
	}
	for i := range b.r.Stages {
		b.r.Stages[i].Worked = worked(b.r.Steps, b.r.Stages[i].Stage)
	}
	if x == nil {
		return
	}
	known := func(e Estimate) *Estimate {
		if !e.Known() {
			return nil
		}
		return &e
	}
	for i, s := range b.r.Steps {
		b.r.Steps[i].Planned = known(x.Steps[s.ID])
	}
	for i, s := range b.r.Stages {
		b.r.Stages[i].Planned = known(x.Stage[s.Stage])
	}
	b.r.BackPlanned = known(x.Undo)
	if b.r.Rollback == nil {
		return
	}
	for i, s := range b.r.Rollback.Steps {
		b.r.Rollback.Steps[i].Planned = known(x.Back[s.Step])
	}
}

// Worked is how long the attempts of a step lasted, without the questions
// between them; known is false where it never began or has no end.
func (s Step) Worked() (seconds float64, known bool) {
	for _, a := range s.Attempts {
		if a.Number > 0 && !a.Span.End.IsZero() {
			seconds, known = seconds+a.Span.Seconds, true
		}
	}
	return millis(seconds), known
}

// worked is for how long at least one step of a stage was at work.
func worked(steps []Step, stage journal.Stage) float64 {
	var spans []Span
	for _, s := range steps {
		for _, a := range s.Attempts {
			if s.Stage == stage && a.Number > 0 && a.Span.End.After(a.Span.Begin) {
				spans = append(spans, a.Span)
			}
		}
	}
	slices.SortStableFunc(spans, func(x, y Span) int { return x.Begin.Compare(y.Begin) })
	var sum float64
	var until time.Time
	for _, s := range spans {
		if s.Begin.Before(until) {
			s.Begin = until
		}
		if d := s.End.Sub(s.Begin).Seconds(); d > 0 {
			sum, until = sum+d, s.End
		}
	}
	return millis(sum)
}

// frozen is from the first step of the cutover that set out to change something
// to the end of the cutover, or of the rollback that took its place: at most
// that long nobody was served. Nil before that.
func (b *builder) frozen() *Span {
	begin := -1
	for i, e := range b.events {
		s := b.stepOf[e.Step]
		switch {
		case begin < 0 && e.Type == journal.StepStarted && s != nil && s.Stage == journal.Cutover:
			begin = i
		case begin >= 0 && e.Type == journal.StageDone && journal.Stage(e.Key) == journal.Cutover,
			begin >= 0 && e.Type == journal.RunEnded && journal.Status(e.Key) == journal.RolledBack:
			s := b.clock.span(begin, i)
			return &s
		}
	}
	if begin < 0 {
		return nil
	}
	s := b.clock.open(begin)
	return &s
}

// row is a line of the chart of planned against actual.
type row struct {
	Title   string
	Head    bool // a stage, or the rollback
	Took    float64
	Ran     bool // Took is known
	Planned *Estimate
	Words   string // both, in words
	Over    string // how they compare; "" where nobody can tell
	Class   string
}

// race is the chart's rows: stages with their steps, then the rollback. Nil
// where nothing was expected of any.
func (r *Report) race() []row {
	var all []row
	any := false
	add := func(title string, head bool, took float64, ran bool, e *Estimate) {
		w := row{Title: title, Head: head, Took: took, Ran: ran, Planned: e, Class: "idle"}
		actual := "not run"
		if ran {
			actual = duration(took)
			w.Over, w.Class = e.over(took)
		}
		w.Words = actual + "; " + e.Words()
		if e.Known() {
			w.Words = actual + "; expected " + e.Words()
		}
		any = any || e.Known()
		all = append(all, w)
	}
	for _, st := range r.Stages {
		at := len(all)
		for _, s := range r.Steps {
			if took, ran := s.Worked(); s.Stage == st.Stage && (ran || s.Planned.Known() && !s.Already && s.Skipped == nil) {
				add(s.Title, false, took, ran, s.Planned)
			}
		}
		if len(all) > at {
			add(string(st.Stage), true, st.Worked, st.Worked > 0, st.Planned)
			all = slices.Insert(all[:len(all)-1], at, all[len(all)-1])
		}
	}
	if b := r.Rollback; b != nil && len(b.Steps) > 0 {
		total := 0.0
		for _, u := range b.Steps {
			total += u.Worked
		}
		add(string(journal.GoingBack), true, total, total > 0, r.BackPlanned)
		for _, u := range b.Steps {
			add("undo: "+u.Title, false, u.Worked, u.Worked > 0, u.Planned)
		}
	}
	if !any {
		return nil
	}
	return all
}

// scale is what the longest bar stands for; heads have no bars.
func scale(rows []row) float64 {
	longest := 0.0
	for _, w := range rows {
		if w.Head {
			continue
		}
		longest = max(longest, w.Took)
		if w.Planned != nil {
			longest = max(longest, w.Planned.Worst, w.Planned.Median)
		}
	}
	return cmp.Or(longest, 1)
}

// frozenWords say how long nobody was served, at most.
func (r *Report) frozenWords() string {
	if r.Frozen == nil {
		return ""
	}
	if r.Frozen.End.IsZero() {
		return "since " + moment(r.Frozen.Begin) + "; no end recorded"
	}
	return "at most " + r.Frozen.took() + ", from the first step of the cutover, " + moment(r.Frozen.Begin) + ", to " + moment(r.Frozen.End)
}

// backWords say what going back cost, or would cost.
func (r *Report) backWords() string {
	var parts []string
	if b := r.Rollback; b != nil {
		total := 0.0
		for _, u := range b.Steps {
			total += u.Worked
		}
		if b.Span.End.IsZero() {
			parts = append(parts, "No end is recorded; so far "+duration(total)+" of undoing")
		} else {
			parts = append(parts, "It took "+b.Span.took()+", of that "+duration(total)+" of undoing")
		}
		if n := r.owed(); n > 0 {
			parts = append(parts, remote.Plural(n, "debt")+" left")
		}
	}
	if r.BackPlanned.Known() {
		parts = append(parts, "expected "+r.BackPlanned.Words())
	}
	return strings.Join(parts, "; ")
}

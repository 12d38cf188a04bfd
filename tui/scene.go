package tui

import (
	"strings"
	"time"

	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
	"belay/tui/widget"
)

// scene is all that a screen draws from: one moment of the run.
type scene struct {
	th      widget.Theme
	plan    *plan.Plan
	steps   []*plan.Step             // of the plan, in order; then those of the way back that is taken
	shown   *plan.Way                // whose steps are among them; nil: none
	lanes   map[string]string        // by step: the mark of its lane
	hostW   int                      // cells for the hosts of a step
	counts  map[journal.Stage][2]int // steps done, steps there are
	timeW   int                      // cells for how long a step took, or a word instead
	titleW  int                      // cells that the longest title of a step needs
	st      *journal.State
	live    run.Live
	pen     *run.Pen // who may answer; nil where there is only this screen
	now     time.Time
	dir     string
	fore    foreseen
	learned bool   // the estimates are those of the journal
	name    string // typed by whoever sits here; "" until the first signature
	opt     Options
}

// point is where the hardware cursor goes, so that screen readers and
// magnifiers find what has the focus; y < 0: nowhere.
type point struct{ x, y int }

var nowhere = point{-1, -1}

// rowAt is the place of the focused row: its first cell.
func rowAt(y int) point { return point{0, y} }

// status says in a word how a step stands, as people should see it: a step
// with an open question waits for them.
func (sc *scene) status(id string) journal.Status {
	for _, q := range sc.st.Questions {
		if q.Step == id {
			return journal.WaitingYou
		}
	}
	s := sc.st.Step(id)
	if s.Undoing && s.UndoEnded.IsZero() && s.Status != journal.UndoFailedSt {
		return "undoing"
	}
	return s.Status
}

// took is how long a step ran, or has been running; 0 when it has not begun.
func (sc *scene) took(id string) time.Duration {
	s := sc.st.Step(id)
	from, to := s.Started, s.Ended
	if s.Undoing {
		from, to = s.UndoStarted, s.UndoEnded
	}
	if from.IsZero() {
		return 0
	}
	if to.IsZero() || to.Before(from) {
		if st := sc.status(id); st != journal.Running && st != "undoing" {
			return 0
		}
		to = sc.now
	}
	return to.Sub(from)
}

// current is the step that matters most now: with an open question, else
// running, else the first that is still to come; -1 in a plan without steps.
func (sc *scene) current() int {
	best, rank := -1, 99
	for i, s := range sc.steps {
		r := 9
		switch sc.status(s.ID) {
		case journal.WaitingYou:
			r = 0
		case journal.Running, "undoing":
			r = 1
		case journal.FailedStatus, journal.Unknown:
			r = 2
		case journal.Pending:
			r = 3
		}
		if r < rank {
			best, rank = i, r
		}
	}
	if rank == 9 {
		return len(sc.steps) - 1
	}
	return best
}

// count tells how many steps of a stage are behind us, and how many it has.
func (sc *scene) count(stage journal.Stage) (done, all int) {
	return sc.counts[stage][0], sc.counts[stage][1]
}

// tally counts the steps of all stages, once for a state.
func (sc *scene) tally() {
	sc.counts, sc.timeW, sc.titleW = map[journal.Stage][2]int{}, 7, 20
	for _, s := range sc.steps {
		sc.timeW = max(sc.timeW, widget.Width(sc.tookWord(s.ID)))
		sc.titleW = max(sc.titleW, widget.Width(sc.lanes[s.ID]+oneLine(s.Title)))
		c := sc.counts[s.Stage]
		c[1]++
		if st := sc.st.Steps[s.ID]; st != nil && (st.Status == journal.PassedStatus || st.Status == journal.Skipped) {
			c[0]++
		}
		sc.counts[s.Stage] = c
	}
}

// question returns the first open question of one of these kinds; of any kind
// when none is named.
func (sc *scene) question(kinds ...string) *journal.Question {
	for i := range sc.st.Questions {
		for _, k := range kinds {
			if sc.st.Questions[i].Kind == k {
				return &sc.st.Questions[i]
			}
		}
		if len(kinds) == 0 {
			return &sc.st.Questions[i]
		}
	}
	return nil
}

// undo says how a step is undone, in words; back is false when it cannot be.
func undo(s *plan.Step) (text string, back bool) {
	switch {
	case s.Stage == journal.GoingBack:
		return "it belongs to a way back and is not undone", true
	case s.Undo != nil && byHand(s.Undo) != "":
		return "by hand: " + byHand(s.Undo), true
	case s.Undo != nil && s.Undo.Title == "Undo: "+s.Title: // which plan gives it where the plan's author did not
		return "by the plan's undo (" + s.Undo.Kind.Name + ")", true
	case s.Undo != nil && s.Undo.Title != "" && s.Undo.Title != s.Title:
		return s.Undo.Title, true
	case s.Undo != nil:
		return oneLine((s.Undo.Params)), true
	case s.HasWayBack() && s.Kind.Name == "wait":
		return "nothing to undo: it only waits", true
	case s.HasWayBack() && s.Kind.Name == "run":
		return "by its own undo script", true
	case s.HasWayBack():
		return "by belay (" + s.Kind.Name + ")", true
	}
	return "NO WAY BACK", false
}

// byHand is what a step asks of a person; empty where it asks nobody.
func byHand(s *plan.Step) string {
	asker, ok := s.Do.(steps.Asker)
	if !ok {
		return ""
	}
	text, _ := asker.Instruction()
	return oneLine(text)
}

// where names the hosts of a step; empty when it has none.
func where(s *plan.Step) string { return oneLine(strings.Join(s.Where(), ", ")) }

// onWhere is where with the word before it.
func onWhere(s *plan.Step) string {
	if at := where(s); at != "" {
		return " on " + at
	}
	return ""
}

// lightWord says how a host is, in the words that have marks.
func (sc *scene) lightWord(host string) string { return sc.live.Lights[host].String() }

// worst orders lights: what is broken comes first.
func worst(l remote.Light) int {
	return map[remote.Light]int{remote.Down: 0, remote.Reconnecting: 1, remote.Connecting: 2, remote.Up: 3, remote.Unlit: 4}[l]
}

// clean makes anything from a plan, a host or the journal safe to draw.
func clean(s string) string { return widget.Clean(s) }

func oneLine(s string) string { return strings.Join(strings.Fields(widget.CleanLine(s)), " ") }

// plural writes "1 step", "3 steps".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return widget.Thousands(int64(n)) + " " + noun + "s"
}

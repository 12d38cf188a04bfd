package tui

import (
	"encoding/json"
	"math"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Kept is an interview as far as it went: what a dropped link, a closed
// terminal or a kill must not lose. There are no secrets in it: what is typed
// for a login is no answer.
type Kept struct {
	At      time.Time // of the last answer
	Page    string    // the question that was open
	Typed   []string  // what stood in its fields
	Answers Answers
}

// Same tells whether two interviews are about the same servers.
func (k Kept) Same(o Kept) bool {
	return k.Answers.From == o.Answers.From && k.Answers.To == o.Answers.To
}

// keeping puts an interview down as it goes on: off the screen's loop, one
// state after the other, and never an older one over a newer.
type keeping struct {
	d Drafter

	mu   sync.Mutex
	done int
	as   Kept // as it is kept now
}

// write puts k down, unless a later one has been.
func (x *keeping) write(n int, k Kept) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n <= x.done {
		return nil
	}
	x.done = n
	if x.as.Answers.From != "" && !x.as.Same(k) { // other servers are named now
		_ = x.d.Drop(x.as)
	}
	err := x.d.Keep(k)
	if err == nil {
		x.as = k
	}
	return err
}

// drop forgets what was kept; nothing is put down any more.
func (x *keeping) drop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done = math.MaxInt
	if x.as.Answers.From != "" {
		_ = x.d.Drop(x.as)
	}
}

// savedMsg says how it went.
type savedMsg struct{ err error }

// snapshot is the interview as it is now.
func (iv *interview) snapshot() Kept {
	k := Kept{Page: iv.page().about().name, Answers: iv.a}
	if iv.goal != "" {
		k.Page, k.Typed = iv.goal, iv.typed
	} else if t, ok := iv.page().(*typing); ok && !iv.plain {
		for _, f := range t.form.fields {
			k.Typed = append(k.Typed, f.in.Value())
		}
	}
	return k
}

// keep puts down what has changed since the last time; nil: nothing has.
func (iv *interview) keep() tea.Cmd {
	k, n, changed := iv.changed()
	if !changed {
		return nil
	}
	return func() tea.Msg { return savedMsg{iv.keeping.write(n, k)} }
}

func (iv *interview) changed() (k Kept, n int, changed bool) {
	k = iv.snapshot()
	text, err := json.Marshal(k)
	if err != nil || iv.a.From == "" || iv.written || string(text) == iv.last {
		return k, 0, false
	}
	iv.last = string(text)
	iv.saves++
	k.At = iv.o.Now()
	return k, iv.saves, true
}

// keepNow is keep for whoever may wait.
func (iv *interview) keepNow() {
	if k, n, changed := iv.changed(); changed {
		iv.saved(iv.keeping.write(n, k))
	}
}

// saved tells once that a disk takes nothing.
func (iv *interview) saved(err error) {
	if err != nil && !iv.unkept {
		iv.unkept = true
		iv.said = "Your answers cannot be kept for another time: " + err.Error()
	}
}

// finish is the last word: a plan that is written needs no interview any more.
func (iv *interview) finish() {
	if iv.written || iv.forget {
		iv.keeping.drop()
		return
	}
	iv.keepNow()
}

// goOn takes up an interview where it stopped. The servers are looked at anew:
// what they show may have changed.
func (iv *interview) goOn(k Kept) tea.Cmd {
	iv.a, iv.goal, iv.typed, iv.touched, iv.earlier = k.Answers, k.Page, k.Typed, true, nil
	iv.keeping.as = k
	if k.Page == "servers" {
		return iv.arrive()
	}
	return iv.show("look")
}

// arrive goes to the question at which an earlier interview stopped.
func (iv *interview) arrive() tea.Cmd {
	goal, typed := iv.goal, iv.typed
	iv.goal, iv.typed = "", nil
	for i, p := range iv.pages {
		q := p.about()
		if q.name != goal || !q.wanted(iv) || q.name == "look" {
			continue
		}
		cmd := iv.turn(i)
		if t, ok := p.(*typing); ok {
			for n := range min(len(typed), len(t.form.fields)) {
				t.form.fields[n].in.SetValue(oneLine(typed[n]))
			}
		}
		iv.said = "Your answers are back: here is where you stopped."
		return cmd
	}
	return iv.show("what")
}

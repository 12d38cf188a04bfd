package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bound is what a signature was given upon. What a person states (an item of
// the checklist) rests on the plan and its hosts; a go rests on everything.
type Bound struct {
	Plan  string            `json:"plan"`            // hash
	Hosts map[string]string `json:"hosts,omitempty"` // where each host was, by name
	// Of a go: the level of each finding that did not pass, by its id.
	Findings map[string]string `json:"findings,omitempty"`
	Go       bool              `json:"go,omitempty"`
}

// Void is the Data of Voided.
type Void struct {
	Signed []uint64 `json:"signed"` // the events that recorded them
	Why    string   `json:"why"`
}

// Dropped is a signature that counts no more.
type Dropped struct {
	Answer
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

// Basis is what a signature rests on that is given now.
func (s *State) Basis(isGo bool) *Bound {
	b := &Bound{Plan: s.PlanHash, Hosts: maps.Clone(s.Places), Go: isGo}
	if !isGo {
		return b
	}
	for _, f := range s.Findings {
		if f.Level != "pass" {
			if b.Findings == nil {
				b.Findings = map[string]string{}
			}
			if grave[f.Level] >= grave[b.Findings[f.ID]] { // of two by one id, what is judged again is the worse
				b.Findings[f.ID] = f.Level
			}
		}
	}
	return b
}

// grave orders the levels of findings.
var grave = map[string]int{"pass": 0, "warn": 1, "unknown": 2, "block": 3}

// Shaken says what has changed since a signature was given, so that it does not
// hold any more; nothing while it holds. A signature without its basis, of an
// older belay, holds as long as its run.
func (s *State) Shaken(b *Bound) []string {
	if b == nil {
		return nil
	}
	var why []string
	if b.Plan != s.PlanHash {
		why = append(why, fmt.Sprintf("the plan has changed: it was %.12s and is %.12s", b.Plan, s.PlanHash))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Places)) {
		was, known := b.Hosts[name]
		switch now := s.Places[name]; {
		case !known:
			why = append(why, fmt.Sprintf("host %s is new: %s", name, now))
		case was != now:
			why = append(why, fmt.Sprintf("host %s was %s and is %s", name, was, now))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Hosts)) {
		if _, there := s.Places[name]; !there {
			why = append(why, "host "+name+" is gone")
		}
	}
	if !b.Go {
		return why
	}
	for _, f := range s.Findings {
		was, known := b.Findings[f.ID]
		switch {
		case grave[f.Level] <= grave[was]:
		case known:
			why = append(why, fmt.Sprintf("finding worse, %s now %s: %s", was, f.Level, f.Text))
		default:
			why = append(why, fmt.Sprintf("new finding, %s: %s", f.Level, f.Text))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.Items)) {
		if it := s.Items[id]; it.Machine && !it.OK {
			why = append(why, fmt.Sprintf("“%s” does not hold any more (%s)", it.Text, it.Evidence))
		}
	}
	return why
}

// Seen is a sum of all that a person decides upon: when it differs from the sum
// of what they were shown, they have not seen everything.
func (s *State) Seen() string {
	all := struct {
		Basis *Bound
		Holds map[string]bool
	}{s.Basis(true), map[string]bool{}}
	for id, it := range s.Items {
		if it.Machine {
			all.Holds[id] = it.OK
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err) // plain data of our own
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// drop takes signatures of an item out of the count. Those to drop are chosen
// by which; the item of a person holds as long as one is left.
func (it *ItemState) drop(which func(Answer) bool, why string, at time.Time) {
	var left []Answer
	for _, a := range it.Signed {
		if which(a) {
			it.Voided = append(it.Voided, Dropped{a, why, at})
		} else {
			left = append(left, a)
		}
	}
	it.Signed = left
	if !it.Machine {
		it.OK = len(left) > 0
	}
}

// applyVoid folds what voids signatures: an event that names them, or a no-go,
// after which everybody who had said go is asked anew.
func (s *State) applyVoid(e Event) {
	if e.Type == Answered {
		a := answerOf(e)
		if it := s.Items[GoItem]; it != nil && a.Choice == "no-go" {
			it.drop(func(Answer) bool { return true }, strings.TrimRight("no-go by "+a.By.Who()+": "+a.Reason, ": "), e.Time)
		}
		return
	}
	var v Void
	if it := s.Items[e.Key]; it != nil && json.Unmarshal(e.Data, &v) == nil {
		it.drop(func(a Answer) bool { return slices.Contains(v.Signed, a.Seq) }, v.Why, e.Time)
	}
}

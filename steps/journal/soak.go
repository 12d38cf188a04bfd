package journal

import (
	"encoding/json"
	"slices"
	"time"
)

// Look is one look of a probe.
type Look struct {
	At   int64   `json:"at"`           // ms: of watching since the soak began, or of the clock for a baseline
	Was  string  `json:"was"`          // one of the Look constants
	Took float64 `json:"ms,omitempty"` // what was measured, in the tally's unit; 0: nothing
}

// How a look came out. What nobody knows is neither good nor bad.
const (
	LookGood    = "g"
	LookBad     = "b"
	LookUnknown = "u"
)

// Tally counts what one probe has seen.
type Tally struct {
	Probe   string    `json:"probe"`
	Good    int       `json:"good"`
	Bad     int       `json:"bad"`
	Unknown int       `json:"unknown"`
	P50     float64   `json:"p50_ms"`
	P95     float64   `json:"p95_ms"`
	Unit    string    `json:"unit,omitempty"`   // of what is measured; "": ms
	Last    string    `json:"last,omitempty"`   // the last answer in words
	Recent  []float64 `json:"recent,omitempty"` // the last measures, oldest first; -1 where it failed
	Over    string    `json:"over,omitempty"`   // which limit it is over, and for how long; "": none
	Looks   []Look    `json:"looks,omitempty"`  // those since the event before; none in a State
}

// ErrorRate is the share of the answers that were bad.
func (t Tally) ErrorRate() float64 {
	if t.Good+t.Bad == 0 {
		return 0
	}
	return float64(t.Bad) / float64(t.Good+t.Bad)
}

// Countdown is the Data of Counting: a rollback that begins by itself when
// nobody says otherwise.
type Countdown struct {
	Question string        `json:"question"` // that any answer to stops it
	Until    time.Time     `json:"until"`
	Length   time.Duration `json:"length"`
	Why      string        `json:"why"`
	Way      string        `json:"way,omitempty"` // the way back that would be taken
}

// How a countdown goes: the Key of Counting. One that a person stops ends with
// the answer.
const (
	CountBegun       = "begun"
	CountRanOut      = "ran out"
	CountRecovered   = "recovered"
	CountInterrupted = "interrupted" // belay ended meanwhile
)

// Turn is the Data of Turned: belay looks on while a verdict waits for a person,
// and what it sees may become better or worse.
type Turn struct {
	Time time.Time `json:"-"` // of the event
	How  string    `json:"-"` // its Key
	Why  string    `json:"-"` // in words
	// Bad is for how long a limit was passed in all since this watch began, as
	// far as belay looked on.
	Bad time.Duration `json:"bad"`
}

// How it turns: the Key of Turned. Without any, a limit is passed as it was at
// the verdict.
const (
	TurnWell  = "well"      // no limit is passed at the moment of asking
	TurnBack  = "recovered" // back within the limits
	TurnAgain = "bad again"
	TurnWorse = "worse"
	TurnEnd   = "answered" // the question is: what it came to
)

// SoakState is how the watch is going.
type SoakState struct {
	Begun   time.Time
	Since   time.Time // the newest SoakBegun
	Until   time.Time
	Watched time.Duration // how long belay itself has looked on since SoakBegun
	Probes  map[string]Tally
	Looks   map[string][]Look // by probe, oldest first; of the newest SoakBegun on
	Verdict string            // "", healthy, degraded, inconclusive
	Why     string
	Turns   []Turn // since the verdict

	Baseline  map[string]Tally  // by probe: what the old server was like before the cutover
	BaseLooks map[string][]Look // what Baseline is made of
	Memory    map[string]map[string]string
	Countdown *Countdown // the one that runs
	Manual    *Answer    // who stopped a countdown: from then on belay only asks
	Said      *Answer    // to accept it or to watch on, which is not carried out yet
}

// Turn is how it turned last, while somebody is asked; false: it did not.
func (k *SoakState) Turn() (Turn, bool) {
	for _, t := range slices.Backward(k.Turns) {
		if t.How != TurnEnd { // of a belay that ended before it wrote the answer down
			return t, true
		}
	}
	return Turn{}, false
}

// keptLooks bounds what is kept of one probe.
const keptLooks = 20000

func newSoak() SoakState {
	return SoakState{Probes: map[string]Tally{}, Looks: map[string][]Look{}, Baseline: map[string]Tally{},
		BaseLooks: map[string][]Look{}, Memory: map[string]map[string]string{}}
}

func (s *State) applySoak(e Event) {
	k := &s.Soak
	switch e.Type {
	case SoakBegun:
		var d SoakPlan
		_ = json.Unmarshal(e.Data, &d)
		if k.Begun.IsZero() {
			k.Begun = e.Time
		}
		k.Since, k.Until, k.Verdict, k.Why, k.Watched, k.Turns, k.Said = e.Time, d.Until, "", "", 0, nil, nil
		clear(k.Probes)
		clear(k.Looks)
	case Probed:
		t := tallyOf(e)
		k.Looks[e.Key] = keep(k.Looks[e.Key], t.Looks, keptLooks)
		for _, l := range t.Looks {
			k.Watched = max(k.Watched, time.Duration(l.At)*time.Millisecond)
		}
		t.Looks = nil
		k.Probes[e.Key] = t
	case Baselined:
		t := tallyOf(e)
		k.BaseLooks[e.Key] = keep(k.BaseLooks[e.Key], t.Looks, BaselineLooks)
		t.Looks = nil
		k.Baseline[e.Key] = t
	case Marked:
		var m map[string]string
		if json.Unmarshal(e.Data, &m) == nil {
			k.Memory[e.Key] = m
		}
	case Verdict:
		k.Verdict, k.Why, k.Turns = e.Key, e.Err, nil
	case Turned:
		t := Turn{Time: e.Time, How: e.Key, Why: e.Err}
		_ = json.Unmarshal(e.Data, &t)
		k.Turns = append(slices.Clip(k.Turns), t)
	case Counting:
		k.Countdown = nil
		if e.Key == CountRecovered || e.Key == CountInterrupted {
			k.Verdict, k.Why = "", "" // belay watches on
		}
		var d Countdown
		switch err := json.Unmarshal(e.Data, &d); {
		case e.Key == CountBegun && err == nil:
			k.Countdown = &d
		case e.Key == CountRanOut && err == nil:
			s.ranOut = d.Question
		}
	}
}

// answered ends the countdown of a question. What belay itself withdraws, or a
// countdown that ran out, is nobody's word.
func (k *SoakState) answered(a Answer) {
	if k.Countdown == nil || k.Countdown.Question != a.Question {
		return
	}
	k.Countdown = nil
	if a.Choice != "withdrawn" && a.Choice != "rollback" {
		k.Manual = &a
	}
}

// BaselineLooks is how many looks a baseline speaks of: the newest.
const BaselineLooks = 1000

// keep appends to what may be shared with snapshots, and drops the oldest.
func keep(old, more []Look, most int) []Look {
	all := append(old, more...)
	if len(all) > most+most/4 {
		all = slices.Clone(all[len(all)-most:])
	}
	return all
}

func tallyOf(e Event) Tally {
	var t Tally
	_ = json.Unmarshal(e.Data, &t)
	return t
}

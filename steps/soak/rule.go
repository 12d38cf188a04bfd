package soak

import (
	"fmt"
	"math"
	"strings"
	"time"

	"belay/steps/journal"
)

// The verdicts.
const (
	Healthy      = "healthy"
	Degraded     = "degraded"
	Inconclusive = "inconclusive"
)

// Rule is one limit of one probe.
type Rule struct {
	Trigger int           // the plan's trigger that it comes from
	For     time.Duration // so long passed, the probe is degraded
	Share   float64       // of guilty looks, that is too much when passed
	Above   float64       // > 0: a good look is guilty when it took longer; 0: a bad look is guilty
	Says    string        // the limit in words: "limit 5%"
	Tell    bool          // only observed: no verdict comes of it
	Lacks   string        // why it cannot be judged; empty: it can
}

// relevant tells whether a look says anything about the rule.
func (r Rule) relevant(l journal.Look) bool {
	if r.Above > 0 {
		return l.Was == journal.LookGood && l.Took > 0
	}
	return l.Was != journal.LookUnknown
}

func (r Rule) guilty(l journal.Look) bool {
	if r.Above > 0 {
		return l.Took > r.Above
	}
	return l.Was == journal.LookBad
}

// window is how many of the newest relevant looks are judged, at least: enough
// to tell the share from one unlucky look.
func (r Rule) window() int { return max(10, int(math.Ceil(2/r.Share))) }

// state is how a rule stands after the looks so far.
type state struct {
	Rule
	looks  []journal.Look // relevant ones, of the last For
	all    int            // relevant looks
	bad    int            // guilty ones of them
	over   bool
	since  int64 // ms: the first guilty look of this excursion
	worst  int64 // ms: the newest guilty look
	left   int64 // ms: when the last excursion ended
	well   int64 // ms: the first good look since the newest guilty one
	out    []Stretch
	hits   int  // guilty looks of this excursion
	seen   int  // relevant looks of it, up to the last guilty one
	tail   int  // relevant looks since then: all good
	times  int  // excursions
	broken bool // over for the whole of For, now
	ever   bool // broken at any time
}

const (
	enough = 3    // answers, before anything is said
	chance = 1e-4 // that a gap of good looks is no recovery
)

func (s *state) add(l journal.Look) {
	if s.Lacks != "" || !s.relevant(l) {
		return
	}
	s.all++
	s.looks = append(s.looks, l)
	for len(s.looks) > 0 && s.looks[0].At <= l.At-s.For.Milliseconds() {
		s.looks = s.looks[1:]
	}
	guilty := s.guilty(l)
	if guilty {
		s.bad++
		s.worst = l.At
	}
	if s.over {
		s.on(l, guilty)
	} else {
		s.off(l, guilty)
	}
}

// on is a look while the probe is over the limit.
func (s *state) on(l journal.Look, guilty bool) {
	if guilty {
		s.hits++
		s.seen += s.tail + 1
		s.tail = 0
	} else {
		if s.tail == 0 {
			s.well = l.At
		}
		s.tail++
	}
	if math.Pow(1-s.likely(), float64(s.tail)) < chance {
		s.over, s.broken, s.left = false, false, l.At
		s.out = append(s.out, Stretch{s.since, s.well})
		return
	}
	// Good looks at the end are what a recovery begins with: only a guilty one
	// shows that it lasts.
	if guilty {
		s.judge(l)
	}
}

// judge looks whether this excursion has lasted: for long enough, and with too
// many guilty looks in all that time.
func (s *state) judge(l journal.Look) {
	if l.At-s.since < s.For.Milliseconds() {
		return
	}
	bad := 0
	for _, w := range s.looks {
		if s.guilty(w) {
			bad++
		}
	}
	if float64(bad) > s.Share*float64(len(s.looks)) {
		s.broken, s.ever = true, true
	}
}

// likely is the share of guilty looks that this excursion speaks of: what was
// seen, and a few looks as the limit has them, for one look alone tells little.
func (s *state) likely() float64 {
	const few = 5
	return min(0.9, (float64(s.hits)+few*s.Share)/(float64(s.seen)+few))
}

// off is a look while the probe is within the limit.
func (s *state) off(l journal.Look, guilty bool) {
	if !guilty {
		return // the share only falls
	}
	from, quarter := len(s.looks), l.At-s.For.Milliseconds()/4
	for from > 0 && (len(s.looks)-from < s.window() || s.looks[from-1].At > quarter) {
		from--
	}
	window, bad := s.looks[from:], 0
	for _, w := range window {
		if s.guilty(w) {
			bad++
		}
	}
	if len(window) < enough || float64(bad) <= s.Share*float64(len(window)) {
		return
	}
	begun := false
	s.hits, s.seen, s.tail = 0, 0, 0
	for _, w := range window {
		switch {
		case w.At <= s.left && s.times > 0:
			continue // of the excursion before
		case s.guilty(w):
			if !begun {
				s.since, begun = w.At, true
			}
			s.hits, s.seen, s.tail = s.hits+1, s.seen+s.tail+1, 0
		case begun:
			if s.tail == 0 {
				s.well = w.At
			}
			s.tail++
		}
	}
	s.over = true
	s.times++
	s.judge(l)
}

// words say by how much the rule is passed.
func (s *state) words(share float64) string {
	if s.Above > 0 {
		return fmt.Sprintf("%s of the looks are slow; %s", Percent(share), s.Says)
	}
	return fmt.Sprintf("%s of the looks failed; %s", Percent(share), s.Says)
}

// now is the share of this excursion.
func (s *state) now() string { return s.words(float64(s.hits) / float64(max(1, s.seen+s.tail))) }

// Percent writes a share.
func Percent(f float64) string {
	if f > 0 && f < 0.1 {
		return strings.Replace(fmt.Sprintf("%.1f%%", f*100), ".0%", "%", 1)
	}
	return fmt.Sprintf("%.0f%%", f*100)
}

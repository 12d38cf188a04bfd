package soak

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Ill is a limit that is passed now.
type Ill struct {
	Rule  int     // which of the series' rules; -1: none of them, it fails more often than not
	Share float64 // of the newest looks that are guilty
	Why   string
}

// Ill are the limits that are passed at this moment, those that are only
// observed aside. Where no limit is on bad looks, one that fails more often than
// not is ill.
func (s *Series) Ill() (all []Ill) {
	judging := s.judging()
	for _, i := range slices.Sorted(maps.Keys(judging)) {
		if r := judging[i]; r.over {
			why := fmt.Sprintf("%s, for %s", r.words(r.newest()), Span(time.Duration(s.last-r.since)*time.Millisecond))
			all = append(all, Ill{i, r.newest(), why})
		}
	}
	return all
}

// judging are the rules that a verdict may come of, by their place; -1 is where
// nothing else judges bad looks.
func (s *Series) judging() map[int]*state {
	all := map[int]*state{}
	if s.plain != nil {
		all[-1] = s.plain
	}
	for i, r := range s.rules {
		if !r.Tell {
			all[i] = r
		}
	}
	return all
}

// newest is the share of guilty looks among the newest ones.
func (s *state) newest() float64 {
	looks := s.looks[max(0, len(s.looks)-s.window()):]
	bad := 0
	for _, l := range looks {
		if s.guilty(l) {
			bad++
		}
	}
	return float64(bad) / float64(max(1, len(looks)))
}

// Stretch is a time of a watch in which a limit was passed, in ms of it.
type Stretch struct{ From, To int64 }

// Out are the times in which a limit was passed, from the first guilty look to
// the first good one after the last guilty one.
func (s *Series) Out() (all []Stretch) {
	for _, r := range s.judging() {
		all = append(all, r.out...)
		if r.over {
			all = append(all, Stretch{r.since, s.last})
		}
	}
	return all
}

// Together is how long all stretches are; what overlaps counts once.
func Together(all []Stretch) time.Duration {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Stretch) int { return cmp.Compare(a.From, b.From) })
	sum, until := int64(0), int64(0)
	for _, x := range all {
		if x.To > until {
			sum += x.To - max(x.From, until)
			until = x.To
		}
	}
	return time.Duration(sum) * time.Millisecond
}

package report

import (
	"math"
	"time"

	"belay/steps/journal"
)

// clock measures between events. Their times are what the wall clock said when
// each was written, and a wall clock may be set back; so it adds up only what
// went forward from one event to the next.
type clock struct {
	time    []time.Time
	forward []float64 // seconds, from the first event to this one
	back    []float64
	jumps   []ClockJump
}

func newClock(events []journal.Event) *clock {
	c := &clock{}
	var last time.Time
	var forward, back float64
	for _, e := range events {
		t := utc(e.Time)
		if t.IsZero() {
			t = last // without a time of its own it happened, for all that is known, right then
		}
		if !last.IsZero() {
			if d := t.Sub(last).Seconds(); d >= 0 {
				forward += d
			} else {
				back -= d
				c.jumps = append(c.jumps, ClockJump{Seq: e.Seq, Time: t, Seconds: millis(-d)})
			}
		}
		last = t
		c.time = append(c.time, t)
		c.forward, c.back = append(c.forward, forward), append(c.back, back)
	}
	return c
}

// span is from event i to event j.
func (c *clock) span(i, j int) Span {
	return Span{
		Begin: c.time[i], End: c.time[j],
		Seconds:   millis(c.forward[j] - c.forward[i]),
		ClockBack: millis(c.back[j] - c.back[i]),
	}
}

// open is from event i to no end.
func (c *clock) open(i int) Span { return Span{Begin: c.time[i]} }

func millis(s float64) float64 { return math.Round(s*1000) / 1000 }

// utc drops what JSON cannot hold: years that do not have four digits.
func utc(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

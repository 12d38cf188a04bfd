package soak

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"belay/steps/journal"
)

const (
	every = 5 * time.Second
	long  = 10 * time.Minute
)

// errors5 is the limit that most plans have: 5% for ten minutes.
func errors5() []Rule { return []Rule{{For: long, Share: 0.05, Says: "limit 5%"}} }

// feed makes looks, one every five seconds, for so long; was says how each is.
// It stops when a rule is broken, and tells when.
func feed(s *Series, from, length time.Duration, was func(i int) journal.Look) (at time.Duration, broken bool) {
	for i := 0; time.Duration(i)*every < length; i++ {
		l := was(i)
		at = from + time.Duration(i)*every
		l.At = at.Milliseconds()
		s.Add(l)
		if _, _, ok := s.Broken(func(r Rule) bool { return !r.Tell }); ok {
			return at, true
		}
	}
	return at + every, false
}

func good(int) journal.Look    { return journal.Look{Was: journal.LookGood, Took: 10} }
func bad(int) journal.Look     { return journal.Look{Was: journal.LookBad} }
func unknown(int) journal.Look { return journal.Look{Was: journal.LookUnknown} }
func slow(ms float64) func(int) journal.Look {
	return func(int) journal.Look { return journal.Look{Was: journal.LookGood, Took: ms} }
}

// oneIn fails each nth look.
func oneIn(n int) func(int) journal.Look {
	return func(i int) journal.Look {
		if i%n == n-1 {
			return bad(i)
		}
		return good(i)
	}
}

// flaps is well for a while and ill for a while.
func flaps(well, ill time.Duration) func(int) journal.Look {
	return func(i int) journal.Look {
		if time.Duration(i)*every%(well+ill) >= well {
			return bad(i)
		}
		return good(i)
	}
}

func TestVerdicts(t *testing.T) {
	compared := []Rule{
		{For: long, Share: 0.5, Above: 45, Says: "p50"}, {For: long, Share: 0.05, Above: 80, Says: "p95"},
	}
	for name, c := range map[string]struct {
		rules   []Rule
		looks   func(int) journal.Look
		broken  bool
		after   [2]time.Duration // of the beginning: when it is broken
		verdict string
		says    string
	}{
		"all well":                     {errors5(), good, false, [2]time.Duration{}, Healthy, ""},
		"dead":                         {errors5(), bad, true, [2]time.Duration{long, long + every}, Degraded, ""},
		"6% steadily":                  {errors5(), oneIn(17), true, [2]time.Duration{long, long + 3*time.Minute}, Degraded, ""},
		"4% steadily":                  {errors5(), oneIn(25), false, [2]time.Duration{}, Healthy, ""},
		"flaps by the minute":          {errors5(), flaps(time.Minute, time.Minute), false, [2]time.Duration{}, Inconclusive, "flapping"},
		"flaps slowly":                 {errors5(), flaps(6*time.Minute, 6*time.Minute), false, [2]time.Duration{}, Inconclusive, "limit 5%"},
		"one bad spell, soon over":     {errors5(), func(i int) journal.Look { return flaps(50*time.Minute, 2*time.Minute)(i) }, false, [2]time.Duration{}, Healthy, ""},
		"nobody could look":            {errors5(), unknown, false, [2]time.Duration{}, Inconclusive, "0 of 720"},
		"failing without a limit":      {nil, oneIn(100), false, [2]time.Duration{}, Degraded, "7 of 720"},
		"no baseline":                  {append(errors5(), Rule{For: long, Share: 1, Lacks: "nothing to compare with"}), good, false, [2]time.Duration{}, Inconclusive, "nothing to compare with"},
		"only observed":                {[]Rule{{For: long, Share: 0.05, Says: "x", Tell: true}, {For: long, Share: 0.99}}, oneIn(3), false, [2]time.Duration{}, Healthy, ""},
		"twice as slow as the old":     {compared, slow(48), true, [2]time.Duration{long, long + time.Minute}, Degraded, ""},
		"as fast as the old":           {compared, slow(30), false, [2]time.Duration{}, Healthy, ""},
		"one in ten very slow":         {compared, func(i int) journal.Look { return slow([]float64{20, 20, 20, 20, 20, 20, 20, 20, 20, 400}[i%10])(i) }, true, [2]time.Duration{long, long + 3*time.Minute}, Degraded, ""},
		"slow now and then, no matter": {compared, func(i int) journal.Look { return slow(20 + 200*float64(1-min(1, (i+1)%60)))(i) }, false, [2]time.Duration{}, Healthy, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(c.rules)
			at, broken := feed(s, 0, time.Hour, c.looks)
			if broken != c.broken || broken && (at < c.after[0] || at > c.after[1]) {
				t.Errorf("broken %v after %v, want %v within %v (%s)", broken, at, c.broken, c.after, s.Over())
			}
			verdict, why := s.End(time.Hour)
			if verdict != c.verdict || !strings.Contains(why, c.says) {
				t.Errorf("verdict %s: %q, want %s: %q", verdict, why, c.verdict, c.says)
			}
		})
	}
}

// TestBackAndForth is the hysteresis: how it comes back.
func TestBackAndForth(t *testing.T) {
	s := New(errors5())
	at, _ := feed(s, 0, 20*time.Minute, good)
	at, broken := feed(s, at, 8*time.Minute, bad)
	if over, shown := s.Passed(0, 0); broken || !over || !shown {
		t.Fatalf("eight minutes of ten: broken %v, over %v, shown %v", broken, over, shown)
	}
	if over, shown := s.Passed(0, at); !over || shown {
		t.Errorf("without a look since: over %v, shown %v", over, shown)
	}
	at, _ = feed(s, at, 2*every, good)
	if s.Over() == "" {
		t.Error("two good looks after an outage are taken for a recovery")
	}
	at, _ = feed(s, at, 6*every, good)
	if s.Over() != "" {
		t.Errorf("eight good looks after an outage are not: %s", s.Over())
	}
	if _, broken = feed(s, at, 9*time.Minute, bad); broken {
		t.Error("the time before the recovery was counted")
	}
}

// TestNeverHealthy is the law: whatever is seen, a verdict is healthy only
// where no limit was passed for its time, nor in sum, and most looks gave an
// answer.
func TestNeverHealthy(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 11))
		rule := Rule{For: time.Duration(1+r.IntN(20)) * 30 * time.Second, Share: []float64{0.01, 0.05, 0.2, 0.5}[r.IntN(4)], Says: "limit"}
		s := New([]Rule{rule})
		var looks []journal.Look
		for at := int64(0); len(looks) < 100+r.IntN(400); {
			p, u := r.Float64()*r.Float64(), r.Float64()*r.Float64()*r.Float64()
			if r.IntN(4) == 0 {
				p = float64(r.IntN(2))
			}
			for range 1 + r.IntN(80) {
				at += int64(1+r.IntN(10)) * 1000
				l := journal.Look{At: at, Was: journal.LookGood}
				switch x := r.Float64(); {
				case r.Float64() < u:
					l.Was = journal.LookUnknown
				case x < p:
					l.Was = journal.LookBad
				}
				looks = append(looks, l)
			}
		}
		for _, l := range looks {
			s.Add(l)
		}
		verdict, why := s.End(time.Duration(looks[len(looks)-1].At) * time.Millisecond)
		if verdict == Healthy {
			if broken := brokenBy(rule, looks); broken != "" {
				t.Fatalf("seed %d: healthy, though %s (%s)", seed, broken, why)
			}
		}
	}
}

// brokenBy says, counting plainly, why looks are not healthy.
func brokenBy(rule Rule, looks []journal.Look) string {
	n := map[string]int{}
	dead := int64(-1) // since when every answer was bad
	for _, l := range looks {
		n[l.Was]++
		switch {
		case l.Was == journal.LookGood:
			dead = -1
		case l.Was == journal.LookBad && dead < 0:
			dead = l.At
		case l.Was == journal.LookBad && l.At-dead >= rule.For.Milliseconds():
			return fmt.Sprintf("every answer was bad for %v", rule.For)
		}
	}
	switch answers := n["g"] + n["b"]; {
	case float64(n["b"]) > rule.Share*float64(answers):
		return fmt.Sprintf("%d of %d failed, the limit is %v", n["b"], answers, rule.Share)
	case n["u"]*5 > len(looks):
		return fmt.Sprintf("%d of %d looks gave no answer", n["u"], len(looks))
	}
	return ""
}

func TestCount(t *testing.T) {
	var looks []journal.Look
	for i := range 100 {
		looks = append(looks, journal.Look{Was: journal.LookGood, Took: float64(100 - i)})
	}
	looks = append(looks, bad(0), unknown(0))
	var tally journal.Tally
	Count(&tally, looks)
	if tally.Good != 100 || tally.Bad != 1 || tally.Unknown != 1 || tally.P50 != 50 || tally.P95 != 95 || len(tally.Recent) != recent || tally.Recent[recent-1] != -1 {
		t.Errorf("%+v", tally)
	}
}

package checks

import (
	"context"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "clock", Summary: "clocks agree, with ours or with each other's",
		Example: "- clock: {on: chat, max: 500ms}",
		New:     func() Check { return new(ClockCheck) },
	})
}

// ClockCheck judges how far clocks are apart: each host's from this machine's,
// or, with Between, any two of those hosts' from each other.
type ClockCheck struct {
	On      []string        `yaml:"on" doc:"hosts to compare with this machine; all of the plan when left out"`
	Between []string        `yaml:"between" host:"" doc:"hosts to compare with each other instead; one finding for all"`
	Max     remote.Duration `yaml:"max" scalar:"" required:"" doc:"how far they may be apart, such as 500ms"`
}

// HostNames are those of both parameters.
func (c *ClockCheck) HostNames() []string {
	return append(append([]string(nil), c.On...), c.Between...)
}
func (c *ClockCheck) NeedsFacts() bool { return true }

// Validate wants a limit, and two hosts to compare with each other.
func (c *ClockCheck) Validate() error {
	if c.Max <= 0 {
		return Field("max", "must be more than nothing")
	}
	if len(c.Between) == 1 {
		return Field("between", "takes two hosts or more; for one against this machine use `on`")
	}
	return nil
}

const clockFix = "start or mend time synchronisation (chrony, systemd-timesyncd)"

// Assess gives one finding a host, or one in all for Between.
func (c *ClockCheck) Assess(_ context.Context, w World) ([]Finding, error) {
	if len(c.Between) > 0 {
		return []Finding{c.between(w)}, nil
	}
	return onFacts(c, w, c.On, "", func(f *Facts) Finding {
		if why, lacks := f.Lacks(clockFact); lacks {
			return notRead("the clock", why)
		}
		return c.judge(f.Skew, f.SkewErr, "its clock is "+skewText(f.Skew, f.SkewErr))
	})
}

func (c *ClockCheck) judge(skew, precision time.Duration, text string) Finding {
	limit := time.Duration(c.Max)
	least, most := skewRange(skew, precision)
	switch {
	case least > limit:
		return block(clockFix, "%s; %s is allowed", text, short(limit))
	case most > limit:
		return unknown("re-check: the connection was slow while the clock was read", "%s: too coarse to tell whether it is within %s", text, short(limit))
	}
	return pass("%s; %s is allowed", text, short(limit))
}

// between judges the two clocks that are furthest apart, and the least sure.
func (c *ClockCheck) between(w World) Finding {
	key := ""
	for _, name := range c.Between {
		key += name + " "
		why, no := w.shut(name)
		f := w.Facts[name]
		if !no && f == nil {
			why, no = unknown("re-check", "not judged: there are no facts of host %s", name), true
		} else if !no {
			if reason, lacks := f.Lacks(clockFact); lacks {
				why, no = notRead("the clock of "+name, reason), true
			}
		}
		if no {
			return why.about(Name(c), "", "")
		}
	}
	worst := pass("")
	for i, a := range c.Between {
		for _, b := range c.Between[i+1:] {
			x, y := w.Facts[a], w.Facts[b]
			apart, precision := x.Skew-y.Skew, x.SkewErr+y.SkewErr
			f := c.judge(apart, precision, "the clocks of "+a+" and "+b+" are "+short(apart.Abs())+" apart, precise to "+short(precision))
			if worst.Text == "" || rank(f.Level) < rank(worst.Level) {
				worst = f
			}
		}
	}
	return worst.about(Name(c), "", key)
}

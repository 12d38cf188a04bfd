package engine

import (
	"fmt"
	"strconv"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

// tailShare is the share of looks that may be slower than a p95.
const tailShare = 0.05

// rules are the plan's limits as they apply to one probe.
func (e *Engine) rules(spec *plan.Soak, p plan.Probe) []soak.Rule {
	var all []soak.Rule
	base := e.Log.State().Soak.Baseline[p.ID]
	for i, t := range spec.RollbackWhen {
		if !t.Judges(p) {
			continue
		}
		r := soak.Rule{Trigger: i, For: t.For, Tell: t.Then == plan.Tell}
		add := func(share, above float64, says string) {
			r.Share, r.Above, r.Says = share, above, says
			all = append(all, r)
		}
		if t.ErrorRate > 0 {
			add(t.ErrorRate, 0, "limit "+soak.Percent(t.ErrorRate))
		}
		if t.Latency > 0 {
			add(tailShare, float64(t.Latency.Microseconds())/1000, "p95 limit "+soak.Span(t.Latency))
		}
		if p.Old == nil || t.SlowerThan == 0 && t.MoreErrors == 0 {
			continue
		}
		// An old server that hardly ever gave a good answer, or was asked for
		// what it does not have, would make every failure of the new one look well.
		if base.Good < soak.Enough || base.ErrorRate()+t.MoreErrors >= 1 {
			r.Lacks = fmt.Sprintf("nothing to compare with: the old server gave %d good and %d bad answers before the cutover, and %d good ones are needed, or nothing could be worse", base.Good, base.Bad, soak.Enough)
			add(1, 0, "")
			continue
		}
		if t.MoreErrors > 0 {
			add(base.ErrorRate()+t.MoreErrors, 0, fmt.Sprintf("limit %s above the old server's %s", soak.Percent(t.MoreErrors), soak.Percent(base.ErrorRate())))
		}
		if t.SlowerThan > 0 && base.P50 > 0 {
			e.slower(t.SlowerThan, base, add)
		}
	}
	return all
}

// slower are the two limits of "so many times slower": in the middle, and in
// the slowest twentieth.
func (e *Engine) slower(times float64, base journal.Tally, add func(share, above float64, says string)) {
	for _, q := range []struct {
		share, old float64
		name       string
	}{{0.5, base.P50, "p50"}, {tailShare, base.P95, "p95"}} {
		limit := max(q.old*times, q.old+soak.Slack(base.Unit))
		add(q.share, limit, fmt.Sprintf("%sx of the old server's %s of %s is %s", trim(times), q.name, measure(q.old, base.Unit), measure(limit, base.Unit)))
	}
}

func trim(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// measure writes what a probe measured.
func measure(v float64, unit string) string {
	if unit == "" {
		return soak.Span(time.Duration(v * float64(time.Millisecond)))
	}
	return fmt.Sprintf("%.2f %s", v, unit)
}

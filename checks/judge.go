package checks

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"belay/remote"
)

// atOnce is how many checks Judge runs at the same time.
const atOnce = 16

// Judge runs the checks at the same time and returns all findings: blocks
// first, then unknowns, warnings and passes, each in the order of list. A
// check that returns an error, panics, or finds nothing at all gives one
// Unknown. The hosts of w are made read-only. What several checks find in the
// same words is told once; else two findings that would share an ID get "#2",
// "#3" … at the end of the later ones' keys.
func Judge(ctx context.Context, w World, list []Check) []Finding {
	hosts := make(remote.Hosts, len(w.Hosts))
	for name, h := range w.Hosts {
		hosts[name] = remote.ReadOnly(h)
	}
	w.Hosts = hosts
	results := make([][]Finding, len(list))
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, c := range list {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			results[i] = judgeOne(ctx, w, c)
		})
	}
	all.Wait()
	found := once(slices.Concat(results...))
	uniqueIDs(found)
	slices.SortStableFunc(found, func(a, b Finding) int { return rank(a.Level) - rank(b.Level) })
	return found
}

func judgeOne(ctx context.Context, w World, c Check) (found []Finding) {
	name := Name(c)
	bad := func(detail, format string, a ...any) []Finding {
		f := unknown("re-check; accept it with a reason only if you looked yourself", format, a...)
		f.Detail = detail
		return []Finding{f.about(name, soleHost(c), "")}
	}
	defer func() {
		if p := recover(); p != nil {
			found = bad(string(debug.Stack()), "not judged: the check broke: %v", p)
		}
	}()
	list, err := c.Assess(ctx, w)
	if err != nil {
		return bad("", "not judged: %v", err)
	}
	if len(list) == 0 {
		return bad("", "not judged: the check said nothing")
	}
	found = make([]Finding, len(list))
	for i, f := range list {
		if f.Check == "" {
			f.Check = name
		}
		if f.Level < Unknown || f.Level > Block {
			f.Level, f.Text = Unknown, fmt.Sprintf("not judged: level %d of: %s", int(f.Level), f.Text)
		}
		found[i] = f.tidy()
	}
	return found
}

// soleHost is the one host that a check names, if it is one.
func soleHost(c Check) string {
	if h, ok := c.(Hoster); ok {
		if names := h.HostNames(); len(names) == 1 {
			return names[0]
		}
	}
	return ""
}

func rank(l Level) int {
	switch l {
	case Block:
		return 0
	case Warn:
		return 2
	case Pass:
		return 3
	}
	return 1
}

// once leaves the first of findings that are alike in everything.
func once(found []Finding) []Finding {
	told := map[Finding]bool{}
	return slices.DeleteFunc(found, func(f Finding) bool {
		again := told[f]
		told[f] = true
		return again
	})
}

func uniqueIDs(found []Finding) {
	taken := map[string]bool{}
	for i := range found {
		f := &found[i]
		key := f.Key
		for n := 2; taken[f.ID()]; n++ {
			f.Key = fmt.Sprintf("%s#%d", key, n)
		}
		taken[f.ID()] = true
	}
}

package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"belay/remote"
)

func pass(format string, a ...any) Finding {
	return Finding{Level: Pass, Text: fmt.Sprintf(format, a...)}
}

// took says how long the answer took.
func (f Finding) took(d time.Duration) Finding {
	f.Took = float64(d.Microseconds()) / 1000
	return f
}

func warn(fix, format string, a ...any) Finding {
	return Finding{Level: Warn, Text: fmt.Sprintf(format, a...), Fix: fix}
}

func block(fix, format string, a ...any) Finding {
	return Finding{Level: Block, Text: fmt.Sprintf(format, a...), Fix: fix}
}

func unknown(fix, format string, a ...any) Finding {
	return Finding{Level: Unknown, Text: fmt.Sprintf(format, a...), Fix: fix}
}

// couldNotLook is the verdict when looking itself failed.
func couldNotLook(err error) Finding {
	return unknown("see why the host does not answer, then re-check", "could not look: %s", OneLine(err.Error(), 200))
}

// lost tells a failure to look from an answer that says no.
func lost(err error) bool {
	_, unreachable := errors.AsType[*remote.UnreachableError](err)
	_, broken := errors.AsType[*remote.LostError](err)
	return unreachable || broken || errors.Is(err, remote.ErrReadOnly)
}

// names are the hosts that a check is about: on, or all of the plan.
func (w World) names(on []string) []string {
	if len(on) > 0 {
		return on
	}
	all := make([]string, 0, len(w.Hosts))
	for name := range w.Hosts {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// onFacts judges the facts of each host. A host without facts is Unknown.
func onFacts(c Check, w World, on []string, key string, judge func(f *Facts) Finding) ([]Finding, error) {
	var all []Finding
	for _, name := range w.names(on) {
		var found Finding
		if why, no := w.shut(name); no {
			found = why
		} else if f := w.Facts[name]; f == nil {
			found = unknown("re-check", "not judged: there are no facts of host %s", name)
		} else {
			found = judge(f)
		}
		all = append(all, found.about(Name(c), name, key))
	}
	return all, nil
}

// onHosts looks at each host, at the same time. The parent ctx ending is an
// error, because what judge then saw was not the host's doing.
func onHosts(ctx context.Context, c Check, w World, on []string, key string, judge func(ctx context.Context, h remote.Host) Finding) ([]Finding, error) {
	names := w.names(on)
	all := make([]Finding, len(names))
	panics := make([]any, len(names))
	var done sync.WaitGroup
	for i, name := range names {
		if why, no := w.shut(name); no {
			all[i] = why.about(Name(c), name, key)
			continue
		}
		done.Go(func() {
			defer func() { panics[i] = recover() }()
			all[i] = judge(ctx, w.Hosts[name]).about(Name(c), name, key)
		})
	}
	done.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p) // on the caller's goroutine, where Judge catches it
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return all, nil
}

// shut says why a host cannot be judged at all.
func (w World) shut(name string) (Finding, bool) {
	if _, known := w.Hosts[name]; !known {
		return unknown("add it under hosts", "not judged: the plan has no host %q", name), true
	}
	if w.Unreached[name] != nil {
		return unknown("reach the host first, then re-check", "not judged: host %s was not reached", name), true
	}
	return Finding{}, false
}

func (f Finding) about(check, host, key string) Finding {
	f.Check, f.Host, f.Key = check, host, OneLine(key, 100)
	return f.tidy()
}

// tidy makes the texts harmless and of a size that a table and a card can show.
func (f Finding) tidy() Finding {
	f.Text, f.Fix = OneLine(f.Text, 300), OneLine(f.Fix, 300)
	if len(f.Detail) > 16<<10 {
		f.Detail = f.Detail[:16<<10]
	}
	f.Detail = string(clean([]byte(f.Detail)))
	return f
}

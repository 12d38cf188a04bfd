package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"belay/remote"
)

// reachable is the one check that speaks about a host that was not reached.
type reachable struct{}

func (reachable) NeedsFacts() bool { return true }

// advised is an error that knows its own way out, as those about host keys do.
type advised interface {
	error
	What() string
	Advice() string
}

const reachableName = "reachable"

func (reachable) Assess(_ context.Context, w World) ([]Finding, error) {
	var all []Finding
	for _, name := range w.names(nil) {
		all = append(all, judgeReach(w, name).about(reachableName, name, ""))
	}
	return all, nil
}

func judgeReach(w World, name string) Finding {
	f, err := w.Facts[name], w.Unreached[name]
	at, typed := cmp.Or(w.Hosts[name].Addr, name), cmp.Or(w.Hosts[name].Typed, "ssh "+name)
	switch {
	case f != nil:
		return pass("reached as %s; the clock was read within %s", at, (2 * f.SkewErr).Round(time.Millisecond))
	case err == nil:
		return unknown("re-check", "nobody tried to reach it yet")
	}
	why := err
	if u, ok := errors.AsType[*remote.UnreachableError](err); ok {
		why = u.Err
	} else if _, broken := errors.AsType[*remote.LostError](err); !broken && !errors.Is(err, context.DeadlineExceeded) {
		return block(fmt.Sprintf("see what the login prints: %s sh -c true", typed), "host not reached: %v", why)
	}
	if a, ok := errors.AsType[advised](why); ok { // shown apart, so that neither is cut
		return block(a.Advice()+", then re-check", "host not reached (%s): %s", at, a.What())
	}
	return block(fmt.Sprintf("try `%s true` from here; look at address, port, firewall, key and known_hosts, then re-check", typed),
		"host not reached (%s): %v", at, why)
}

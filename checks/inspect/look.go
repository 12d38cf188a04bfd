package inspect

import (
	"context"
	"errors"
	"time"

	"belay/checks"
	"belay/remote"
)

// limit is how long the second round trip may take on a host.
const limit = 40 * time.Second

// Look inspects hosts, all at once, each in two round trips; what comes back
// is in the order of names. A host that cannot be reached is one with the
// reason; the error is that ctx ended.
func Look(ctx context.Context, hosts remote.Hosts, names []string) (*Inspection, error) {
	found := make([]*Host, len(names))
	done := make(chan int)
	for i, name := range names {
		go func() {
			found[i] = look(ctx, name, hosts[name])
			done <- i
		}()
	}
	for range names {
		<-done
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return &Inspection{Format: Format, Hosts: found}, nil
}

func look(ctx context.Context, name string, h remote.Host) *Host {
	if h.Runner == nil {
		return &Host{Name: name, Unreached: "there is no such host"}
	}
	h = remote.ReadOnly(h)
	f, err := checks.Gather(ctx, h)
	if err != nil {
		return &Host{Name: name, Unreached: tidy(err.Error(), 300)}
	}
	f.Host = name
	sections, missing, err := checks.Read(ctx, h, ask(f), limit)
	if err != nil {
		missing = []string{"second look: " + tidy(err.Error(), 200) + why(err)}
	}
	return Build(f, sections, missing)
}

// why tells a host that was lost from one that gave a bad answer.
func why(err error) string {
	if _, lost := errors.AsType[*remote.LostError](err); lost {
		return " (the connection broke; what belongs to each program is not known)"
	}
	return ""
}

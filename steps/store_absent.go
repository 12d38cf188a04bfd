package steps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"time"

	"belay/checks"
	"belay/remote"
)

// storeAbsent is the finding on a server that is to be filled, and at whose
// address nobody listens, or whose container is not there: an earlier step may
// start it, which only a person can say. False where somebody listens, or where
// that cannot be told.
func storeAbsent(ctx context.Context, w checks.World, on string, s store, port, key string) (f checks.Finding, absent bool) {
	name := s.on(on)
	h, ok := w.Hosts[name]
	switch {
	case !ok || h.Runner == nil:
		return f, false
	case s.Container != "":
		_, err := storeInspect(ctx, h, s.Container)
		return storeGone(err, key, true)
	case h.Dialer == nil || path.IsAbs(s.Addr):
		return f, false
	}
	addr := s.Addr
	if addr == "" {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	dial, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	c, err := h.Dial(dial, "tcp", addr)
	if err == nil {
		c.Close()
		return f, false
	}
	if _, lost := errors.AsType[*remote.UnreachableError](err); lost || dial.Err() != nil {
		return f, false
	}
	return checks.Finding{Host: name, Key: key, Awaits: awaitedPort(name, addr), Text: fmt.Sprintf("nobody listens at %s of %s yet: %s", addr, name, checks.OneLine(err.Error(), 200)),
		Fix: "if a step of this plan starts the server first, accept that: what fills it looks again before it changes anything; else correct the address, or start it"}, true
}

// storeGone is the finding on a container that is not there, or does not run,
// as err says. A step of the plan may bring one that is to be filled; one that
// holds data has to be there.
func storeGone(err error, key string, fill bool) (f checks.Finding, gone bool) {
	no, gone := errors.AsType[*boxError](err)
	if !gone {
		return f, false
	}
	f = checks.Finding{Host: no.Host, Key: key, Level: checks.Block, Text: checks.OneLine(no.Error(), 400), Fix: "correct the name, or start it, and assess again"}
	if fill {
		f.Level = checks.Unknown
		f.Fix = "if a step of this plan starts it first, accept that: what uses it looks again before it changes anything; else correct the name, or start it"
	}
	return f, true
}

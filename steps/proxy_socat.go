package steps

import (
	"context"
	"fmt"
	"net"
	"time"

	"belay/remote"
	"belay/remote/job"
)

// proxySocat is a socat that a shell starts again when it dies; both are one
// detached job (remote/job), which is known by its process's start time and
// ended by its process group.
type proxySocat struct{ *proxy }

// proxyRun is which execution is the newest one; an ID is used once.
type proxyRun struct {
	N int `json:"n"`
}

const proxyKey = "proxy"

func (r proxyRun) id(e Env) string { return fmt.Sprintf("%s.proxy.%d", e.ID, r.N) }

func (p *proxySocat) last(e Env) (r proxyRun, found bool, err error) {
	found, err = e.Memory.Get(proxyKey, &r)
	return r, found, err
}

// argv waits a minute, not half a second, for the other half of a connection
// of which one half was closed (socat(1), -t).
func (p *proxySocat) argv() []string {
	return proxySocatArgs(p.Listen, p.To, p.Max)
}

func proxySocatArgs(listen, to string, most int) []string {
	host, port, _ := net.SplitHostPort(listen)
	listener := "TCP4-LISTEN"
	if net.ParseIP(host).To4() == nil {
		listener, host = "TCP6-LISTEN", "["+host+"]"
	}
	return []string{"socat", "-t", "60",
		fmt.Sprintf("%s:%s,bind=%s,fork,reuseaddr,keepalive,nodelay,backlog=128,max-children=%d", listener, port, host, most),
		fmt.Sprintf("TCP:%s,keepalive,nodelay,connect-timeout=10", to)}
}

// script drops what socat says of single connections: a client that tries again
// and again would fill the disk with it.
func (p *proxySocat) script() string {
	return `n=0
while :; do
	` + remote.Quote(p.argv()...) + ` </dev/null >/dev/null 2>&1
	echo "socat ended with $?"
	n=$((n < 30 ? n + 1 : 30))
	sleep $n
done`
}

func (p *proxySocat) state(ctx context.Context, e Env) (bool, error) {
	r, found, err := p.last(e)
	if err != nil {
		return false, err
	}
	all, err := proxyListeners(ctx, e.Host, p.Listen)
	if err != nil {
		return false, err
	}
	for _, l := range all {
		if !found || l.job != r.id(e) {
			return false, fmt.Errorf("%s on %s is held by %s; stop that first (the old server, most likely), or listen elsewhere; nothing was changed", p.Listen, e.Host.Name, l)
		}
	}
	return len(all) > 0, nil
}

func (p *proxySocat) changes() []Change {
	return []Change{{Text: fmt.Sprintf("hand connections from %s to %s (until a reboot)", p.Listen, p.To), Cmd: remote.Quote(p.argv()...)}}
}

// proxyPatience is how long it may take until it listens.
const proxyPatience = 20 * time.Second

func (p *proxySocat) start(ctx context.Context, e Env) error {
	r, found, err := p.last(e)
	if err != nil {
		return err
	}
	if found {
		rep, err := job.Look(ctx, e.Host, r.id(e))
		if err != nil {
			return err
		}
		// One that ended, or that a reboot ended, is never run again.
		found = rep.State == job.None || rep.State == job.Ready || rep.State == job.Running || rep.State == job.Orphaned
	}
	if !found {
		r.N++
		if err := e.Memory.Put(proxyKey, r); err != nil {
			return err
		}
	}
	if _, err := job.Start(ctx, e.Host, job.Spec{ID: r.id(e), Script: p.script()}); err != nil {
		return err
	}
	for begun := time.Now(); ; {
		ours, err := p.state(ctx, e)
		if ours {
			fmt.Fprintf(e.Log, "-- %s hands over to %s\n", p.Listen, p.To)
			return nil
		}
		if err != nil || time.Since(begun) > proxyPatience {
			if err == nil {
				err = fmt.Errorf("socat does not listen at %s: is the address this host's, and the port allowed to this login?", p.Listen)
			}
			return p.giveUp(ctx, e, r, err)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func (p *proxySocat) giveUp(ctx context.Context, e Env, r proxyRun, err error) error {
	if _, cerr := job.Cancel(ctx, e.Host, r.id(e), 5*time.Second); cerr != nil {
		return fmt.Errorf("%w; and it was not ended: %w", err, cerr)
	}
	return fmt.Errorf("%w; it was ended again", err)
}

func (p *proxySocat) stop(ctx context.Context, e Env) error {
	r, found, err := p.last(e)
	if err != nil {
		return err
	}
	if !found {
		fmt.Fprintln(e.Log, "-- nothing was started here, so there is nothing to undo")
		return nil
	}
	if _, err := job.Cancel(ctx, e.Host, r.id(e), 5*time.Second); err != nil {
		return fmt.Errorf("end the proxy: %w", err)
	}
	fmt.Fprintf(e.Log, "-- ended the proxy at %s\n", p.Listen)
	return nil
}

func (p *proxySocat) addr(context.Context, Env) (string, error) { return p.reach(), nil }

package checks

import (
	"context"
	"fmt"
	"strings"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "dns", Summary: "every server with authority over a name gives the same, expected records, and none that caches keep for too long",
		Example: `- dns: {on: chat, name: chat.example.org, type: A, expect: [203.0.113.10], ttl_max: 5m}`,
		New:     func() Check { return new(DNSCheck) },
	})
}

// DNSCheck asks all servers with authority over a name, so that no cache
// stands between.
type DNSCheck struct {
	On    []string `yaml:"on" doc:"hosts from which to ask, over TCP; the only host of a plan, else this machine, when left out"`
	Query DNSQuery `yaml:",inline"`
}

func (c *DNSCheck) HostNames() []string { return c.On }
func (c *DNSCheck) NeedsFacts() bool    { return false }

// Validate refuses what no server could be asked.
func (c *DNSCheck) Validate() error { return c.Query.Validate() }

// Assess gives one finding a host, or one for this machine.
func (c *DNSCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	judge := func(ctx context.Context, h remote.Host) Finding {
		all, err := c.Query.Ask(ctx, h)
		switch {
		case err != nil && lost(err):
			return couldNotLook(err)
		case err != nil:
			return unknown("name the servers with `servers`, or ask from elsewhere", "%s", err.Error())
		}
		f := c.Query.judge(all)
		var b strings.Builder
		for _, a := range all {
			fmt.Fprintln(&b, a)
		}
		f.Detail = b.String()
		return f
	}
	if len(c.On) > 0 {
		return onHosts(ctx, c, w, c.On, c.Query.String(), judge)
	}
	f := judge(ctx, remote.Host{})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return []Finding{f.about(Name(c), "", c.Query.String())}, nil
}

func (q DNSQuery) judge(all []DNSAnswer) Finding {
	var mute Finding
	var longest time.Duration
	for _, a := range all {
		if a.Err != nil {
			mute = unknown("see whether that server runs and has authority over the name", "%s: %s", a.Server, plainError(a.Err))
			continue
		}
		longest = max(longest, a.TTL)
		want := q
		if len(q.Expect) == 0 { // the same of all, whatever it is
			if len(a.Values) == 0 {
				return block("create the record, or correct the name", "%s says that there is no %s", a.Server, q)
			}
			for _, b := range all {
				if b.Err == nil && len(b.Values) > 0 {
					want.Expect = b.Values
					break
				}
			}
		}
		if why := want.wrongValues(a); why != "" {
			return block("correct the record, or wait until all servers have it", "%s", why)
		}
	}
	switch {
	case mute.Text != "":
		return mute
	case q.TTLMax > 0 && longest > time.Duration(q.TTLMax):
		return block(fmt.Sprintf("lower it, then wait %v until nobody has an answer with the old one", Span(longest)),
			"%s may be kept for %v by whoever has asked, longer than %v", q, Span(longest), Span(time.Duration(q.TTLMax)))
	}
	return pass("%s is %s on %s, to be kept for %v", q, said(all[0].Values), servers(len(all)), Span(longest))
}

func servers(n int) string {
	if n == 1 {
		return "its one server"
	}
	return fmt.Sprintf("all %d servers", n)
}

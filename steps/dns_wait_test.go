package steps

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/ssh"
)

// dnsFor waits for chat.example.org to be 192.0.2.9 on the given servers.
func dnsFor(old time.Duration, of ...*remotetest.DNS) *dnsWait {
	d := &dnsWait{Timeout: remote.Duration(time.Minute), Every: remote.Duration(100 * time.Millisecond)}
	d.Query = checks.DNSQuery{Name: "chat.example.org", Expect: []string{"192.0.2.9"}}
	for _, s := range of {
		d.Query.Servers = append(d.Query.Servers, s.Addr)
	}
	if old >= 0 {
		d.OldTTL = new(remote.Duration)
		*d.OldTTL = remote.Duration(old)
	}
	return d
}

func TestDNSWait(t *testing.T) {
	one := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
	two := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
	one.Write("chat 1 IN A 192.0.2.1")
	two.Write("chat 2 IN A 192.0.2.1")
	d := dnsFor(-1, one, two)
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	e, log := runEnv(remote.Host{})
	todo, err := d.Pending(t.Context(), looking(e))
	if err != nil || len(todo) != 1 || todo[0].Text != "wait until all servers of chat.example.org give 192.0.2.9 (now: "+one.Addr+" says 192.0.2.1, not 192.0.2.9), and then until caches have it" {
		t.Fatalf("%+v, %v", todo, err)
	}
	// The first server changes when belay has looked, the second one later.
	done := make(chan error, 1)
	go func() { done <- d.Apply(t.Context(), e) }()
	waitForLog(t, log, one.Addr+" says", done)
	one.Write("chat 300 IN A 192.0.2.9")
	waitForLog(t, log, two.Addr+" says", done)
	two.Write("chat 300 IN A 192.0.2.9")
	changed := time.Now()
	if err := <-done; err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if took := time.Since(changed); took < 2*time.Second {
		t.Errorf("went on %v after the change, and caches may have kept the old answer for 2s\n%s", took, log)
	}
	if err := d.Verify(t.Context(), looking(e)); err != nil {
		t.Error(err)
	}
	if todo, err := d.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
		t.Errorf("afterwards: %v, %v", todo, err)
	}
	two.Write("chat 300 IN A 192.0.2.1")
	if err := d.Verify(t.Context(), looking(e)); err == nil || err.Error() != "no longer so: "+two.Addr+" says 192.0.2.1, not 192.0.2.9" {
		t.Errorf("%v", err)
	}
	if err := d.Undo(t.Context(), e); err != nil {
		t.Error(err)
	}
}

func waitForLog(t *testing.T, log *safeBuffer, text string, done chan error) {
	t.Helper()
	for !strings.Contains(log.String(), text) {
		select {
		case err := <-done:
			t.Fatalf("ended before %q: %v\n%s", text, err, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestDNSWaitGoesOn kills belay while caches are waited for: the clock goes on
// where it was. A server that falls back begins it anew; one that is silent
// only holds it up.
func TestDNSWaitGoesOn(t *testing.T) {
	s := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
	s.Write("chat 300 IN A 192.0.2.9")
	d := dnsFor(time.Hour, s)
	e, log := runEnv(remote.Host{})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Apply(ctx, e) }()
	waitForLog(t, log, "caches may keep the old one until", done)
	cancel(ErrDetach)
	if err := <-done; !errors.Is(err, ErrDetach) {
		t.Fatalf("%v", err)
	}
	if on, err := d.Underway(e); !on || err != nil {
		t.Errorf("underway: %v, %v", on, err)
	}
	todo, err := d.Pending(t.Context(), looking(e))
	if err != nil || len(todo) != 1 || !strings.Contains(todo[0].Text, "until no cache can have the old chat.example.org A") {
		t.Errorf("%v, %v", todo, err)
	}
	tr, err := d.trace(e)
	if err != nil || tr.Since.IsZero() || tr.New != 5*time.Minute {
		t.Fatalf("%+v, %v", tr, err)
	}
	kept := tr
	s.Bend(func(*dns.Msg) bool { return false })
	if wrong, err := d.look(t.Context(), e, &tr); err != nil || wrong != s.Addr+": no answer within 5s" || tr.Since != kept.Since {
		t.Errorf("silent: %q, %v, %+v", wrong, err, tr)
	}
	s.Bend(nil)
	s.Write("chat 600 IN A 192.0.2.1")
	if wrong, err := d.look(t.Context(), e, &tr); err != nil || wrong == "" || !tr.Since.IsZero() || tr.Old != 10*time.Minute {
		t.Errorf("fallen back: %q, %v, %+v", wrong, err, tr)
	}
	tr = kept
	tr.Since = time.Now().Add(-time.Hour)
	if err := e.Memory.Put(dnsKey, tr); err != nil {
		t.Fatal(err)
	}
	s.Write("chat 300 IN A 192.0.2.9")
	mustApply(t, d, e) // the hour is over
}

func TestDNSWaitGivesUp(t *testing.T) {
	s := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
	s.Write("chat 300 IN A 192.0.2.1")
	d := dnsFor(0, s)
	d.Timeout = remote.Duration(200 * time.Millisecond)
	e, _ := runEnv(remote.Host{})
	err := d.Apply(t.Context(), e)
	if want := "not so on all servers within 200ms: " + s.Addr + " says 192.0.2.1, not 192.0.2.9; nothing was changed"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// TestDNSWaitTTL waits after a time to live was lowered, until nobody can have
// an answer with the old one.
func TestDNSWaitTTL(t *testing.T) {
	s := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
	s.Write("chat 1 IN A 192.0.2.1")
	d := dnsFor(-1, s)
	d.Query.Expect, d.Query.TTLMax = nil, remote.Duration(500*time.Millisecond)
	e, log := runEnv(remote.Host{})
	done := make(chan error, 1)
	go func() { done <- d.Apply(t.Context(), e) }()
	waitForLog(t, log, s.Addr+" tells caches to keep it for 1s", done)
	s.Write("chat 0 IN A 192.0.2.1")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if tr, err := d.trace(e); err != nil || time.Since(tr.Since) < time.Second {
		t.Errorf("%+v, %v", tr, err)
	}
}

// TestDNSWaitThroughHost asks over TCP through a real sshd.
func TestDNSWaitThroughHost(t *testing.T) {
	remotetest.Need(t, "sshd")
	sshd := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	network := ssh.NewNetwork(ssh.Options{Config: sshd.Config})
	defer network.Close()
	h, err := network.Open(sshd.Name, ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	s := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
	s.Write("chat 300 IN A 192.0.2.9")
	d := dnsFor(0, s)
	e, _ := runEnv(h)
	mustApply(t, d, e)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for addr, want := range map[string]checks.Level{s.Addr: checks.Pass, gone.Addr().String(): checks.Block} {
		d.Query.Servers = []string{addr}
		found, err := d.Needs(h.Name)[0].Assess(t.Context(), checks.World{Hosts: e.Hosts})
		if err != nil || len(found) != 1 || found[0].Level != want || found[0].Host != h.Name || (found[0].Fix == "") != (want == checks.Pass) {
			t.Errorf("%s: %+v, %v", addr, found, err)
		}
	}
}

func TestDNSWaitValidate(t *testing.T) {
	d := dnsFor(-time.Second)
	d.OldTTL = new(remote.Duration)
	*d.OldTTL, d.Timeout, d.Every, d.Query.Expect, d.Query.Name = -1, 0, 1, nil, "a b"
	err := d.Validate()
	for _, want := range []string{"name: ", "expect: give", "old_ttl: -1ns", "timeout: it must", "every: 1ns is less"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

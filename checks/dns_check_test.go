package checks

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"belay/remote"
	"belay/remote/remotetest"
)

// dnsPair are two servers of one zone; the second has a file of its own.
func dnsPair(t *testing.T) (one, two *remotetest.DNS) {
	return remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, ""), remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
}

func TestDNS(t *testing.T) {
	one, two := dnsPair(t)
	both := func(records ...string) func() {
		return func() {
			one.Bend(nil)
			two.Bend(nil)
			one.Write(records...)
			two.Write(records...)
		}
	}
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		name  string
		set   func()
		query DNSQuery
		level Level
		text  string
	}{
		{"as expected", both("chat 300 IN A 192.0.2.1", "chat 300 IN A 192.0.2.2"), DNSQuery{Name: "chat.example.org", Expect: []string{"192.0.2.2", "192.0.2.1"}, TTLMax: remote.Duration(5 * time.Minute)},
			Pass, "chat.example.org A is 192.0.2.1, 192.0.2.2 on all 2 servers, to be kept for 5m"},
		{"anything", both("chat 300 IN A 192.0.2.1"), DNSQuery{Name: "CHAT.example.org."}, Pass, "CHAT.example.org. A is 192.0.2.1 on all 2 servers, to be kept for 5m"},
		{"one more", both("chat 300 IN A 192.0.2.1", "chat 300 IN A 192.0.2.2"), DNSQuery{Name: "chat.example.org", Expect: []string{"192.0.2.1"}},
			Block, "ONE says 192.0.2.1, 192.0.2.2, not 192.0.2.1"},
		{"none", both("chat 300 IN AAAA 2001:DB8::1"), DNSQuery{Name: "chat.example.org"}, Block, "ONE says that there is no chat.example.org A"},
		{"no such name", both(), DNSQuery{Name: "chat.example.org", Expect: []string{"192.0.2.1"}}, Block, "ONE says nothing, not 192.0.2.1"},
		{"AAAA", both("chat 300 IN AAAA 2001:db8::1"), DNSQuery{Name: "chat.example.org", Type: "AAAA", Expect: []string{"2001:0DB8:0:0::1"}}, Pass, "chat.example.org AAAA is 2001:db8::1 on all 2 servers, to be kept for 5m"},
		{"MX", both("@ 300 IN MX 10 Mail"), DNSQuery{Name: "example.org", Type: "MX", Expect: []string{"10 mail.example.org"}}, Pass, "example.org MX is 10 mail.example.org on all 2 servers, to be kept for 5m"},
		{"TXT", both(`@ 300 IN TXT "v=spf1 " "-all"`), DNSQuery{Name: "example.org", Type: "TXT", Expect: []string{"v=spf1 -all"}}, Pass, "example.org TXT is v=spf1 -all on all 2 servers, to be kept for 5m"},
		{"CNAME", both("chat 300 IN CNAME Host.example.net."), DNSQuery{Name: "chat.example.org", Type: "CNAME", Expect: []string{"host.example.net"}}, Pass, "chat.example.org CNAME is host.example.net on all 2 servers, to be kept for 5m"},
		{"CNAME inside", both("chat 60 IN CNAME host", "host 7200 IN A 192.0.2.1"), DNSQuery{Name: "chat.example.org", TTLMax: remote.Duration(time.Minute)},
			Block, "chat.example.org A may be kept for 2h by whoever has asked, longer than 1m"},
		{"CNAME elsewhere", both("chat 60 IN CNAME host.example.net."), DNSQuery{Name: "chat.example.org"},
			Unknown, "TWO: chat.example.org is another name for host.example.net, which that server does not know; ask for type CNAME, or for host.example.net"},
		{"another zone", both(), DNSQuery{Name: "chat.example.net"}, Unknown, "TWO: it refuses to answer for that name"},
		{"too long for UDP", both(`@ 300 IN TXT "`+long+`"`, `@ 300 IN TXT "`+long+`a"`, `@ 300 IN TXT "`+long+`b"`, `@ 300 IN TXT "`+long+`c"`, `@ 300 IN TXT "`+long+`d"`, `@ 300 IN TXT "`+long+`e"`, `@ 300 IN TXT "`+long+`f"`),
			DNSQuery{Name: "example.org", Type: "TXT", Expect: []string{long, long + "a", long + "b", long + "c", long + "d", long + "e", long + "f"}}, Pass, "example.org TXT is " + long[:119] + "… on all 2 servers, to be kept for 5m"},
		{"not yet on the second", func() { one.Write("chat 300 IN A 192.0.2.9"); two.Write("chat 300 IN A 192.0.2.1") }, DNSQuery{Name: "chat.example.org", Expect: []string{"192.0.2.9"}},
			Block, "TWO says 192.0.2.1, not 192.0.2.9"},
		{"they differ", func() {}, DNSQuery{Name: "chat.example.org"}, Block, "TWO says 192.0.2.1, not 192.0.2.9"},
		{"lame", func() {
			both("chat 300 IN A 192.0.2.1")()
			two.Bend(func(m *dns.Msg) bool { m.Authoritative = false; return true })
		}, DNSQuery{Name: "chat.example.org", Expect: []string{"192.0.2.1"}}, Unknown, "TWO: it answers, but has no authority over that name"},
		{"failing", func() {
			two.Bend(func(m *dns.Msg) bool { m.Rcode, m.Answer = dns.RcodeServerFailure, nil; return true })
		},
			DNSQuery{Name: "chat.example.org"}, Unknown, "TWO: it answers SERVFAIL"},
		{"another question", func() { two.Bend(func(m *dns.Msg) bool { m.Question[0].Name = "evil.example.org."; return true }) },
			DNSQuery{Name: "chat.example.org"}, Unknown, "TWO: it answers another question"},
	} {
		c.set()
		c.query.Servers = []string{one.Addr, two.Addr}
		for vantage, on := range map[string][]string{"here": nil, "host": {"chat"}} {
			check := &DNSCheck{On: on, Query: c.query}
			if err := check.Validate(); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			found, err := check.Assess(t.Context(), World{Hosts: remote.Hosts{"chat": remote.ReadOnly(remote.Local("chat"))}})
			if err != nil || len(found) != 1 || found[0].Host != strings.Join(on, "") {
				t.Errorf("%s, %s: %+v, %v", c.name, vantage, found, err)
				continue
			}
			want := strings.NewReplacer("ONE", one.Addr, "TWO", two.Addr).Replace(c.text)
			if f := found[0]; f.Level != c.level || f.Text != want || (f.Fix == "") != (f.Level == Pass) {
				t.Errorf("%s, %s:\n%v %s, want\n%v %s", c.name, vantage, f.Level, f.Text, c.level, want)
			}
		}
	}
}

// A server that is silent is told as silent; a lost packet costs nothing.
func TestDNSSilence(t *testing.T) {
	one := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
	one.Write("chat 300 IN A 192.0.2.1")
	one.Bend(func(*dns.Msg) bool { return one.Asked() > 1 }) // the first packet is lost
	q := DNSQuery{Name: "chat.example.org", Servers: []string{one.Addr}}
	all, err := q.Ask(t.Context(), remote.Host{})
	if err != nil || all[0].Err != nil {
		t.Errorf("with a lost packet: %v, %v", all, err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	q.Servers = []string{gone.Addr().String()}
	for _, h := range []remote.Host{{}, remote.Local("chat")} {
		all, err := q.Ask(t.Context(), h)
		if err != nil || all[0].Err == nil || !strings.Contains(all[0].String(), "connection refused") {
			t.Errorf("nobody there: %v, %v", all, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if all, err := q.Ask(ctx, remote.Host{}); err == nil || err.Error() != "enough" {
		t.Errorf("%v, %v", all, err)
	}
}

// TestDNSFindsTheServers begins with a resolver, as /etc/resolv.conf names one.
func TestDNSFindsTheServers(t *testing.T) {
	first := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")
	_, port, err := net.SplitHostPort(first.Addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	second := remotetest.StartDNS(t, "example.org", "127.0.0.2", n, first.File)
	resolver := remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, first.File)
	resolver.Bend(func(m *dns.Msg) bool {
		m.Authoritative, m.RecursionAvailable = false, true
		return m.RecursionDesired
	})
	defer func(was string) { dnsUsual = was }(dnsUsual)
	dnsUsual = port
	first.Write("@ 300 IN NS ns2", "@ 300 IN NS ns1", "ns1 300 IN A 127.0.0.1", "ns2 300 IN A 127.0.0.2",
		"chat 300 IN A 192.0.2.1", "alias 300 IN CNAME chat.example.net.")
	for name, kind := range map[string]string{"chat.example.org": "A", "alias.example.org": "CNAME", "example.org": "NS"} {
		q := DNSQuery{Name: name, Type: kind, Servers: []string{"auto"}, Resolver: resolver.Addr, Resolvers: []string{resolver.Addr}}
		for _, h := range []remote.Host{{}, remote.ReadOnly(remote.Local("chat"))} {
			all, err := q.Ask(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			var who []string
			for _, a := range all {
				who = append(who, a.Server)
				if a.Err != nil || len(a.Values) == 0 {
					t.Errorf("%v", a)
				}
			}
			if diff := cmp.Diff([]string{"ns1.example.org", "ns2.example.org", resolver.Addr}, who); diff != "" {
				t.Error(diff)
			}
		}
	}
	if first.Asked() == 0 || second.Asked() == 0 {
		t.Error("one of the servers was not asked itself")
	}
	for name, want := range map[string]string{"chat.example.net": "the zone of chat.example.net is not known: the resolver answers REFUSED"} {
		if all, err := (DNSQuery{Name: name, Resolver: resolver.Addr}).Ask(t.Context(), remote.Host{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
	first.Write("chat 300 IN A 192.0.2.1")
	all, err := DNSQuery{Name: "chat.example.org", Resolver: resolver.Addr}.Ask(t.Context(), remote.Host{})
	if err == nil || err.Error() != "resolver "+resolver.Addr+" names no servers of the zone example.org" {
		t.Errorf("%v, %v", all, err)
	}
}

func TestDNSValidate(t *testing.T) {
	q := DNSQuery{Name: "https://chat", Expect: []string{"300.1.1.1", "192.0.2.1 ; x", "a\nb"}, Servers: []string{""}, Resolvers: []string{"a b"}, Resolver: "1:2:x:y:z", TTLMax: -1}
	err := (&DNSCheck{Query: q}).Validate()
	for _, want := range []string{"name: ", "expect.0: ", "expect.2: ", "servers.0: ", "resolvers.0: ", "resolver: ", "ttl_max: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	if err := (DNSQuery{Name: "a.b", Servers: []string{"192.0.2.1", "192.0.2.1:53", "::1", "[::1]:53", "ns1.a.b"}}).Validate(); err != nil {
		t.Error(err)
	}
}

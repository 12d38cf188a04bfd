package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"belay/remote"
)

// dnsServer is one server to ask.
type dnsServer struct {
	name     string   // for people
	addrs    []string // address:port; the next one is asked where one does not answer
	resolver bool
}

// dnsPatience is how long one server may take, over both tries.
const dnsPatience = 5 * time.Second

func (q DNSQuery) askOne(ctx context.Context, h remote.Host, s dnsServer) DNSAnswer {
	a := DNSAnswer{Server: s.name, Resolver: s.resolver, Err: errors.New("it has no address")}
	for _, addr := range s.addrs {
		var m *dns.Msg
		if m, a.Err = dnsAsk(ctx, h, addr, q.Name, dns.StringToType[q.kind()], s.resolver); a.Err == nil {
			a.Values, a.TTL, a.Err = q.read(m, s.resolver)
			break
		}
	}
	return a
}

// read takes from an answer what it says of the question.
func (q DNSQuery) read(m *dns.Msg, resolver bool) (values []string, ttl time.Duration, err error) {
	switch {
	case m.Rcode == dns.RcodeRefused:
		return nil, 0, errors.New("it refuses to answer for that name")
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, 0, fmt.Errorf("it answers %s", cmp.Or(dns.RcodeToString[m.Rcode], fmt.Sprint(m.Rcode)))
	case !resolver && !m.Authoritative:
		return nil, 0, errors.New("it answers, but has no authority over that name")
	}
	want, other := dns.StringToType[q.kind()], ""
	keep := func(rr dns.RR) { ttl = max(ttl, time.Duration(rr.Header().Ttl)*time.Second) }
	for _, rr := range m.Answer { // with the names on the way, whose time counts as well
		switch rr.Header().Rrtype {
		case want:
			values = append(values, dnsValue(rr))
			keep(rr)
		case dns.TypeCNAME:
			other = dnsValue(rr)
			keep(rr)
		}
	}
	if len(values) == 0 && other != "" {
		return nil, 0, fmt.Errorf("%s is another name for %s, which that server does not know; ask for type CNAME, or for %s", q.Name, other, other)
	}
	if len(values) == 0 { // "there is none" is kept too: RFC 2308, section 5
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				ttl = time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values), ttl, nil
}

// servers are those with authority over the name.
func (q DNSQuery) servers(ctx context.Context, h remote.Host) ([]dnsServer, error) {
	var all []dnsServer
	for _, s := range q.Servers {
		if s == "auto" {
			continue
		}
		all = append(all, dnsServer{name: s, addrs: []string{dnsPort(s)}})
	}
	if len(all) > 0 {
		return all, nil
	}
	resolver, err := q.resolver(ctx, h)
	if err != nil {
		return nil, err
	}
	ask := func(name string, kind uint16) (*dns.Msg, error) {
		m, err := dnsAsk(ctx, h, resolver, name, kind, true)
		if err != nil {
			return nil, fmt.Errorf("resolver %s: %w", resolver, err)
		}
		return m, nil
	}
	zone, err := dnsZone(q.Name, ask)
	if err != nil {
		return nil, err
	}
	m, err := ask(zone, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	for _, rr := range m.Answer {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		s := dnsServer{name: dnsValue(ns)}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			m, err := ask(ns.Ns, kind)
			if err != nil {
				return nil, err
			}
			for _, rr := range m.Answer {
				if k := rr.Header().Rrtype; k == dns.TypeA || k == dns.TypeAAAA {
					s.addrs = append(s.addrs, net.JoinHostPort(dnsValue(rr), dnsUsual))
				}
			}
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("resolver %s names no servers of the zone %s", resolver, strings.TrimSuffix(zone, "."))
	}
	slices.SortFunc(all, func(a, b dnsServer) int { return cmp.Compare(a.name, b.name) })
	return all, nil
}

// dnsZone is the zone that a name belongs to: whose SOA record comes back with
// the answer, also where the name has none.
func dnsZone(name string, ask func(string, uint16) (*dns.Msg, error)) (string, error) {
	for at := dns.CanonicalName(name); ; {
		m, err := ask(at, dns.TypeSOA)
		if err != nil {
			return "", err
		}
		if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			return "", fmt.Errorf("the zone of %s is not known: the resolver answers %s", name, dns.RcodeToString[m.Rcode])
		}
		for _, rr := range append(slices.Clone(m.Answer), m.Ns...) {
			// After a CNAME it is that of another name.
			if zone := dns.CanonicalName(rr.Header().Name); rr.Header().Rrtype == dns.TypeSOA && zone != "." && dns.IsSubDomain(zone, dns.CanonicalName(name)) {
				return zone, nil
			}
		}
		i, end := dns.NextLabel(at, 0)
		if end {
			return "", fmt.Errorf("no zone has the name %s", name)
		}
		at = at[i:]
	}
}

// resolver is whom to ask for the servers.
func (q DNSQuery) resolver(ctx context.Context, h remote.Host) (string, error) {
	if q.Resolver != "" {
		return dnsPort(q.Resolver), nil
	}
	if h.Runner == nil {
		h.Runner = remote.Local("").Runner
	}
	out, err := look(ctx, h, dnsPatience, "cat /etc/resolv.conf")
	if err != nil {
		return "", err
	}
	c, err := dns.ClientConfigFromReader(strings.NewReader(string(out)))
	if err != nil || len(c.Servers) == 0 {
		return "", errors.New("/etc/resolv.conf names no resolver")
	}
	return dnsPort(c.Servers[0]), nil
}

// dnsAsk asks one server one question: over TCP through h, or from this machine
// over UDP, twice, and over TCP when the answer is too long for that.
func dnsAsk(ctx context.Context, h remote.Host, addr, name string, kind uint16, recurse bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dnsPatience, slow(dnsPatience))
	defer cancel()
	q := new(dns.Msg).SetQuestion(dns.CanonicalName(name), kind)
	q.RecursionDesired = recurse
	q.SetEdns0(1232, false) // what passes everywhere in one piece (DNS flag day 2020)
	dial := new(net.Dialer).DialContext
	if h.Dialer != nil {
		dial = h.Dial
	} else if m, err := dnsUDP(ctx, q, addr); err != nil || !m.Truncated {
		return m, err
	}
	conn, err := dial(ctx, "tcp", addr)
	if errors.Is(err, remote.ErrNoForwarding) {
		return nil, fmt.Errorf("host %s passes no connections on; leave `on` out, so that this machine asks", h.Name)
	}
	if err != nil {
		return nil, dnsCause(ctx, err)
	}
	defer conn.Close()
	return dnsExchange(ctx, q, conn, dnsPatience)
}

func dnsUDP(ctx context.Context, q *dns.Msg, addr string) (m *dns.Msg, err error) {
	for range 2 { // a packet may be lost
		var conn net.Conn
		if conn, err = new(net.Dialer).DialContext(ctx, "udp", addr); err != nil {
			return nil, dnsCause(ctx, err)
		}
		m, err = dnsExchange(ctx, q, conn, dnsPatience/2)
		conn.Close()
		if timeout, ok := errors.AsType[net.Error](err); err == nil || !ok || !timeout.Timeout() {
			return m, err
		}
	}
	return nil, slow(dnsPatience)
}

func dnsExchange(ctx context.Context, q *dns.Msg, conn net.Conn, limit time.Duration) (*dns.Msg, error) {
	c := dns.Client{Timeout: limit}
	m, _, err := c.ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: conn})
	if err != nil {
		return nil, dnsCause(ctx, err)
	}
	if len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != q.Question[0].Qtype {
		return nil, errors.New("it answers another question")
	}
	return m, nil
}

func dnsCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

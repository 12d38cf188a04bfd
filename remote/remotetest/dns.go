package remotetest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// DNS is a real authoritative name server for one zone, on a free port of a
// loopback address, for UDP and TCP. Its records lie in a zone file that is
// read anew for every question, so that anything may change them.
type DNS struct {
	Addr string // address:port
	Zone string // "example.org."
	File string // the zone file

	t     testing.TB
	bend  atomic.Pointer[func(*dns.Msg) bool]
	asked atomic.Int64
}

// StartDNS starts a server on ip, such as 127.0.0.1, that ends with the test.
// With port 0 it takes a free one. Without a file it makes one with nothing
// but the zone's SOA record.
func StartDNS(t testing.TB, zone, ip string, port int, file string) *DNS {
	t.Helper()
	d := &DNS{Zone: dns.Fqdn(zone), File: file, t: t}
	if file == "" {
		d.File = filepath.Join(t.TempDir(), "zone")
		d.Write()
	}
	var tcp net.Listener
	var udp net.PacketConn
	for try := range 20 { // a port that is free for both
		var err error
		if tcp, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(ip), Port: port}); err != nil {
			t.Fatal(err)
		}
		d.Addr = tcp.Addr().String()
		if udp, err = net.ListenPacket("udp", d.Addr); err == nil {
			break
		}
		tcp.Close()
		if port != 0 || try == 19 {
			t.Fatal(err)
		}
	}
	for _, s := range []*dns.Server{{Listener: tcp, Handler: d}, {PacketConn: udp, Handler: d}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		ended := make(chan error, 1)
		go func() { ended <- s.ActivateAndServe() }()
		select {
		case <-started:
		case err := <-ended:
			t.Fatal(err)
		}
		t.Cleanup(func() {
			s.Shutdown()
			<-ended
		})
	}
	return d
}

// Write sets all records of the zone, besides its SOA, as a zone file has
// them, names relative to the zone: "chat 300 IN A 192.0.2.1". Negative
// answers may be kept for 60 s.
func (d *DNS) Write(records ...string) {
	d.t.Helper()
	text := "$ORIGIN " + d.Zone + "\n@ 3600 IN SOA ns1 root 1 3600 600 86400 60\n" + strings.Join(records, "\n") + "\n"
	next := d.File + ".next"
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(next, d.File); err != nil {
		d.t.Fatal(err)
	}
}

// Bend lets f change every answer before it goes out; none goes where f says
// false. Nil bends nothing.
func (d *DNS) Bend(f func(answer *dns.Msg) bool) { d.bend.Store(&f) }

// Asked is how many questions came.
func (d *DNS) Asked() int64 { return d.asked.Load() }

// ServeDNS answers one question; it is for package dns.
func (d *DNS) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	d.asked.Add(1)
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	d.fill(m)
	if f := d.bend.Load(); f != nil && *f != nil && !(*f)(m) {
		return
	}
	if _, ok := w.RemoteAddr().(*net.UDPAddr); ok {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		m.Truncate(size)
	}
	w.WriteMsg(m)
}

// fill answers from the zone file, following names within the zone.
func (d *DNS) fill(m *dns.Msg) {
	f, err := os.Open(d.File)
	if err != nil {
		m.Rcode = dns.RcodeServerFailure
		return
	}
	defer f.Close()
	var soa dns.RR
	of := map[string][]dns.RR{}
	parser := dns.NewZoneParser(f, d.Zone, d.File)
	for rr, more := parser.Next(); more; rr, more = parser.Next() {
		name := dns.CanonicalName(rr.Header().Name)
		of[name] = append(of[name], rr)
		if rr.Header().Rrtype == dns.TypeSOA {
			soa = rr
		}
	}
	asked := m.Question[0]
	name := dns.CanonicalName(asked.Name)
	switch {
	case parser.Err() != nil || soa == nil:
		m.Rcode = dns.RcodeServerFailure
		return
	case !dns.IsSubDomain(dns.CanonicalName(d.Zone), name):
		m.Rcode, m.Authoritative = dns.RcodeRefused, false
		return
	case of[name] == nil:
		m.Rcode = dns.RcodeNameError
	}
	for range 8 {
		next := ""
		for _, rr := range of[name] {
			if alias, ok := rr.(*dns.CNAME); ok && asked.Qtype != dns.TypeCNAME {
				m.Answer, next = append(m.Answer, rr), dns.CanonicalName(alias.Target)
			} else if rr.Header().Rrtype == asked.Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{soa}
	}
}

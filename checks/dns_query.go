package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"belay/remote"
)

// DNSQuery is what is asked of DNS, of whom, and what shall come back.
type DNSQuery struct {
	Name      string          `yaml:"name" scalar:"" required:"" doc:"the name, such as chat.example.org"`
	Type      string          `yaml:"type" enum:"A|AAAA|CNAME|MX|TXT|NS|SRV|CAA" default:"A" doc:"type of the records"`
	Expect    []string        `yaml:"expect" doc:"values that every server must give, in any order, and no others; the same of all, whatever they are, when left out"`
	TTLMax    remote.Duration `yaml:"ttl_max" doc:"longest time that caches may be told to keep the records"`
	Servers   []string        `yaml:"servers" doc:"servers to ask, address or address:port; those with authority over the name, as the resolver names them, when left out or auto"`
	Resolver  string          `yaml:"resolver" doc:"resolver that names the servers, address or address:port; the first of /etc/resolv.conf where the asking is done, when left out"`
	Resolvers []string        `yaml:"resolvers" doc:"resolvers that must give the records too, such as 9.9.9.9"`
}

// DNSAnswer is what one server says.
type DNSAnswer struct {
	Server   string
	Resolver bool          // it has no authority over the name, and need not
	Values   []string      // sorted; none: it says that there are none
	TTL      time.Duration // how long this may be kept, also where there are none
	Err      error         // it gave no answer, or none that counts
}

func (a DNSAnswer) String() string {
	if a.Err != nil {
		return a.Server + ": " + plainError(a.Err)
	}
	return fmt.Sprintf("%s: %s, to be kept for %v", a.Server, said(a.Values), Span(a.TTL))
}

// String is what is asked: "chat.example.org A".
func (q DNSQuery) String() string { return q.Name + " " + q.kind() }

func (q DNSQuery) kind() string {
	if q.Type == "" {
		return "A"
	}
	return q.Type
}

// Validate refuses what no server could be asked.
func (q DNSQuery) Validate() error {
	var all []error
	if _, ok := dns.IsDomainName(q.Name); !ok || strings.Trim(q.Name, ".") == "" || strings.ContainsAny(q.Name, " \t\r\n:/") {
		all = append(all, Field("name", "%q is not a name such as chat.example.org", q.Name))
	}
	for i, v := range q.Expect {
		if _, err := q.value(v); err != nil {
			all = append(all, Field(fmt.Sprintf("expect.%d", i), "%q cannot be the value of a record of type %s", v, q.kind()))
		}
	}
	for i, s := range q.Servers {
		all = append(all, dnsAddress(fmt.Sprintf("servers.%d", i), s))
	}
	for i, s := range q.Resolvers {
		all = append(all, dnsAddress(fmt.Sprintf("resolvers.%d", i), s))
	}
	if q.Resolver != "" {
		all = append(all, dnsAddress("resolver", q.Resolver))
	}
	if q.TTLMax < 0 {
		all = append(all, Field("ttl_max", "%v is less than nothing", q.TTLMax))
	}
	return errors.Join(all...)
}

func dnsAddress(field, s string) error {
	if _, _, err := net.SplitHostPort(dnsPort(s)); err != nil || s == "" || strings.ContainsAny(s, " /") {
		return Field(field, "%q is neither an address nor address:port", s)
	}
	return nil
}

// dnsPort gives an address the usual port where it has none.
func dnsPort(s string) string {
	if _, err := netip.ParseAddr(s); err == nil || !strings.Contains(s, ":") {
		return net.JoinHostPort(s, dnsUsual)
	}
	return s
}

// dnsUsual is a variable for tests, in which nobody may listen there.
var dnsUsual = "53"

// value brings a value of the plan into the form that values of answers have.
func (q DNSQuery) value(v string) (string, error) {
	if q.kind() == "TXT" && !strings.HasPrefix(v, `"`) {
		return v, nil
	}
	rr, err := dns.NewRR(fmt.Sprintf("%s 1 IN %s %s", dns.Fqdn(q.Name), q.kind(), v))
	if err != nil || rr == nil || strings.ContainsAny(v, "\r\n") {
		return "", errors.New("no such value")
	}
	return dnsValue(rr), nil
}

// dnsValue is what a record holds, as people write it: names in lower case
// without the last dot, texts in one piece.
func dnsValue(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.TXT:
		return strings.Join(rr.Txt, "")
	case *dns.CAA:
		return strings.TrimPrefix(rr.String(), rr.Hdr.String())
	}
	text := strings.TrimPrefix(rr.String(), rr.Header().String())
	return strings.ToLower(strings.TrimSuffix(text, "."))
}

// said writes values for people.
func said(values []string) string {
	if len(values) == 0 {
		return "nothing"
	}
	return OneLine(strings.Join(values, ", "), 120)
}

// Span writes a time as a plan does: 5m, 2h30m.
func Span(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Wrong says in what an answer is not as it shall be; "" when it is.
func (q DNSQuery) Wrong(a DNSAnswer) string {
	if a.Err != nil {
		return a.String()
	}
	if why := q.wrongValues(a); why != "" {
		return why
	}
	if q.TTLMax > 0 && a.TTL > time.Duration(q.TTLMax) {
		return fmt.Sprintf("%s tells caches to keep it for %v", a.Server, Span(a.TTL))
	}
	return ""
}

func (q DNSQuery) wrongValues(a DNSAnswer) string {
	if len(q.Expect) == 0 {
		return ""
	}
	var want []string
	for _, v := range q.Expect {
		if v, err := q.value(v); err == nil { // Validate has seen it
			want = append(want, v)
		}
	}
	slices.Sort(want)
	if slices.Equal(slices.Compact(want), a.Values) {
		return ""
	}
	return fmt.Sprintf("%s says %s, not %s", a.Server, said(a.Values), said(want))
}

// Ask asks every server with authority over the name, and the resolvers, at
// the same time, as seen from h, over TCP; or from this machine where h is
// zero. An error means that the servers could not be found.
func (q DNSQuery) Ask(ctx context.Context, h remote.Host) ([]DNSAnswer, error) {
	all, err := q.servers(ctx, h)
	if err != nil {
		return nil, err
	}
	for _, r := range q.Resolvers {
		all = append(all, dnsServer{name: r, addrs: []string{dnsPort(r)}, resolver: true})
	}
	answers := make([]DNSAnswer, len(all))
	var done sync.WaitGroup
	for i, s := range all {
		done.Go(func() {
			answers[i] = q.askOne(ctx, h, s)
		})
	}
	done.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return answers, nil
}

package checks

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "tls", Summary: "the certificate at an address is trusted, carries the right names and lasts, as seen from a host",
		Example: `- tls: {on: chat, addr: "127.0.0.1:443", name: chat.example.org, days: 14}`,
		New:     func() Check { return new(TLSCheck) },
	})
}

// TLSCheck looks at the certificates that a server shows. Names and dates are
// held against this machine's clock, the chain against this machine's roots or
// those of a file; so a new server can be judged by the name it will have,
// before the name leads there. Where the host passes no connections on,
// openssl asks from there.
type TLSCheck struct {
	On       []string        `yaml:"on" doc:"hosts from which to connect; all of the plan when left out"`
	Addr     string          `yaml:"addr" scalar:"" required:"" doc:"address:port"`
	Name     string          `yaml:"name" doc:"name that is asked for (SNI) and that the certificate must carry; that of addr when left out"`
	Also     []string        `yaml:"also" doc:"further names that the certificate must carry"`
	CA       string          `yaml:"ca" doc:"file of this machine with the authorities to trust (PEM); its own roots when left out"`
	Insecure bool            `yaml:"insecure" doc:"take a certificate that no trusted authority vouches for, such as a self-signed one; names and dates are judged all the same"`
	Days     int             `yaml:"days" default:"14" doc:"fewer days left are a warning"`
	StartTLS string          `yaml:"starttls" enum:"postgres" doc:"what to speak before TLS begins; nothing when left out"`
	Timeout  remote.Duration `yaml:"timeout" default:"5s" doc:"how long it may take"`
}

func (c *TLSCheck) HostNames() []string { return c.On }
func (c *TLSCheck) NeedsFacts() bool    { return false }

// Validate refuses what no server could be asked.
func (c *TLSCheck) Validate() error {
	var all []error
	host, port, err := net.SplitHostPort(c.Addr)
	if n, numErr := strconv.Atoi(port); err != nil || host == "" || numErr != nil || n < 1 || n > 65535 {
		all = append(all, Field("addr", "%q is not address:port, such as 127.0.0.1:443", c.Addr))
	}
	if c.CA != "" {
		all = append(all, absolute("ca", c.CA))
	}
	if c.Insecure && c.CA != "" {
		all = append(all, Field("insecure", "would take what `ca` shall refuse; remove one of them"))
	}
	if c.Days < 0 {
		all = append(all, Field("days", "%d is less than nothing", c.Days))
	}
	return errors.Join(all...)
}

// shown is what a server showed: its own certificate first.
type shown struct {
	chain   []*x509.Certificate
	version uint16 // of TLS; 0 when not known
}

// Assess gives one finding a host.
func (c *TLSCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var roots *x509.CertPool // nil: this machine's own
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err // it names the file
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: there is no certificate in it", c.CA)
		}
	}
	limit := within(c.Timeout, 5*time.Second)
	return onHosts(ctx, c, w, c.On, c.key(), func(ctx context.Context, h remote.Host) Finding {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, slow(limit))
		defer cancel()
		s, err := c.fetch(ctx, h, limit)
		switch {
		case err != nil && ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded): // the connection's own, a moment before
			err = slow(limit)
		}
		var cannot cannotAsk
		switch {
		case errors.As(err, &cannot):
			return unknown("allow forwarding for that login, or install openssl there", "%s", cannot.Error())
		case err != nil && lost(err):
			return couldNotLook(err)
		case err != nil:
			return block("see whether it runs and speaks TLS, and what its log says", "%s: %s", c.Addr, plainError(err))
		}
		f := c.judge(s, roots, time.Now())
		f.Detail = s.String()
		return f
	})
}

func (c *TLSCheck) key() string {
	if host, _, _ := net.SplitHostPort(c.Addr); c.Name != "" && c.Name != host {
		return c.Name + " at " + c.Addr
	}
	return c.Addr
}

// name is what the certificate must carry first of all.
func (c *TLSCheck) name() string {
	if c.Name != "" {
		return c.Name
	}
	host, _, _ := net.SplitHostPort(c.Addr) // Validate has seen it
	return host
}

const day = 24 * time.Hour

func (c *TLSCheck) judge(s shown, roots *x509.CertPool, now time.Time) Finding {
	leaf := s.chain[0]
	switch {
	case now.After(leaf.NotAfter):
		return block("renew it", "%s: the certificate ran out on %s UTC", c.key(), leaf.NotAfter.UTC().Format("2006-01-02 15:04"))
	case now.Before(leaf.NotBefore):
		return block("wait for that, or set the clocks right", "%s: the certificate is not good before %s UTC", c.key(), leaf.NotBefore.UTC().Format("2006-01-02 15:04"))
	}
	for _, name := range append([]string{c.name()}, c.Also...) {
		if leaf.VerifyHostname(name) != nil {
			return block("get a certificate for that name, or correct the name", "%s: the certificate is not for %s, but for %s", c.key(), name, names(leaf))
		}
	}
	why, fix := untrusted(s.chain, roots, now)
	if why != "" && !c.Insecure {
		return block(fix, "%s: %s", c.key(), why)
	}
	left := int(leaf.NotAfter.Sub(now) / day)
	saw := fmt.Sprintf("%s: good for %s and %d more days", c.key(), names(leaf), left)
	if why != "" {
		saw += "; " + why
	}
	switch {
	case left < c.Days:
		return warn("renew it before the cutover", "%s, fewer than %d", saw, c.Days)
	case s.version != 0 && s.version < tls.VersionTLS12:
		return warn("let the server speak TLS 1.2 or 1.3", "%s; the server speaks no more than %s", saw, tls.VersionName(s.version))
	}
	return pass("%s", saw)
}

// untrusted says in plain words why nobody trusted vouches for a chain; "" if
// somebody does.
func untrusted(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (why, fix string) {
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	if err == nil {
		return "", ""
	}
	for _, cert := range chain[1:] {
		if now.After(cert.NotAfter) {
			return fmt.Sprintf("the certificate of %q above it ran out on %s", cert.Subject.CommonName, cert.NotAfter.UTC().Format(time.DateOnly)), "let the server send the chain that came with its certificate"
		}
	}
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	top := chain[len(chain)-1]
	switch {
	case !unknown:
		return "the chain does not hold: " + OneLine(strings.TrimPrefix(err.Error(), "x509: "), 150), "see the certificates in the details"
	case selfSigned(leaf):
		return "the certificate is self-signed", "get one from an authority, or give its file as ca if that is meant"
	case selfSigned(top):
		return fmt.Sprintf("it comes from %q, whom this machine does not trust", top.Subject.CommonName), "give the file of that authority as ca if that is meant"
	case len(chain) == 1 && len(leaf.IssuingCertificateURL) > 0:
		return fmt.Sprintf("the server does not send the certificate of %q, which signed its own", leaf.Issuer.CommonName), "let the server send the full chain (fullchain.pem, not cert.pem)"
	}
	return fmt.Sprintf("it comes from %q, whom this machine does not trust", top.Issuer.CommonName),
		"let the server send the full chain, or give the file of that authority as ca"
}

// selfSigned tells a certificate that vouches for itself. A CheckSignatureFrom
// would refuse one that is not marked as an authority.
func selfSigned(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// names are those that a certificate carries, at most five.
func names(c *x509.Certificate) string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	switch n := len(all); {
	case n == 0:
		return "no name at all"
	case n > 5:
		all = append(all[:4], fmt.Sprintf("%d more", n-4))
	}
	return strings.Join(all, ", ")
}

// String lists the certificates, for the detail card.
func (s shown) String() string {
	var b strings.Builder
	if s.version != 0 {
		fmt.Fprintf(&b, "%s\n", tls.VersionName(s.version))
	}
	for _, c := range s.chain {
		fmt.Fprintf(&b, "%s\n  from    %s\n  good    %s to %s\n  names   %s\n  sha256  %x\n", c.Subject, c.Issuer,
			c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime), names(c), sha256.Sum256(c.Raw))
	}
	return b.String()
}

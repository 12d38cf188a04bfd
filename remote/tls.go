package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Trust says which certificate a server must show, where one is looked at. The
// zero value takes one that an authority of belay's own machine has signed, for
// the name in the server's address.
type Trust struct {
	CA   string // certificates of authorities, PEM; empty: those of belay's machine
	Name string // whom the certificate must be for; empty: the host of the address
}

// Config is a client's, of a server at addr ("10.0.0.7:3306").
func (t Trust) Config(addr string) (*tls.Config, error) {
	pool, err := t.Pool()
	if err != nil {
		return nil, err
	}
	return &tls.Config{ServerName: t.For(addr), RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Pool is nil where the authorities are those of belay's machine.
func (t Trust) Pool() (*x509.CertPool, error) {
	if t.CA == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(t.CA)) {
		return nil, errors.New("tls_ca: the file holds no certificate (PEM: -----BEGIN CERTIFICATE-----)")
	}
	return pool, nil
}

// For is the name that the certificate must have, of a server at addr.
func (t Trust) For(addr string) string {
	if t.Name != "" {
		return t.Name
	}
	host, _, _ := net.SplitHostPort(addr)
	return host
}

// Told says in people's words why a handshake came to nothing, and what to do.
// Any other error is returned as it is. What it returns wraps err.
func (t Trust) Told(err error) error {
	var text string
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		text = fmt.Sprintf("TLS: the server's certificate is signed by %s, and no authority of this machine has signed for that: give the file of the authority as tls_ca, or take any certificate by tls: require", issuer(unknown.Cert))
		if t.CA != "" {
			text = fmt.Sprintf("TLS: the server's certificate is signed by %s, and not by the authority in tls_ca", issuer(unknown.Cert))
		}
	} else if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		text = fmt.Sprintf("TLS: the server's certificate is for %s, and not for %s: say by tls_name whom you expect, or log in by that name", names(wrong.Certificate), wrong.Host)
	} else if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.Expired && bad.Cert != nil {
		text = fmt.Sprintf("TLS: the certificate of %s expired on %s", names(bad.Cert), bad.Cert.NotAfter.UTC().Format(time.DateTime+" UTC"))
		if time.Now().Before(bad.Cert.NotBefore) {
			text = fmt.Sprintf("TLS: the certificate of %s is not good before %s (or the clock of belay's machine is wrong)", names(bad.Cert), bad.Cert.NotBefore.UTC().Format(time.DateTime+" UTC"))
		}
	} else if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		text = "TLS: the server does not speak it there"
	}
	if text == "" {
		return err
	}
	return told{text, err}
}

// told is an error in other words.
type told struct {
	text string
	err  error
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.err }

func issuer(c *x509.Certificate) string {
	switch {
	case c == nil:
		return "somebody"
	case c.Issuer.String() == c.Subject.String():
		return "itself"
	}
	return fmt.Sprintf("%.200q", c.Issuer.String())
}

// names are those of a certificate, which may be hostile.
func names(c *x509.Certificate) string {
	var all []string
	for _, n := range c.DNSNames {
		all = append(all, fmt.Sprintf("%.100q", n))
	}
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) > 6 {
		all = append(all[:6], "…")
	}
	if len(all) == 0 {
		return fmt.Sprintf("nobody (its common name, %.100q, does not count)", c.Subject.CommonName)
	}
	return strings.Join(all, ", ")
}

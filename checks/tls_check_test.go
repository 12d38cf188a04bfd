package checks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

// signed is a certificate with its key.
type signed struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign makes a certificate; by nil, it vouches for itself.
func sign(t *testing.T, by *signed, c x509.Certificate) *signed {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Now().Add(-time.Hour)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(90*day + time.Hour)
	}
	c.BasicConstraintsValid = true
	if by == nil {
		by = &signed{&c, key}
	}
	raw, err := x509.CreateCertificate(rand.Reader, &c, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &signed{cert, key}
}

func authority(t *testing.T, name string, by *signed) *signed {
	return sign(t, by, x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
}

// serveTLS shows a chain on a free port and returns the address.
func serveTLS(t *testing.T, change func(*tls.Config), chain ...*signed) string {
	t.Helper()
	own := tls.Certificate{PrivateKey: chain[0].key}
	for _, c := range chain {
		own.Certificate = append(own.Certificate, c.cert.Raw)
	}
	config := &tls.Config{Certificates: []tls.Certificate{own}}
	if change != nil {
		change(config)
	}
	return serveTCP(t, func(conn net.Conn) { tls.Server(conn, config).Handshake() })
}

func serveTCP(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				talk(conn)
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return l.Addr().String()
}

func writePEM(t *testing.T, c *signed) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLS(t *testing.T) {
	root := authority(t, "Harbour Root", nil)
	between := authority(t, "Harbour Issuer", root)
	gone := sign(t, root, x509.Certificate{Subject: pkix.Name{CommonName: "Old Issuer"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-9 * day), NotAfter: time.Now().Add(-2 * day)})
	chat := x509.Certificate{DNSNames: []string{"chat.example.org", "*.example.net"}, IPAddresses: []net.IP{{127, 0, 0, 1}}}
	with := func(change func(*x509.Certificate)) x509.Certificate { c := chat; change(&c); return c }
	ca := writePEM(t, root)
	good := sign(t, between, chat)
	self := sign(t, nil, chat)
	at := serveTLS(t, nil, good, between)
	for name, c := range map[string]struct {
		addr  string
		check TLSCheck
		level Level
		text  string
	}{
		"good":         {at, TLSCheck{CA: ca, Name: "chat.example.org", Also: []string{"www.example.net"}}, Pass, "chat.example.org at ADDR: good for chat.example.org, *.example.net, 127.0.0.1 and 90 more days"},
		"by address":   {at, TLSCheck{CA: ca}, Pass, "ADDR: good for chat.example.org, *.example.net, 127.0.0.1 and 90 more days"},
		"few days":     {at, TLSCheck{CA: ca, Days: 91}, Warn, "ADDR: good for chat.example.org, *.example.net, 127.0.0.1 and 90 more days, fewer than 91"},
		"other name":   {at, TLSCheck{CA: ca, Name: "mail.example.org"}, Block, "mail.example.org at ADDR: the certificate is not for mail.example.org, but for chat.example.org, *.example.net, 127.0.0.1"},
		"further name": {at, TLSCheck{CA: ca, Also: []string{"example.net"}}, Block, "ADDR: the certificate is not for example.net, but for chat.example.org, *.example.net, 127.0.0.1"},
		"no trust":     {at, TLSCheck{}, Block, `ADDR: it comes from "Harbour Root", whom this machine does not trust`},
		"no trust, ok": {at, TLSCheck{Insecure: true}, Pass, `ADDR: good for chat.example.org, *.example.net, 127.0.0.1 and 90 more days; it comes from "Harbour Root", whom this machine does not trust`},
		"ran out": {serveTLS(t, nil, sign(t, root, with(func(c *x509.Certificate) {
			c.NotAfter = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
			c.NotBefore = c.NotAfter.Add(-day)
		}))), TLSCheck{CA: ca}, Block, "ADDR: the certificate ran out on 2026-03-01 12:30 UTC"},
		"ran out, self": {serveTLS(t, nil, sign(t, nil, with(func(c *x509.Certificate) {
			c.NotAfter = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
			c.NotBefore = c.NotAfter.Add(-day)
		}))), TLSCheck{Insecure: true}, Block, "ADDR: the certificate ran out on 2026-03-01 12:30 UTC"},
		"not yet": {serveTLS(t, nil, sign(t, root, with(func(c *x509.Certificate) {
			c.NotBefore = time.Date(2099, 3, 1, 0, 0, 0, 0, time.UTC)
			c.NotAfter = c.NotBefore.Add(day)
		}))), TLSCheck{CA: ca}, Block, "ADDR: the certificate is not good before 2099-03-01 00:00 UTC"},
		"self-signed": {serveTLS(t, nil, self), TLSCheck{CA: ca}, Block, "ADDR: the certificate is self-signed"},
		"self, meant": {serveTLS(t, nil, self), TLSCheck{Insecure: true}, Pass, "ADDR: good for chat.example.org, *.example.net, 127.0.0.1 and 90 more days; the certificate is self-signed"},
		"self, as ca": {serveTLS(t, nil, self), TLSCheck{CA: writePEM(t, self)}, Pass, "ADDR: good for chat.example.org, *.example.net, 127.0.0.1 and 90 more days"},
		"half a chain": {serveTLS(t, nil, sign(t, between, with(func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://127.0.0.1/issuer"} }))), TLSCheck{CA: ca}, Block,
			`ADDR: the server does not send the certificate of "Harbour Issuer", which signed its own`},
		"old issuer": {serveTLS(t, nil, sign(t, gone, chat), gone), TLSCheck{CA: ca}, Block, `ADDR: the certificate of "Old Issuer" above it ran out on ` + gone.cert.NotAfter.UTC().Format(time.DateOnly)},
		"wants ours": {serveTLS(t, func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, good, between), TLSCheck{CA: ca}, Pass, "ADDR: good for chat.example.org, *.example.net, 127.0.0.1 and 90 more days"},
		"old TLS":    {serveTLS(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }, good, between), TLSCheck{CA: ca}, Warn, "ADDR: good for chat.example.org, *.example.net, 127.0.0.1 and 90 more days; the server speaks no more than TLS 1.1"},
		"plain":      {serveTCP(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") }), TLSCheck{CA: ca}, Block, `ADDR: it does not speak TLS there (its first bytes are "SSH-2")`},
		"mute":       {serveTCP(t, func(c net.Conn) { io.Copy(io.Discard, c) }), TLSCheck{CA: ca, Timeout: remote.Duration(100 * time.Millisecond)}, Block, "ADDR: no answer within 100ms"},
	} {
		c.check.On, c.check.Addr = []string{"chat"}, c.addr
		found, err := c.check.Assess(t.Context(), World{Hosts: remote.Hosts{"chat": remote.ReadOnly(remote.Local("chat"))}})
		if err != nil || len(found) != 1 {
			t.Errorf("%s: %v, %v", name, found, err)
			continue
		}
		f := found[0]
		if want := strings.ReplaceAll(c.text, "ADDR", c.addr); f.Level != c.level || f.Text != want {
			t.Errorf("%s:\n%v %s, want\n%v %s", name, f.Level, f.Text, c.level, want)
		}
		if f.Host != "chat" || (f.Fix == "") != (f.Level == Pass) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// The name decides which certificate is shown.
func TestTLSAsksForTheName(t *testing.T) {
	a, b := sign(t, nil, x509.Certificate{DNSNames: []string{"a.example.org"}}), sign(t, nil, x509.Certificate{DNSNames: []string{"b.example.org"}})
	addr := serveTLS(t, func(c *tls.Config) {
		c.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			s := a
			if h.ServerName == "b.example.org" {
				s = b
			}
			return &tls.Certificate{Certificate: [][]byte{s.cert.Raw}, PrivateKey: s.key}, nil
		}
	}, a)
	for _, name := range []string{"a.example.org", "b.example.org"} {
		c := &TLSCheck{Addr: addr, Name: name, Insecure: true}
		f, err := c.Assess(t.Context(), World{Hosts: remote.Hosts{"chat": remote.Local("chat")}})
		if err != nil || f[0].Level != Pass || !strings.Contains(f[0].Detail, "sha256  ") || !strings.Contains(f[0].Detail, name) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

// noForwarding refuses what sshd refuses with AllowTcpForwarding no.
type noForwarding struct{}

func (noForwarding) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, remote.ErrNoForwarding
}

func TestTLSByOpenSSL(t *testing.T) {
	remotetest.Need(t, "openssl")
	root := authority(t, "Harbour Root", nil)
	between := authority(t, "Harbour Issuer", root)
	at := serveTLS(t, nil, sign(t, between, x509.Certificate{DNSNames: []string{"chat.example.org"}}), between)
	h := remote.Local("chat")
	h.Dialer = noForwarding{}
	for addr, want := range map[string]string{
		at: "pass: chat.example.org at " + at + ": good for chat.example.org and 90 more days",
		serveTCP(t, func(c net.Conn) { io.WriteString(c, "hello\n") }): "block: ",
	} {
		c := &TLSCheck{Addr: addr, Name: "chat.example.org", CA: writePEM(t, root)}
		f, err := c.Assess(t.Context(), World{Hosts: remote.Hosts{"chat": remote.ReadOnly(h)}})
		if err != nil || !strings.HasPrefix(f[0].Level.String()+": "+f[0].Text, want) {
			t.Errorf("%+v, %v, want %s", f, err, want)
		}
	}
	bare := remotetest.NewScripted(t, "chat")
	bare.WhenScript("openssl").Exit(127, "")
	h.Runner = bare
	f, err := (&TLSCheck{Addr: at}).Assess(t.Context(), World{Hosts: remote.Hosts{"chat": h}})
	if err != nil || f[0].Level != Unknown || !strings.Contains(f[0].Text, "no openssl") {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestTLSPostgres speaks to a server that begins as PostgreSQL does; the real
// one is asked in the tests of the shipped plans.
func TestTLSPostgres(t *testing.T) {
	self := sign(t, nil, x509.Certificate{DNSNames: []string{"db.example.org"}})
	serve := func(say byte) string {
		return serveTCP(t, func(c net.Conn) {
			var request [8]byte
			if _, err := io.ReadFull(c, request[:]); err != nil || request != [8]byte{0, 0, 0, 8, 4, 210, 22, 47} {
				return
			}
			c.Write([]byte{say})
			if say == 'S' {
				tls.Server(c, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{self.cert.Raw}, PrivateKey: self.key}}}).Handshake()
			}
		})
	}
	for say, want := range map[byte]string{
		'S': "good for db.example.org and 90 more days; the certificate is self-signed",
		'N': "the PostgreSQL server has TLS switched off (ssl = off)",
		'E': `it does not answer as PostgreSQL does ("E")`,
	} {
		c := &TLSCheck{Addr: serve(say), Name: "db.example.org", StartTLS: "postgres", Insecure: true}
		f, err := c.Assess(t.Context(), World{Hosts: remote.Hosts{"db": remote.Local("db")}})
		if err != nil || !strings.HasSuffix(f[0].Text, want) {
			t.Errorf("%c: %+v, %v", say, f, err)
		}
	}
}

func TestTLSAuthorities(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{empty, empty + ".not"} {
		if f, err := (&TLSCheck{Addr: "127.0.0.1:1", CA: ca}).Assess(t.Context(), World{}); err == nil || !strings.Contains(err.Error(), ca) {
			t.Errorf("%v, %v", f, err)
		}
	}
}

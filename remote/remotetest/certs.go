package remotetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	mathbig "math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certs are an authority of one test's own, and certificates that it signed:
// files in PEM that a server run by StartPostgres, StartMariaDB or StartRedis
// can read.
type Certs struct {
	CA     string // of the authority
	Other  string // of another authority, which signed nothing
	Good   CertFiles
	Late   CertFiles // expired yesterday
	Misled CertFiles // for other.example.org, and no address
}

// CertFiles are a certificate and its key.
type CertFiles struct{ Cert, Key string }

// NewCerts makes them. Good is for db.example.org and 127.0.0.1.
func NewCerts(t testing.TB) Certs {
	t.Helper()
	dir, err := os.MkdirTemp("", "belaytls") // t.TempDir is not open to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &mint{t: t, dir: dir}
	var c Certs
	ca, key := m.sign("ca", x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil, &c.CA)
	m.sign("other", x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil, &c.Other)
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	c.Good = m.pair("good", x509.Certificate{DNSNames: []string{"db.example.org"}, IPAddresses: here}, ca, key)
	c.Late = m.pair("late", x509.Certificate{DNSNames: []string{"db.example.org"}, IPAddresses: here,
		NotBefore: time.Now().Add(-72 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)}, ca, key)
	c.Misled = m.pair("misled", x509.Certificate{DNSNames: []string{"other.example.org"}}, ca, key)
	giveToNobody(t, dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

// mint makes certificates.
type mint struct {
	t   testing.TB
	dir string
	n   int64
}

func (m *mint) pair(name string, c x509.Certificate, ca *x509.Certificate, by *ecdsa.PrivateKey) (f CertFiles) {
	m.t.Helper()
	_, key := m.sign(name, c, ca, by, &f.Cert)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		m.t.Fatal(err)
	}
	f.Key = m.write(name+".key", "PRIVATE KEY", der, 0o600)
	return f
}

// sign makes a certificate, signed by itself where ca is nil.
func (m *mint) sign(name string, c x509.Certificate, ca *x509.Certificate, by *ecdsa.PrivateKey, path *string) (*x509.Certificate, *ecdsa.PrivateKey) {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	m.n++
	c.SerialNumber, c.Subject = mathbig.NewInt(m.n), pkix.Name{CommonName: "belay test " + name}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	if ca == nil {
		ca, by = &c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, ca, &key.PublicKey, by)
	if err != nil {
		m.t.Fatal(err)
	}
	got, err := x509.ParseCertificate(der)
	if err != nil {
		m.t.Fatal(err)
	}
	*path = m.write(name+".pem", "CERTIFICATE", der, 0o644)
	return got, key
}

func (m *mint) write(name, kind string, der []byte, mode os.FileMode) string {
	m.t.Helper()
	p := filepath.Join(m.dir, name)
	if err := os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		m.t.Fatal(err)
	}
	return p
}

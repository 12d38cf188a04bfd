package checks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"belay/remote"
)

// fetch gets the certificates, through the host's Dialer or by openssl there.
func (c *TLSCheck) fetch(ctx context.Context, h remote.Host, limit time.Duration) (shown, error) {
	if h.Dialer == nil {
		return c.fetchThere(ctx, h)
	}
	conn, err := h.Dial(ctx, "tcp", c.Addr)
	if errors.Is(err, remote.ErrNoForwarding) {
		return c.fetchThere(ctx, h)
	}
	if err != nil {
		return shown{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return shown{}, err
	}
	if c.StartTLS == "postgres" {
		if err := startPostgres(conn); err != nil {
			return shown{}, err
		}
	}
	return c.handshake(ctx, conn)
}

// handshake takes any certificate, for judge to say what is wrong with it. It
// is kept before the end of the handshake, which may ask for one of ours.
func (c *TLSCheck) handshake(ctx context.Context, conn net.Conn) (shown, error) {
	var s shown
	var odd error
	client := tls.Client(conn, &tls.Config{
		ServerName: c.name(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS10,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			for _, one := range raw {
				cert, err := x509.ParseCertificate(one)
				if err != nil {
					odd = err
					return err
				}
				s.chain = append(s.chain, cert)
			}
			return nil
		},
	})
	err := client.HandshakeContext(ctx)
	s.version = client.ConnectionState().Version
	switch {
	case odd != nil:
		return shown{}, odd
	case len(s.chain) > 0:
		return s, nil
	case err == nil:
		return shown{}, errors.New("the server showed no certificate")
	}
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return shown{}, fmt.Errorf("it does not speak TLS there (its first bytes are %q)", plain.RecordHeader[:])
	}
	return shown{}, err
}

// startPostgres asks a PostgreSQL server for TLS: SSLRequest, as the manual's
// chapter "Message Flow" has it; S is yes, N is no.
func startPostgres(conn net.Conn) error {
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	switch answer[0] {
	case 'S':
		return nil
	case 'N':
		return errors.New("the PostgreSQL server has TLS switched off (ssl = off)")
	}
	return fmt.Errorf("it does not answer as PostgreSQL does (%q)", answer[:])
}

// fetchScript prints every certificate that openssl was shown. Its status
// tells of verification too, so the certificates decide.
const fetchScript = `LC_ALL=C; export LC_ALL
command -v openssl >/dev/null 2>&1 || exit 127
if [ -n "$3" ]; then set -- "$1" "$2" -starttls "$3"; else set -- "$1" "$2"; fi
a=$1; n=$2; shift 2
openssl s_client -connect "$a" -servername "$n" -showcerts "$@" </dev/null 2>/dev/null | head -c 1000000
:`

// fetchThere is for hosts that pass no connections on.
func (c *TLSCheck) fetchThere(ctx context.Context, h remote.Host) (shown, error) {
	cmd := remote.Sh(fetchScript, c.Addr, c.name(), c.StartTLS)
	cmd.Pure = true
	out, err := remote.Output(ctx, h, cmd)
	if exit, ended := errors.AsType[*remote.ExitError](err); ended && exit.Status == 127 {
		return shown{}, cannotAsk(fmt.Sprintf("host %s passes no connections on, and has no openssl that could ask for us", h.Name))
	}
	if err != nil {
		return shown{}, err
	}
	var s shown
	for rest := out; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return shown{}, err
		}
		s.chain = append(s.chain, cert)
	}
	if len(s.chain) == 0 {
		return shown{}, errors.New("no connection, or no certificate: " + OneLine(strings.TrimSpace(string(out)), 120))
	}
	return s, nil
}

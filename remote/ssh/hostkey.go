package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"
)

// judgeHostKey is strict: a known key passes, a changed or revoked one never
// does, an unknown one when a person accepts it.
func (a *attempt) judgeHostKey(key ssh.PublicKey) error {
	l := a.link
	// One question at a time, and a host under two names is asked about once.
	a.lock(&l.net.keyTurn)
	defer l.net.keyTurn.Unlock()
	name := l.set.knownName()
	known, err := l.known()
	if err != nil {
		return err
	}
	cert, isCert := key.(*ssh.Certificate)
	if isCert {
		err := checkHostCert(cert, known, first(l.set.KnownAs, l.set.HostName))
		if err == nil {
			return nil
		}
		if errors.Is(err, errRevoked) {
			return a.changed(cert.Key, known, true)
		}
		key = cert.Key // as ssh does: fall back to the plain key
	}
	var others []knownLine
	trusted := false
	for _, k := range known {
		same := bytes.Equal(k.key.Marshal(), key.Marshal())
		switch {
		case k.revoked && same:
			return a.changed(key, []knownLine{k}, true)
		case k.revoked || k.ca:
		case same:
			trusted = true
		default:
			others = append(others, k)
		}
	}
	if trusted {
		return nil
	}
	if len(others) > 0 {
		return a.changed(key, others, false)
	}
	return a.askHostKey(key, name)
}

var errRevoked = errors.New("revoked")

func checkHostCert(cert *ssh.Certificate, known []knownLine, host string) error {
	for _, k := range known {
		if k.revoked {
			for _, key := range []ssh.PublicKey{cert.Key, cert.SignatureKey} {
				if bytes.Equal(k.key.Marshal(), key.Marshal()) {
					return errRevoked
				}
			}
		}
	}
	checker := ssh.CertChecker{IsHostAuthority: func(auth ssh.PublicKey, _ string) bool {
		for _, k := range known {
			if k.ca && bytes.Equal(k.key.Marshal(), auth.Marshal()) {
				return true
			}
		}
		return false
	}}
	// Principals are bare host names; the checker cuts a port off.
	return checker.CheckHostKey(net.JoinHostPort(host, "22"), nil, cert)
}

func (a *attempt) changed(key ssh.PublicKey, lines []knownLine, revoked bool) error {
	e := &HostKeyChangedError{
		Host: a.link.name(), Address: a.link.set.knownName(), Revoked: revoked,
		Type: key.Type(), Got: ssh.FingerprintSHA256(key),
	}
	for _, k := range lines {
		if !k.ca {
			e.Want = append(e.Want, KnownKey{Type: k.key.Type(), Fingerprint: ssh.FingerprintSHA256(k.key), File: k.file, Line: k.line})
		}
	}
	return e
}

func (a *attempt) askHostKey(key ssh.PublicKey, name string) error {
	l := a.link
	k := UnknownKey{Host: l.name(), Address: name, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)}
	if len(l.set.UserKnown) > 0 {
		k.File = l.set.UserKnown[0]
	}
	ask := l.net.o.HostKey
	if ask == nil || k.File == "" {
		return &UnknownHostKeyError{Key: k}
	}
	yes := false
	err := a.whileAsking(func(ctx context.Context) (err error) {
		yes, err = ask(ctx, k)
		return err
	})
	if err != nil {
		return fmt.Errorf("host key of %s was not accepted: %w", name, err)
	}
	if !yes {
		return &UnknownHostKeyError{Key: k}
	}
	if err := appendKnown(k.File, name, key, l.set.Hash); err != nil {
		return fmt.Errorf("host key of %s was accepted but not noted: %w", name, err)
	}
	return nil
}

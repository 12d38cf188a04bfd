package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"belay/remote/secret"
)

// methods are ssh(1)'s, in its order; those that ask a person come last.
func (a *attempt) methods() []ssh.AuthMethod {
	all := []ssh.AuthMethod{ssh.PublicKeysCallback(a.signers)}
	if a.link.net.o.Prompt != nil {
		all = append(all,
			ssh.RetryableAuthMethod(ssh.KeyboardInteractive(a.answer), 3),
			ssh.RetryableAuthMethod(ssh.PasswordCallback(a.askPassword), 3))
	}
	return all
}

// signers lists the keys to try: the agent's that were named as identities,
// the agent's others unless IdentitiesOnly, then key files. A certificate goes
// before its key.
func (a *attempt) signers() ([]ssh.Signer, error) {
	s := a.link.set
	held := a.agentSigners(s.Agent)
	files := a.identityFiles(s)
	var plain []ssh.Signer
	used := make([]bool, len(held))
	for _, k := range files {
		for i, h := range held {
			if !used[i] && samePublic(h.PublicKey(), k.pub) {
				plain, used[i] = append(plain, h), true
			}
		}
	}
	if !s.IdentitiesOnly {
		for i, h := range held {
			if !used[i] {
				plain, used[i] = append(plain, h), true
			}
		}
	}
	if len(plain) > 0 {
		a.tried = append(a.tried, fmt.Sprintf("agent (%d %s)", len(plain), plural(len(plain), "key")))
	}
	for _, k := range files {
		if k.public || holds(plain, k.pub) {
			continue
		}
		plain = append(plain, lazySigner{k, a})
		a.tried = append(a.tried, a.link.net.short(k.path))
	}
	certs := certificates(s)
	var all []ssh.Signer
	for _, p := range plain {
		for _, c := range certs {
			if samePublic(c.Key, p.PublicKey()) {
				if cs, err := ssh.NewCertSigner(c, p); err == nil {
					all = append(all, cs)
					a.tried = append(a.tried, fmt.Sprintf("certificate %q", c.KeyId))
				}
			}
		}
		all = append(all, p)
	}
	return all, nil
}

// samePublic compares keys; a certificate in an agent counts as its key.
func samePublic(a, b ssh.PublicKey) bool {
	if c, ok := a.(*ssh.Certificate); ok {
		a = c.Key
	}
	return bytes.Equal(a.Marshal(), b.Marshal())
}

func holds(signers []ssh.Signer, pub ssh.PublicKey) bool {
	for _, s := range signers {
		if bytes.Equal(s.PublicKey().Marshal(), pub.Marshal()) {
			return true
		}
	}
	return false
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func (a *attempt) identityFiles(s settings) []*fileKey {
	var files []*fileKey
	for _, path := range s.Identities {
		k, err := a.link.net.keys.load(path)
		switch {
		case err == nil:
			files = append(files, k)
		case !s.Explicit && errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrNotExist):
			a.tried = append(a.tried, a.link.net.short(path)+" (missing)")
		default:
			a.tried = append(a.tried, fmt.Sprintf("%s (%v)", a.link.net.short(path), err))
		}
	}
	return files
}

// agentSigners connects to the agent for the time of the attempt.
func (a *attempt) agentSigners(socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(a.ctx, "unix", socket)
	if err != nil {
		a.tried = append(a.tried, "agent (not reached)")
		return nil
	}
	stop := context.AfterFunc(a.ctx, func() { conn.Close() })
	a.atEnd = append(a.atEnd, func() { stop(); conn.Close() })
	held, err := agent.NewClient(conn).Signers()
	if err != nil {
		a.tried = append(a.tried, "agent (it does not list its keys)")
		return nil
	}
	return held
}

func (a *attempt) account() string {
	return a.link.set.User + "@" + a.link.set.knownName()
}

// askPassword uses the password that opened this account before, once.
func (a *attempt) askPassword() (string, error) {
	a.note("password")
	if v := a.link.net.password(a.account()); !v.IsZero() && !a.usedKnown {
		a.usedKnown, a.password = true, v
		return v.Reveal(), nil
	}
	text := "password of " + a.account()
	if a.asked++; a.asked > 1 {
		text = "that was not it; " + text
	}
	v, err := a.prompt(Password, text)
	a.password = v
	return v.Reveal(), err
}

// answer speaks for a person in keyboard-interactive. A single hidden question
// is taken for the password.
func (a *attempt) answer(_, instruction string, questions []string, echos []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i, q := range questions {
		if len(questions) == 1 && !echos[i] && strings.Contains(strings.ToLower(q), "password") {
			text, err := a.askPassword()
			if err != nil {
				return nil, err
			}
			answers[i] = text
			continue
		}
		a.note("questions of the server")
		v, err := a.prompt(Question, strings.TrimSpace(a.account()+": "+strings.TrimSpace(instruction+" ")+" "+q))
		if err != nil {
			return nil, err
		}
		answers[i] = v.Reveal()
	}
	return answers, nil
}

func (a *attempt) prompt(kind PromptKind, text string) (v secret.Value, err error) {
	err = a.whileAsking(func(ctx context.Context) (err error) {
		v, err = a.link.net.o.Prompt(ctx, kind, text)
		return err
	})
	if err != nil {
		a.signErr = err
	}
	return v, err
}

func (a *attempt) note(method string) {
	if n := len(a.tried); n == 0 || a.tried[n-1] != method {
		a.tried = append(a.tried, method)
	}
}

package ssh

import (
	"context"
	"fmt"
	"time"

	"belay/remote"
	"belay/remote/secret"
)

// Spec is what a plan says about a host. Every field is optional: what is not
// said comes from ssh_config, under Address where it has a Host of that very
// name, else under the host's name; then from ssh's defaults.
type Spec struct {
	Address        string // name or IP address, without port, or a Host of ssh_config
	User           string
	Port           int
	Jump           string // [user@]host[:port] or one of Options.Hosts, several with commas, in order; "none"
	Identity       string // private key file; then no other key is tried
	ConnectTimeout time.Duration
}

// Options say how a Network behaves. The zero value is what a person's ssh
// does, with nobody to ask.
type Options struct {
	// Config replaces ~/.ssh/config and /etc/ssh/ssh_config; "none" reads none.
	Config string
	// Home replaces the home directory, for ~ and .ssh.
	Home string
	// Agent is the agent's socket; default IdentityAgent, then SSH_AUTH_SOCK;
	// "none" uses no agent.
	Agent string
	// Hosts are what the Jump of a Spec may name besides what ssh_config knows;
	// they go before it.
	Hosts map[string]Spec
	// Prompt asks a person; nil: nobody is there.
	Prompt func(ctx context.Context, kind PromptKind, text string) (secret.Value, error)
	// HostKey asks whether to trust a key that is not known; yes appends it to
	// k.File. nil: no.
	HostKey func(ctx context.Context, k UnknownKey) (bool, error)
	// Light tells how each connection is doing. It must return at once.
	Light func(host string, l remote.Light, reason string)
	// Notice tells what of ssh_config could not be honoured.
	Notice func(text string)

	KeepaliveInterval time.Duration // default 5 s; ServerAliveInterval goes before
	KeepaliveCount    int           // default 3: a dead link is noticed within Interval × Count
	MaxSessions       int           // commands at a time on one connection; default 8
	// Patience is how long a Run or Dial waits for a connection that was up
	// before to come back; default 30 s. A first connection is tried once.
	Patience time.Duration
}

// PromptKind says what a person is asked for.
type PromptKind string

// The kinds of prompt. The text names the key, the account, or is the
// server's own question (untrusted).
const (
	Passphrase PromptKind = "passphrase" // of a private key
	Password   PromptKind = "password"   // of an account
	Question   PromptKind = "question"   // of the server, say a one-time code
)

// UnknownKey is a host key that known_hosts does not have.
type UnknownKey struct {
	Host        string // the plan's name, or the jump host's
	Address     string // as known_hosts would say it: host or [host]:port
	Type        string // ssh-ed25519
	Fingerprint string // SHA256:…
	File        string // the known_hosts file that it would be added to
}

func (o Options) withDefaults() Options {
	if o.KeepaliveInterval <= 0 {
		o.KeepaliveInterval = 5 * time.Second
	}
	if o.KeepaliveCount <= 0 {
		o.KeepaliveCount = 3
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = 8
	}
	if o.Patience <= 0 {
		o.Patience = 30 * time.Second
	}
	if o.Light == nil {
		o.Light = func(string, remote.Light, string) {}
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	return o
}

// UnknownHostKeyError says that known_hosts does not have the server's key and
// nobody accepted it.
type UnknownHostKeyError struct{ Key UnknownKey }

func (e *UnknownHostKeyError) Error() string { return e.What() + ". " + e.Advice() }

// What says what happened and what was not done.
func (e *UnknownHostKeyError) What() string {
	return fmt.Sprintf("host key of %s is not known (%s %s) and was not accepted; nothing was sent", e.Key.Address, e.Key.Type, e.Key.Fingerprint)
}

// Advice says what to do next.
func (e *UnknownHostKeyError) Advice() string {
	return "Compare the fingerprint with one that you trust, then accept it or add it to " + e.Key.File
}

// HostKeyChangedError says that the server showed another key than the one in
// known_hosts: it was reinstalled, or it is not the server that it seems to be.
type HostKeyChangedError struct {
	Host    string
	Address string
	Type    string // of the key that was shown
	Got     string // its fingerprint
	Want    []KnownKey
	Revoked bool // the key is marked @revoked
}

// KnownKey is a line of known_hosts.
type KnownKey struct {
	Type        string
	Fingerprint string
	File        string
	Line        int
}

func (e *HostKeyChangedError) Error() string { return e.What() + ". " + e.Advice() }

// What says what happened and what was not done.
func (e *HostKeyChangedError) What() string {
	if e.Revoked {
		return fmt.Sprintf("host key of %s is revoked (%s %s, %s); nothing was sent", e.Address, e.Type, e.Got, where(e.Want))
	}
	return fmt.Sprintf("host key of %s has changed: it shows %s %s, but known is %s; nothing was sent", e.Address, e.Type, e.Got, where(e.Want))
}

// Advice says what to do next.
func (e *HostKeyChangedError) Advice() string {
	if e.Revoked {
		return "Somebody withdrew this key, so do not log in with it: ask who runs the server for the key that holds now"
	}
	return fmt.Sprintf("Either the server was reinstalled, or something else answers in its place. Ask who runs it; if the new key is right: ssh-keygen -f %s -R %s",
		remote.Quote(e.Want[0].File), remote.Quote(e.Address))
}

func where(keys []KnownKey) string {
	text := ""
	for i, k := range keys {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %s (%s:%d)", k.Type, k.Fingerprint, k.File, k.Line)
	}
	return text
}

// AuthError says that the server knows its keys but not us.
type AuthError struct {
	User  string
	Tried []string // "agent (2 keys)", "~/.ssh/id_ed25519", "password"
	Err   error
}

func (e *AuthError) Error() string {
	tried := "nothing: no key was found and nobody could be asked"
	for i, t := range e.Tried {
		if i == 0 {
			tried = t
		} else {
			tried += ", " + t
		}
	}
	return fmt.Sprintf("login as %q was refused; tried: %s", e.User, tried)
}

func (e *AuthError) Unwrap() error { return e.Err }

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"belay/remote"
	"belay/remote/secret"
	"belay/remote/ssh"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

// asker puts what must never be written down to a person: a screen's dialog,
// or the terminal of a command without one.
type asker func(ctx context.Context, p run.Prompt) (text string, ok bool)

// wiring is what a plan needs from outside to touch its hosts.
type wiring struct {
	red     *secret.Redactor
	secrets *secret.Store
	hosts   remote.Hosts
	close   func()
}

// wire opens the plan's hosts. Nothing is contacted before it is first used.
func wire(p *plan.Plan, red *secret.Redactor, ask asker, light func(string, remote.Light, string)) (*wiring, error) {
	w := &wiring{red: red, hosts: remote.Hosts{}, close: func() {}}
	w.secrets = secret.NewStore(p.Secrets, red, func(ctx context.Context, name, text string) (secret.Value, error) {
		return askSecret(ctx, ask, run.Prompt{Kind: journal.AskSecret, Title: "Secret " + name, Text: text, Hidden: true})
	})
	o := sshOptions(red, ask, light)
	o.Hosts = specs(p)
	network := ssh.NewNetwork(o)
	w.close = func() { _ = network.Close() }
	for _, h := range p.Hosts {
		host, err := openHost(network, h)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("%w; nothing was contacted or changed", err)
		}
		if h.Sudo != nil {
			host.Runner = sudo{host.Runner, h.Sudo.Password, w.secrets}
		}
		host.Runner = remote.Redact(host.Runner, red)
		w.hosts[h.Name] = host
		if h.Local && light != nil {
			light(h.Name, remote.Up, "this machine")
		}
	}
	return w, nil
}

// sudo asks for the password when the first command needs it.
type sudo struct {
	remote.Runner
	password string
	secrets  *secret.Store
}

func (s sudo) Run(ctx context.Context, c remote.Cmd) error {
	var password secret.Value
	if s.password != "" {
		var err error
		if password, err = s.secrets.Get(ctx, s.password); err != nil {
			return err
		}
	}
	return remote.Sudo(s.Runner, password).Run(ctx, c)
}

// openHost makes a plan's host. It contacts nobody.
func openHost(network *ssh.Network, h plan.Host) (remote.Host, error) {
	if h.Local {
		return remote.Local(h.Name), nil
	}
	return network.Open(h.Name, specOf(h))
}

func specOf(h plan.Host) ssh.Spec {
	return ssh.Spec{Address: h.Address, User: h.User, Port: h.Port, Jump: h.Jump, Identity: h.Identity}
}

// specs are the plan's hosts that others may be reached through.
func specs(p *plan.Plan) map[string]ssh.Spec {
	all := map[string]ssh.Spec{}
	for _, h := range p.Hosts {
		if !h.Local {
			all[h.Name] = specOf(h)
		}
	}
	return all
}

// sshOptions has the transport ask people through ask. What is typed for a
// login is never written down; the redactor knows it all the same.
func sshOptions(red *secret.Redactor, ask asker, light func(string, remote.Light, string)) ssh.Options {
	return ssh.Options{
		Config: os.Getenv("BELAY_SSH_CONFIG"),
		Light:  light,
		Prompt: func(ctx context.Context, kind ssh.PromptKind, text string) (secret.Value, error) {
			v, err := askSecret(ctx, ask, run.Prompt{Kind: journal.AskSecret, Title: "SSH " + string(kind), Text: text, Hidden: true})
			if err == nil {
				red.Add(v)
			}
			return v, err
		},
		HostKey: func(ctx context.Context, k ssh.UnknownKey) (bool, error) {
			if ask == nil {
				return false, nil
			}
			_, ok := ask(ctx, run.Prompt{
				Kind: journal.AskHostKey, Host: k.Host, Type: "yes",
				Title: "Unknown host key of " + k.Address,
				Text: fmt.Sprintf("%s shows a key that known_hosts does not have:\n\n  %s  %s\n\nCompare it with the fingerprint that the server's owner gives you. If you agree it is added to %s.",
					k.Host, k.Type, k.Fingerprint, k.File),
			})
			return ok, nil
		},
	}
}

var errRefused = errors.New("nobody gave it")

func askSecret(ctx context.Context, ask asker, p run.Prompt) (secret.Value, error) {
	if ask == nil {
		return secret.Value{}, errRefused
	}
	text, ok := ask(ctx, p)
	if !ok {
		return secret.Value{}, errRefused
	}
	return secret.New(text), nil
}

// onTerminal asks on the terminal, for commands that have no screen; nil when
// there is none.
func onTerminal() asker {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	return func(_ context.Context, p run.Prompt) (string, bool) { return promptOn(tty, p) }
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"belay/checks/inspect"
	"belay/remote"
	"belay/remote/secret"
	"belay/remote/ssh"
	"belay/steps/journal"
	"belay/steps/run"
)

// inspectFlags are the flags of belay inspect.
type inspectFlags struct {
	plan         string
	with         []string
	local, sudo  bool
	sudoPassword bool
	json         bool

	ask   asker // nil: on the terminal
	light func(string, remote.Light, string)
}

func newInspect() *cobra.Command {
	var o inspectFlags
	c := &cobra.Command{
		Use:   "inspect HOST…",
		Short: "Find out what runs on servers, and what belongs to it; changes nothing",
		Long: "Find out what runs on servers, and what belongs to it: ports, processes, units, containers, tmux sessions, their\n" +
			"files, volumes, databases, sites, certificates, jobs and environment (names only: values stay on the server).\n" +
			"HOST is a name that ~/.ssh/config knows, or USER@HOST. Nothing is changed or installed; a POSIX shell is enough.\n" +
			"Exit code 0 when every host was reached, else 1.",
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), os.Stdout, args) },
	}
	c.Flags().BoolVar(&o.local, "local", false, "inspect this machine")
	c.Flags().StringVar(&o.plan, "plan", "", "inspect the hosts of a plan `file`")
	c.Flags().StringArrayVar(&o.with, "with", nil, "overlay `file` of the plan")
	c.Flags().BoolVar(&o.sudo, "sudo", false, "look as root, by a sudo that asks for no password")
	c.Flags().BoolVar(&o.sudoPassword, "sudo-password", false, "look as root; the password for sudo is asked for first")
	c.Flags().BoolVar(&o.json, "json", false, "print everything as JSON")
	return c
}

func (o inspectFlags) run(ctx context.Context, out io.Writer, args []string) error {
	w, names, err := o.open(ctx, args)
	if err != nil {
		return err
	}
	defer w.close()
	if term.IsTerminal(int(os.Stderr.Fd())) { // whoever waits should know for what
		fmt.Fprintf(os.Stderr, "Looking at %s, without changing anything; a minute at most …\n", count(len(names), "host"))
	}
	found, err := inspect.Look(ctx, w.hosts, names)
	if err != nil {
		return err
	}
	if o.json {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(found)
	} else {
		err = inspect.Text(out, found, columns(), time.Now())
	}
	if err != nil && !errors.Is(err, syscall.EPIPE) { // | head has seen enough
		return err
	}
	if slices.ContainsFunc(found.Hosts, func(h *inspect.Host) bool { return h.Unreached != "" }) {
		return exit(exitFailed)
	}
	return nil
}

// open finds the hosts that are asked for. It contacts nobody.
func (o inspectFlags) open(ctx context.Context, args []string) (w *wiring, names []string, err error) {
	refuse := func(format string, a ...any) error {
		return usageError{fmt.Errorf(format+"; nothing was contacted", a...)}
	}
	switch {
	case o.plan == "" && len(o.with) > 0:
		return nil, nil, refuse("--with overlays a plan: name it by --plan")
	case o.plan != "" && len(args) > 0:
		return nil, nil, refuse("either hosts or --plan, not both")
	case o.plan == "" && len(args) == 0 && !o.local:
		return nil, nil, refuse("which host? Name one that ~/.ssh/config knows, or --local for this machine, or --plan FILE for those of a plan")
	}
	red := &secret.Redactor{}
	own := map[string]bool{} // hosts that a plan already runs as root
	if o.plan != "" {
		p, err := readPlan(o.plan, o.with)
		if err != nil {
			return nil, nil, err
		}
		if w, err = wire(p, red, onTerminal(), nil); err != nil {
			return nil, nil, err
		}
		for _, h := range p.Hosts {
			names, own[h.Name] = append(names, h.Name), h.Sudo != nil
		}
	} else if w, names, err = o.openNamed(args, red); err != nil {
		return nil, nil, err
	}
	if o.local {
		if _, taken := w.hosts["local"]; taken {
			return nil, nil, refuse("--local shows this machine as %q, and there is a host of that name", "local")
		}
		names = append(names, "local")
		w.hosts["local"] = remote.Local("local")
	}
	if o.sudo || o.sudoPassword {
		err = o.becomeRoot(ctx, w, own, red)
	}
	if err != nil {
		w.close()
	}
	return w, names, err
}

// openNamed opens hosts as the SSH configuration knows them.
func (o inspectFlags) openNamed(args []string, red *secret.Redactor) (*wiring, []string, error) {
	if o.ask == nil {
		o.ask = onTerminal()
	}
	network := ssh.NewNetwork(sshOptions(red, o.ask, o.light))
	w := &wiring{red: red, hosts: remote.Hosts{}, close: func() { _ = network.Close() }}
	var names []string
	for _, name := range args {
		if slices.Contains(names, name) {
			continue
		}
		user, host, ok := strings.Cut(name, "@")
		if !ok {
			user, host = "", name
		}
		h, err := network.Open(host, ssh.Spec{User: user})
		if err != nil {
			w.close()
			return nil, nil, usageError{fmt.Errorf("%w; nothing was contacted", err)}
		}
		h.Name = name
		names, w.hosts[name] = append(names, name), h
	}
	return w, names, nil
}

// becomeRoot looks through sudo wherever the plan does not do so already.
func (o inspectFlags) becomeRoot(ctx context.Context, w *wiring, own map[string]bool, red *secret.Redactor) error {
	var password secret.Value
	if o.sudoPassword {
		var err error
		password, err = askSecret(ctx, onTerminal(), run.Prompt{
			Kind: journal.AskSecret, Title: "sudo", Text: "Password for sudo, on all hosts that are inspected", Hidden: true,
		})
		if err != nil {
			return fmt.Errorf("password for sudo: %w; nothing was contacted", err)
		}
		red.Add(password)
	}
	for name, h := range w.hosts {
		if !own[name] {
			h.Runner = remote.Redact(remote.Sudo(h.Runner, password), red)
			w.hosts[name] = h
		}
	}
	return nil
}

// columns is how wide a page of text is: as the terminal, but not so wide that
// lines cannot be followed.
func columns() int {
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
		return min(w, 120)
	}
	return 80
}

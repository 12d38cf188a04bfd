package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"belay/checks/inspect"
	"belay/steps/draft"
	"belay/steps/plan"
	"belay/steps/plan/shipped"
)

// initFlags are the flags of belay init, and the answers of its interview.
type initFlags struct {
	example, out string

	from, to string
	move     []string
	freeze   time.Duration
	clients  string
	name     string
	sudo     bool
}

func newInit() *cobra.Command {
	var o initFlags
	c := &cobra.Command{
		Use:   "init",
		Short: "Draft a plan from what your servers show, or begin from one that is shipped",
		Long: `Draft a plan from what your servers show. On a terminal it asks a few questions; --from
and --to answer them beforehand. Servers are only looked at: nothing is changed there,
and nothing is written here before the end.

With --example it writes a plan that is shipped with belay instead.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	c.Flags().StringVar(&o.example, "example", "", "`name` of the shipped plan")
	c.Flags().StringVar(&o.out, "out", "", "`file` to write; - for standard output (default NAME.yaml)")
	c.Flags().StringVar(&o.from, "from", "", "`host` as it is now: a name that ~/.ssh/config knows, or USER@HOST")
	c.Flags().StringVar(&o.to, "to", "", "`host` where it goes; left out, it stays where it is and is upgraded")
	c.Flags().StringSliceVar(&o.move, "move", nil, "what moves, such as `\"compose shop\"`; left out, what belay knows how to move")
	c.Flags().DurationVar(&o.freeze, "freeze", 0, "how long people can be without it, such as 5m")
	c.Flags().StringVar(&o.clients, "clients", "dns", "how clients find the new host: `dns`, proxy (the old host hands connections on) or none")
	c.Flags().StringVar(&o.name, "name", "", "`name` of the plan (default FROM-to-TO)")
	c.Flags().BoolVar(&o.sudo, "sudo", false, "look as root, by a sudo that asks for no password; the plan does likewise")
	return c
}

func (o initFlags) run(ctx context.Context, out io.Writer) error {
	switch {
	case o.example != "" && o.from != "":
		return usageError{errors.New("either --example or --from, not both; nothing was written")}
	case o.example != "":
		return o.writeExample(out)
	case o.from == "" && o.to != "":
		return usageError{errors.New("--to wants --from; nothing was contacted or written")}
	case o.clients != "dns" && o.clients != "proxy" && o.clients != "none":
		return usageError{fmt.Errorf("--clients is dns, proxy or none, not %q; nothing was contacted or written", o.clients)}
	case o.from == "" && !(term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))):
		listShipped(out)
		return nil
	}
	if o.from != "" {
		old, now, err := lookAtEnds(ctx, o)
		if err != nil {
			return err
		}
		return o.write(out, old, now)
	}
	iv := interview{in: os.Stdin, out: out, look: lookAtEnds}
	return iv.run(ctx, o)
}

func listShipped(out io.Writer) {
	fmt.Fprintln(out, "Plans shipped with belay (belay init --example NAME):")
	for _, name := range shipped.Names() {
		fmt.Fprintf(out, "  %s\n", name)
	}
	fmt.Fprintln(out, "Or a draft from what a server shows: belay init --from HOST --to HOST (on a terminal, belay init asks)")
}

func (o initFlags) writeExample(out io.Writer) error {
	src, err := shipped.Read(o.example)
	if err != nil {
		return usageError{fmt.Errorf("%w; nothing was written", err)}
	}
	if o.out == "" {
		o.out = o.example + ".yaml"
	}
	if o.out == "-" {
		_, err := out.Write(src)
		return err
	}
	if err := writeNew(o.out, src); err != nil {
		return err
	}
	fmt.Fprintf(out, "Wrote %s. Fit its hosts and vars to yours, then: belay check %s\n", o.out, o.out)
	return nil
}

// writeNew makes a file that is not there yet.
func writeNew(path string, src []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return usageError{fmt.Errorf("%s is there already and was left as it is; name another file with --out", path)}
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(src); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	return f.Close()
}

// lookAtEnds inspects the hosts that o names; now is nil without --to.
func lookAtEnds(ctx context.Context, o initFlags) (old, now *inspect.Host, err error) {
	names := []string{o.from}
	if o.to != "" && o.to != o.from {
		names = append(names, o.to)
	}
	w, names, err := inspectFlags{sudo: o.sudo}.open(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	defer w.close()
	found, err := inspect.Look(ctx, w.hosts, names)
	if err != nil {
		return nil, nil, err
	}
	for _, h := range found.Hosts {
		if h.Unreached != "" {
			return nil, nil, fmt.Errorf("host %q was not reached: %s; nothing was written", h.Name, h.Unreached)
		}
	}
	if len(found.Hosts) == 2 {
		now = found.Hosts[1]
	}
	return found.Hosts[0], now, nil
}

// end is how the plan names and reaches a host that was typed as USER@HOST or
// by a name of ~/.ssh/config.
func (o initFlags) end(typed string) draft.End {
	user, host, ok := strings.Cut(typed, "@")
	if !ok {
		user, host = "", typed
	}
	name := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, host)
	e := draft.End{Name: name, User: user, Sudo: o.sudo}
	if name != host {
		e.Address = host
	}
	return e
}

// write drafts the plan and writes it, once it is known to be one.
func (o initFlags) write(out io.Writer, old, now *inspect.Host) error {
	w := draft.Wish{Old: o.end(o.from), Move: o.move, Freeze: o.freeze, Clients: o.clients, Name: o.name}
	if now != nil {
		to := o.end(o.to)
		w.New = &to
	}
	if w.Name == "" {
		if w.Name = "upgrade-" + w.Old.Name; w.New != nil {
			w.Name = w.Old.Name + "-to-" + w.New.Name
		}
	}
	if err := known(old, o.move); err != nil {
		return err
	}
	text := draft.Plan(w, old, now)
	if o.out == "-" {
		_, err := out.Write(text)
		return err
	}
	if o.out == "" {
		o.out = w.Name + ".yaml"
	}
	p, problems := plan.Load(o.out, text, plan.All())
	if err := writeNew(o.out, text); err != nil {
		return err
	}
	if problems != nil {
		return fmt.Errorf("%w\n%s was written all the same: mend these by hand, then: belay check %s", problems, o.out, o.out)
	}
	fmt.Fprintf(out, "Wrote %s: %d steps, no problems.\n", o.out, len(p.Steps()))
	for _, h := range []*inspect.Host{old, now} {
		if h != nil && len(h.Gaps) > 0 {
			fmt.Fprintf(out, "On %s belay did not understand %s: belay inspect %s\n", h.Name, count(len(h.Gaps), "thing"), h.Name)
		}
	}
	fmt.Fprintf(out, "Read it. Then see what it would do, without changing anything: belay plan %s\n", o.out)
	return nil
}

// known refuses to leave out in silence what was asked for.
func known(old *inspect.Host, move []string) error {
	var have []string
	for _, it := range draft.Items(old) {
		have = append(have, it.Key())
	}
	for _, m := range move {
		found := false
		for _, h := range have {
			found = found || h == m
		}
		if !found {
			return usageError{fmt.Errorf("there is no %q on %s; there are: %s; nothing was written", m, old.Name, strings.Join(have, "; "))}
		}
	}
	return nil
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"belay/checks/inspect"
	"belay/steps/draft"
	"belay/steps/plan"
	"belay/steps/plan/shipped"
	"belay/tui"
)

// initFlags are the flags of belay init: what its interview would ask.
type initFlags struct {
	tui.Answers
	example string
	window  string
	people  string
	show    driveFlags // of these plain, slow and theme
}

func newInit() *cobra.Command {
	var o initFlags
	c := &cobra.Command{
		Use:   "init",
		Short: "Draft a plan from what your servers show, or begin from one that is shipped",
		Long: `Draft a plan from what your servers show. On a terminal it asks, shows what it found
and the plan before it is written; --from and --to answer beforehand, and nothing is
asked then. Servers are only looked at: nothing is changed there.

With --example it writes a plan that is shipped with belay instead.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := c.Flags()
	f.StringVar(&o.example, "example", "", "`name` of the shipped plan")
	f.StringVar(&o.File, "out", "", "`file` to write; - for standard output (default NAME.yaml)")
	f.StringVar(&o.From, "from", "", "`host` as it is now: a name that ~/.ssh/config knows, or USER@HOST")
	f.StringVar(&o.To, "to", "", "`host` where it goes; left out, it stays where it is and is upgraded")
	f.StringSliceVar(&o.Move, "move", nil, "what moves, such as `\"compose shop\"`; left out, what belay knows how to move")
	f.DurationVar(&o.Freeze, "freeze", 0, "how long people can be without it, such as 5m")
	f.StringVar(&o.Clients, "clients", "dns", "how clients find the new host: `dns`, proxy (the old host hands connections on) or none")
	f.StringVar(&o.window, "window", "", "when it may happen, such as `2026-12-01T22:00Z/1h`")
	f.StringVar(&o.people, "approvers", "1", "`who` must sign before the cutover: how many people, or what they speak for, such as \"dba: ada grace, app owner\"")
	f.BoolVar(&o.Second, "second-person", false, "who cuts over must be another than who began the run or signed")
	f.DurationVar(&o.Soak, "soak", 15*time.Minute, "how long the new side is watched")
	f.StringVar(&o.Errors, "errors", "5%", "`share` of bad answers at which a rollback is proposed")
	f.DurationVar(&o.BadFor, "bad-for", 2*time.Minute, "for how long they have to be that bad")
	f.StringVar(&o.Name, "name", "", "`name` of the plan (default FROM-to-TO)")
	f.BoolVar(&o.Sudo, "sudo", false, "look as root, by a sudo that asks for no password; the plan does likewise")
	f.BoolVar(&o.show.plain, "plain", false, "ask line by line, for screen readers and poor terminals")
	f.BoolVar(&o.show.slow, "slow", false, "refresh half as often, for very slow links")
	f.StringVar(&o.show.theme, "theme", "auto", "dark, light or auto")
	return c
}

// check refuses flags that do not fit together, and reads the window.
func (o *initFlags) check() error {
	refuse := func(format string, a ...any) error {
		return usageError{fmt.Errorf(format+"; nothing was contacted or written", a...)}
	}
	switch {
	case o.example != "" && o.From != "":
		return refuse("either --example or --from, not both")
	case o.From == "" && o.To != "":
		return refuse("--to wants --from")
	case o.Clients != "dns" && o.Clients != "proxy" && o.Clients != "none":
		return refuse("--clients is dns, proxy or none, not %q", o.Clients)
	case !tui.PercentForm.MatchString(o.Errors):
		return refuse("--errors is a share such as 5%%, not %q", o.Errors)
	}
	var problem string
	if o.Approvers, o.Roles, problem = tui.ParsePeople(o.people); problem != "" {
		return refuse("--approvers: %s", strings.TrimSuffix(problem, "."))
	}
	if o.window != "" {
		opens, length, _ := strings.Cut(o.window, "/")
		var ok bool
		if o.Opens, ok = tui.ParseOpens(opens); !ok {
			return refuse("--window begins with a time such as 2026-12-01T22:00Z, not %q", opens)
		}
		if length != "" {
			var err error
			if o.Length, err = time.ParseDuration(length); err != nil || o.Length <= 0 {
				return refuse("--window ends with its length, such as /1h, not %q", length)
			}
		}
	}
	return nil
}

func (o initFlags) run(ctx context.Context, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	switch {
	case o.example != "":
		return o.writeExample(out)
	case o.From != "":
		old, now, err := lookAtEnds(ctx, o.Answers)
		if err != nil {
			return err
		}
		return o.write(out, old, now)
	case !(term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))):
		if o.show.plain { // whoever asks for it is there, or a script is
			return o.interview(ctx, out)
		}
		listShipped(out)
		return nil
	}
	return o.interview(ctx, out)
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
	file := cmp.Or(o.File, o.example+".yaml")
	if file == "-" {
		_, err := out.Write(src)
		return err
	}
	if err := writeNew(file, src); err != nil {
		return isThere(file, err)
	}
	fmt.Fprintf(out, "Wrote %s. Fit its hosts and vars to yours, then: belay check %s\n", file, file)
	return nil
}

// writeNew makes a file that is not there yet.
func writeNew(path string, src []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(src); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	return f.Close()
}

// isThere says what writeNew's refusal means for a command line.
func isThere(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("%s is there already and was left as it is; name another file with --out", path)}
	}
	return err
}

// lookAtEnds inspects the hosts that a names; now is nil where everything stays
// on one. It asks on the terminal.
func lookAtEnds(ctx context.Context, a tui.Answers) (old, now *inspect.Host, err error) {
	names := []string{a.From}
	if a.To != "" && a.To != a.From {
		names = append(names, a.To)
	}
	found, err := drafter{}.Look(ctx, names, a.Sudo, nil)
	if err != nil {
		return nil, nil, err
	}
	for _, h := range found {
		if h.Unreached != "" {
			return nil, nil, fmt.Errorf("host %q was not reached: %s; nothing was written", h.Name, h.Unreached)
		}
	}
	if len(found) == 2 {
		now = found[1]
	}
	return found[0], now, nil
}

// write drafts the plan and writes it, once it is known to be one.
func (o initFlags) write(out io.Writer, old, now *inspect.Host) error {
	w := o.Wished()
	if err := known(old, o.Move); err != nil {
		return err
	}
	text := draft.Plan(w, old, now)
	if o.File == "-" {
		_, err := out.Write(text)
		return err
	}
	file := cmp.Or(o.File, w.Name+".yaml")
	p, problems := plan.Load(file, text, plan.All())
	if err := writeNew(file, text); err != nil {
		return isThere(file, err)
	}
	if problems != nil {
		return fmt.Errorf("%w\n%s was written all the same: mend these by hand, then: belay check %s", problems, file, file)
	}
	fmt.Fprintf(out, "Wrote %s: %d steps, no problems.\n", file, len(p.Steps()))
	for _, h := range []*inspect.Host{old, now} {
		if h != nil && len(h.Gaps) > 0 {
			fmt.Fprintf(out, "On %s belay did not understand %s: belay inspect %s\n", h.Name, count(len(h.Gaps), "thing"), h.Name)
		}
	}
	fmt.Fprintf(out, "Read it. Then see what it would do, without changing anything: belay plan %s\n", file)
	return nil
}

// known refuses to leave out in silence what was asked for.
func known(old *inspect.Host, move []string) error {
	var have []string
	for _, it := range draft.Items(old) {
		have = append(have, it.Key())
	}
	for _, m := range move {
		if !slices.Contains(have, m) {
			return usageError{fmt.Errorf("there is no %q on %s; there are: %s; nothing was written", m, old.Name, strings.Join(have, "; "))}
		}
	}
	return nil
}

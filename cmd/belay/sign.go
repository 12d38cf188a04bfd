package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"belay/steps/journal"
	"belay/steps/run"
)

// signFlags are an answer given on the command line; without one it is asked.
type signFlags struct {
	goAhead, noGo bool
	items         []string
	cutOver       string // the word that has to be typed
	name          string
	reason        string
	role          string
	keeper        string // login that keeps the run, where several say that they do
}

func newSign() *cobra.Command {
	var f signFlags
	c := &cobra.Command{
		Use:   "sign [RUN]",
		Short: "Say go or no-go to a run from a terminal of your own; without RUN, list the runs that wait for that",
		Long: `Say go or no-go to a run from a terminal of your own, beside whoever drives it:
it takes no pen. Shows the checklist with its evidence and how old that is, who
has said go, and whose go is missing. Without RUN it lists the runs that wait.

Two names under one login are one person, unless the plan says otherwise
(belay kinds approvers). There are three ways to sign by a login of your own:
the run was begun with --signers GROUP and you are in that group; or you use
sudo to sign as the login that drives the run (sudo belay sign); or you drive it.

Exit code 0 when it was taken, or when you left and sent nothing; 1 when it was
refused or no run was reached; 2 for wrong flags.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sign(cmd.InOrStdin(), cmd.OutOrStdout(), first(args), f)
		},
	}
	c.Flags().BoolVar(&f.goAhead, "go", false, "say go; needs --name")
	c.Flags().BoolVar(&f.noGo, "no-go", false, "say no-go, which ends the run; needs --reason")
	c.Flags().StringArrayVar(&f.items, "item", nil, "sign the item of the checklist with this `id`, or * for all that are open; before --go")
	c.Flags().StringVar(&f.cutOver, "cut-over", "", "start the cutover as its second person, by the `host` that has to be typed; needs --name")
	c.Flags().StringVar(&f.name, "name", "", "your name")
	c.Flags().StringVar(&f.reason, "reason", "", "why, or a remark")
	c.Flags().StringVar(&f.keeper, "keeper", "", "the `login` that keeps the run, where several logins say that they have one of that name")
	c.Flags().StringVar(&f.role, "role", "", "the role that you say go for, where the plan has several for you")
	return c
}

func (f signFlags) given() bool { return f.goAhead || f.noGo || len(f.items) > 0 || f.cutOver != "" }

func (f signFlags) check(id string) error {
	one := 0
	for _, on := range []bool{f.goAhead, f.noGo, f.cutOver != ""} {
		if on {
			one++
		}
	}
	switch {
	case one > 1:
		return errors.New("--go, --no-go and --cut-over are three answers; give one")
	case f.given() && id == "":
		return errors.New("say which run; `belay sign` lists those that wait")
	case f.given() && strings.TrimSpace(f.name) == "":
		return errors.New("--name is missing: who signs?")
	case f.noGo && strings.TrimSpace(f.reason) == "":
		return errors.New("--no-go needs a --reason")
	}
	return nil
}

func sign(in io.Reader, out io.Writer, id string, f signFlags) error {
	if err := f.check(id); err != nil {
		return usageError{fmt.Errorf("%w; nothing was done", err)}
	}
	root, err := run.Root()
	if err != nil {
		return err
	}
	if id == "" {
		return listSignable(out, root)
	}
	s, err := openSignable(root, id, f.keeper)
	if err != nil {
		return err
	}
	defer s.Close()
	if f.given() {
		return signBy(out, s, f)
	}
	t := &signTalk{s: s, in: bufio.NewReader(in), out: out}
	return t.talk()
}

// listSignable prints the runs that wait for a signature.
func listSignable(out io.Writer, root string) error {
	n := 0
	for _, d := range run.Signable(root) {
		s, err := run.OpenSigning(d.Socket, author())
		if err != nil {
			continue // nobody drives it, or it is not for this login
		}
		if sl, err := s.Look(); err == nil && sl.Gate != nil {
			n++
			fmt.Fprintf(out, "%s  %s%s, kept by %s: %s\n", sl.Run, plainWord(sl.Plan), inEnvironment(sl), s.Keeper, awaited(sl))
		}
		s.Close()
	}
	if n == 0 {
		fmt.Fprintln(out, "No run waits for a signature that this login could give. Those of other logins are here once they were begun with --signers and one of your groups.")
		return nil
	}
	fmt.Fprintln(out, "Look at one and sign it with: belay sign RUN")
	return nil
}

// doorsTo are the doors to the runs whose id has that part, or to those of just
// that id where there is one; of one keeper where that is given.
func doorsTo(root, id, keeper string) (doors []run.Door) {
	exact := false
	for _, d := range run.Signable(root) {
		switch {
		case keeper != "" && d.Keeper != keeper:
		case d.Run == filepath.Base(id):
			if !exact {
				doors, exact = nil, true
			}
			doors = append(doors, d)
		case !exact && strings.Contains(d.Run, id):
			doors = append(doors, d)
		}
	}
	return doors
}

// openSignable connects to the one run whose id has that part.
func openSignable(root, id, keeper string) (*run.Signing, error) {
	doors := doorsTo(root, id, keeper)
	var live []*run.Signing
	var names []string
	var why error
	for _, d := range doors {
		s, err := run.OpenSigning(d.Socket, author())
		if err != nil {
			why = err
			continue
		}
		if s.Keeper != d.Keeper {
			s.Close()
			continue
		}
		live, names = append(live, s), append(names, d.Run+" kept by "+s.Keeper)
	}
	switch {
	case len(live) == 1:
		return live[0], nil
	case len(live) > 1:
		for _, s := range live {
			s.Close()
		}
		return nil, usageError{fmt.Errorf("%q could be %s; say more of it, or give --keeper; nothing was done", id, strings.Join(names, " or "))}
	case errors.Is(why, os.ErrPermission):
		return nil, fmt.Errorf("run %s: it is open to a group that you are not in; nothing was done", id)
	case len(doors) > 0:
		return nil, &run.NoKeeperError{Run: doors[0].Run}
	}
	return nil, fmt.Errorf("no run %q that this login could sign; another login's run must be begun with --signers GROUP; nothing was done", id)
}

// signBy gives the answer of the flags.
func signBy(out io.Writer, s *run.Signing, f signFlags) error {
	sl, err := s.Look()
	if err != nil {
		return err
	}
	for _, id := range f.items {
		for _, one := range openItems(sl, id) {
			if err := give(out, s, sl, journal.Answer{Choice: "sign", Item: one}, f); err != nil {
				return err
			}
		}
	}
	switch {
	case f.goAhead, f.cutOver != "":
		kind := journal.AskSignoff
		if f.cutOver != "" {
			kind = journal.AskCutover
		}
		if sl.Gate != nil && sl.Gate.Kind != kind {
			return fmt.Errorf("run %s waits for %s now; nothing was done", sl.Run, map[string]string{journal.AskSignoff: "go or no-go", journal.AskCutover: "whoever cuts over"}[sl.Gate.Kind])
		}
		return give(out, s, sl, journal.Answer{Choice: "go", Text: f.cutOver, Role: f.role}, f)
	case f.noGo:
		return give(out, s, sl, journal.Answer{Choice: "no-go"}, f)
	}
	return nil
}

// openItems are the people's items that "*" stands for.
func openItems(sl *run.Slip, id string) []string {
	if id != "*" {
		return []string{id}
	}
	var all []string
	for _, it := range sl.Items {
		if !it.Machine && len(it.Signed) == 0 {
			all = append(all, it.ID)
		}
	}
	return all
}

// give sends one answer and says what became of it.
func give(out io.Writer, s *run.Signing, sl *run.Slip, a journal.Answer, f signFlags) error {
	if sl.Gate == nil {
		return fmt.Errorf("run %s waits for no signature now: it is %s; nothing was done", sl.Run, sl.Status)
	}
	a.Question, a.Reason, a.Time = sl.Gate.ID, strings.TrimSpace(f.reason), time.Now()
	a.By = s.By
	a.By.Name = strings.TrimSpace(f.name)
	if err := s.Sign(a, sl.Seen); err != nil {
		return fmt.Errorf("run %s: %w", sl.Run, err)
	}
	what := map[string]string{"go": "go", "no-go": "no-go", "sign": "item " + a.Item}[a.Choice]
	fmt.Fprintf(out, "Taken: %s by %s (%s), for the run %s kept by %s.\n", what, a.By.Name, sl.You.Login, plainWord(sl.Run), s.Keeper)
	return nil
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"belay/steps/run"
)

func newRuns() *cobra.Command {
	var open bool
	var where journalFlag
	c := &cobra.Command{
		Use:   "runs",
		Short: "List the runs of this machine, and of a shared journal, newest first",
		Long: `List the runs of this machine, and of a shared journal, newest first: how each stands,
and whether somebody drives it now. attach, resume, rollback and report take the name of
a run, or a part of it that only one has; without a name, the newest that fits.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listRuns(cmd, where, open) },
	}
	c.Flags().BoolVar(&open, "open", false, "only those that are not over")
	where.add(c)
	return c
}

// listRuns prints the runs, numbered when only the open ones are shown.
func listRuns(cmd *cobra.Command, where journalFlag, open bool) error {
	root, all, err := readRuns(cmd.Context(), where, open)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, e := range all {
		fmt.Fprintln(out, runLine(e))
	}
	if len(all) == 0 {
		fmt.Fprintln(out, noRuns(root, open))
	}
	return nil
}

func readRuns(ctx context.Context, where journalFlag, open bool) (root string, all []run.Entry, err error) {
	root, err = run.Root()
	if err != nil {
		return "", nil, err
	}
	store, err := where.store()
	if err != nil {
		return "", nil, err
	}
	all, err = listIn(ctx, store, root)
	if open {
		all = slices.DeleteFunc(all, func(e run.Entry) bool { return e.Err == nil && e.State.Over() })
	}
	return root, all, err
}

func runLine(e run.Entry) string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("%s  unreadable: %v", e.ID, e.Err)
	case e.Live != nil:
		return fmt.Sprintf("%s  %s, worked on by %s (belay %s, pid %d, since %s)", e.ID, e.State.Status,
			e.Live.By.Login, e.Live.Why, e.Live.PID, e.Live.Since.Local().Format("Jan 2 15:04"))
	case len(e.State.Debts) > 0:
		return fmt.Sprintf("%s  %s, %d debts", e.ID, e.State.Status, len(e.State.Debts))
	}
	return fmt.Sprintf("%s  %s", e.ID, e.State.Status)
}

func noRuns(root string, open bool) string {
	what := fmt.Sprintf("No runs yet (under %s).", root)
	if open {
		if all, err := run.List(root); err == nil && len(all) > 0 {
			what = "No open runs; `belay runs` lists all."
		}
	}
	return what + "\nTry it without any server: belay demo. Begin a plan: belay init --example stoat-to-fluxer"
}

// offerRuns is belay without a command: it lists the open runs and, on a
// terminal, offers to go to one.
func offerRuns(cmd *cobra.Command) error {
	root, all, err := readRuns(cmd.Context(), "", true)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if len(all) == 0 {
		fmt.Fprintln(out, noRuns(root, true))
		return nil
	}
	fmt.Fprintln(out, "Open runs, newest first:")
	for i, e := range all {
		fmt.Fprintf(out, "%3d  %s\n", i+1, runLine(e))
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		fmt.Fprintln(out, "Look at one that is worked on with: belay attach RUN. Take up another with: belay resume RUN")
		return nil
	}
	fmt.Fprint(out, "Which one? Its number goes there (attach, or resume where nobody works on it); enter leaves: ")
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || n < 1 || n > len(all) {
		fmt.Fprintln(out, "Nothing was done.")
		return nil
	}
	f := driveFlags{theme: "auto"}
	if e := all[n-1]; e.Live != nil {
		return watch(cmd.Context(), e.Dir, f)
	}
	return reopen(cmd.Context(), []string{all[n-1].Dir}, "resume", f)
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"belay/steps/run"
)

func newRuns() *cobra.Command {
	var open bool
	c := &cobra.Command{
		Use:   "runs",
		Short: "List the runs of this machine, newest first",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return listRuns(cmd, open) },
	}
	c.Flags().BoolVar(&open, "open", false, "only those that are not over")
	return c
}

func listRuns(cmd *cobra.Command, open bool) error {
	root, err := run.Root()
	if err != nil {
		return err
	}
	all, err := run.List(root)
	if err != nil {
		return err
	}
	out, shown := cmd.OutOrStdout(), 0
	for _, e := range all {
		if open && e.Err == nil && e.State.Over() {
			continue
		}
		shown++
		switch {
		case e.Err != nil:
			fmt.Fprintf(out, "%s  unreadable: %v\n", e.ID, e.Err)
		case e.Live != nil:
			fmt.Fprintf(out, "%s  %s, worked on by %s (pid %d)\n", e.ID, e.State.Status, e.Live.By.Login, e.Live.PID)
		default:
			fmt.Fprintf(out, "%s  %s\n", e.ID, e.State.Status)
		}
	}
	switch {
	case shown == 0 && len(all) == 0:
		fmt.Fprintf(out, "No runs yet (under %s).\nTry it without any server: belay demo. Begin a plan: belay init --example stoat-to-fluxer\n", root)
	case shown == 0:
		fmt.Fprintln(out, "No open runs; `belay runs` lists all.")
	case open:
		fmt.Fprintln(out, "Take one up with: belay resume RUN")
	}
	return nil
}

// Command belay moves services between servers with a rope on: it assesses
// them, prepares while the old service stays up, has people sign off, cuts
// over, watches, and at every moment knows the way back.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

// The exit codes are a contract with scripts.
const (
	exitClosed      = 0
	exitFailed      = 1
	exitBadPlan     = 2
	exitNoGo        = 3
	exitRolledBack  = 4
	exitIncomplete  = 5
	exitInterrupted = 6
)

// exit is an error that has been shown already, or needs no words.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func main() { os.Exit(realMain()) }

func realMain() int {
	shrugOff(syscall.SIGPIPE) // a pipe that nobody reads any more (| head) must not end a migration
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := newRoot()
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitClosed
	}
	var code exit
	if errors.As(err, &code) {
		return int(code)
	}
	fmt.Fprintf(os.Stderr, "belay: %v\n", err)
	if ctx.Err() != nil { // told to leave by a signal, whatever that broke off
		return exitInterrupted
	}
	return codeOf(err)
}

// shrugOff lets signals pass without effect. Unlike ignored ones they are not
// ignored by the commands that belay starts, too.
func shrugOff(signals ...os.Signal) {
	signal.Notify(make(chan os.Signal, 1), signals...)
}

func codeOf(err error) int {
	var problems *plan.Problems
	var usage usageError
	var locked *run.LockedError
	switch {
	case errors.As(err, &problems), errors.As(err, &usage):
		return exitBadPlan
	case errors.As(err, &locked), errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// usageError is a wrong flag or argument.
type usageError struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "belay",
		Short: "Move services between servers with a rope on",
		Long: `belay moves services between servers with a rope on: it assesses the servers,
prepares while the old service stays up, has people sign off, cuts over,
watches, and at every moment knows the way back.

Here for the first time?
  belay demo          moves a pretend chat between pretend servers: try it
  belay init          writes a plan from what your servers show
  belay check PLAN    reads it and tells every problem; contacts nothing
  belay plan PLAN     tells what each step would change; changes nothing
  belay run PLAN      carries it out, and asks before it switches anything
While it runs, ? explains what you see and what each answer does.

Exit codes: 0 closed, 1 failed, 2 bad plan or flags, 3 no-go, 4 rolled back,
5 rollback incomplete, 6 interrupted (resumable).`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return offerRuns(cmd) },
		Args:          unknownCommand,

		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; `%s --help` lists the flags; nothing was done", err, c.CommandPath())}
	})
	root.AddCommand(
		newCheck(), newPlan(), newAssess(), newInspect(), newRehearse(), newRun(), newAttach(), newSign(), newResume(), newRollback(), newRuns(),
		newReport(), newInit(), newKinds(), newSchema(), newDemo(), newMan(), newLabChat(), newKeep(),
	)
	for _, c := range root.Commands() {
		wrapArgs(c)
		wrapFlags(c)
	}
	return root
}

// unknownCommand refuses what the root finds left over.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "`belay --help` lists the commands"
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q?", near[0])
	}
	return usageError{fmt.Errorf("unknown command %q; %s", args[0], hint)}
}

// wrapArgs makes a wrong number of arguments a usageError.
func wrapArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; usage: %s; nothing was done", err, cmd.UseLine())}
		}
		return nil
	}
}

// codeOfStatus is the exit code of a run that ended.
func codeOfStatus(s *journal.State) int {
	switch s.Status {
	case journal.Closed:
		return exitClosed
	case journal.NoGo:
		return exitNoGo
	case journal.RolledBack:
		if len(s.Debts) > 0 {
			return exitIncomplete
		}
		return exitRolledBack
	}
	return exitInterrupted
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"belay/remote/hold"
	"belay/remote/secret"
	"belay/steps"
	"belay/steps/engine"
	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
	"belay/tui/widget"
)

// The keeper is a belay of its own session that has the engine of one run. A
// screen starts it and attaches; when the screen goes, the keeper stays.

// walks are the ways a keeper can take a run, by the word of its command line.
var walks = map[string]walkFunc{
	"run":      (*engine.Engine).Walk,
	rehearse:   (*engine.Engine).Walk,
	"resume":   (*engine.Engine).Walk,
	"rollback": (*engine.Engine).Rollback,
}

func newKeep() *cobra.Command {
	return &cobra.Command{
		Use:    "keep DIR WALK BREAKLOCK UNREHEARSED WAY SIGNERS",
		Hidden: true,
		Args:   cobra.ExactArgs(6),
		RunE: func(cmd *cobra.Command, args []string) error {
			shrugOff(syscall.SIGHUP)
			ready := os.NewFile(3, "ready")
			err := keep(cmd.Context(), args[0], driveFlags{why: args[1], breakLock: args[2], unrehearsed: args[3], way: args[4], signers: args[5]}, func() {
				fmt.Fprintln(ready, "ready")
				ready.Close()
			})
			if err != nil {
				fmt.Fprintf(ready, "%v\n", err)
			}
			return err
		},
	}
}

// keep drives the run in dir until it ends or ctx does.
func keep(ctx context.Context, dir string, f driveFlags, ready func()) error {
	red := &secret.Redactor{}
	r, err := run.Open(dir, plan.All(), red, author(), f.why)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := standWhere(r); err != nil {
		return err
	}
	w, err := wire(r.Plan(), red, r.Prompted, r.Light)
	if err != nil {
		return err
	}
	defer w.close()
	e := r.Engine(meaning(spec(w), r, f))
	k, err := serve(r, f.signers)
	if err != nil {
		return err
	}
	ready()
	_, err = walks[f.why](e, ctx)
	if errors.Is(err, steps.ErrDetach) {
		err = nil // told to leave: the journal is whole, and the run can be resumed
	}
	r.Ended(err)
	return errors.Join(err, k.Close())
}

// standWhere goes to the directory that the run was begun in, so that paths of
// this machine in the plan mean the same when it is resumed from elsewhere.
func standWhere(r *run.Run) error {
	if dir := r.State().Dir; dir != "" {
		if err := os.Chdir(dir); err != nil {
			return noDir(r, err)
		}
	}
	return nil
}

func spec(w *wiring) run.Spec {
	here, _ := os.Getwd()
	return run.Spec{Version: version(), Dir: here, Hosts: w.hosts, Secret: w.secrets.Get, Author: author()}
}

// meaning adds what the command line meant: the run locks its hosts, is a
// rehearsal or wants one.
func meaning(s run.Spec, r *run.Run, f driveFlags) run.Spec {
	bastion, _ := os.Hostname()
	s.Hold = &hold.Record{Run: r.ID(), Plan: r.Plan().Name, Login: s.Author.Login, From: s.Author.From, Bastion: bastion, Why: f.why}
	s.BreakLock, s.Way = f.breakLock, f.way
	s.Practice = f.why == rehearse || f.why != "rollback" && r.State().Run == "" && markedRehearsal(r.Dir())
	est, p := estimatesOf(r.Plan(), r.Dir(), r.State()), r.Plan()
	s.Copies, s.Estimates = est.Copies(), est.Document()
	s.LastSafe = func(st *journal.State) time.Time {
		if m := est.LastSafe(p, st); !m.Guess {
			return m.At
		}
		return time.Time{} // nobody is held up for a guess before the window is over
	}
	s.GoingBack = func(st *journal.State) string { return goingBack(est, p, st) }
	s.Unrehearsed = f.unrehearsed
	switch {
	case s.Practice:
		s.Rehearsed = strays(p, r.Dir())
	case len(r.State().Rehearsal) == 0:
		s.Rehearsed = rehearsed(p, r.Dir())
	}
	return s
}

// goingBack says how long each way back takes from where a run stands.
func goingBack(took estimate.Estimates, p *plan.Plan, st *journal.State) string {
	ways := p.WaysFrom(st)
	if len(ways) == 0 {
		return took.Way(p, st, nil).Words(widget.Span)
	}
	var all []string
	for _, w := range ways {
		all = append(all, w.Name+": "+took.Way(p, st, w).Words(widget.Span)+", loses: "+w.Loses)
	}
	return strings.Join(all, "\n")
}

// startKeeper starts a keeper for the run in dir and waits until a screen can
// attach. Its own words go to keeper.log in the run directory.
func startKeeper(dir string, f driveFlags) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "keeper.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	told, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer told.Close()
	c := exec.Command(self, "keep", dir, f.why, f.breakLock, f.unrehearsed, f.way, f.signers)
	c.Stdout, c.Stderr = logFile, logFile
	c.ExtraFiles = []*os.File{tell}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = c.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("keeper: %w; nothing was contacted or changed", err)
	}
	defer func() { _ = c.Process.Release() }()
	_ = told.SetReadDeadline(time.Now().Add(30 * time.Second))
	said, err := bufio.NewReader(told).ReadString('\n')
	if said == "ready\n" {
		return nil
	}
	rest, _ := io.ReadAll(told)
	if text := said + string(rest); text != "" {
		return fmt.Errorf("keeper: %s", text[:len(text)-1])
	}
	return fmt.Errorf("keeper ended before it was ready (%v); see %s", err, logFile.Name())
}

// serve opens the run to its screens, and to the group that may sign it: the
// one that the command line says, else the one that an earlier one has said.
// That one may be gone, which must keep nobody from taking the run back.
func serve(r *run.Run, said string) (*run.Keeper, error) {
	path := filepath.Join(r.Dir(), "signers")
	if said != "" {
		k, err := run.Serve(r, said)
		if err != nil {
			return nil, fmt.Errorf("%w; nothing was contacted or changed", err)
		}
		if err := os.WriteFile(path, []byte(said+"\n"), 0o600); err != nil {
			return nil, errors.Join(err, k.Close())
		}
		return k, nil
	}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	k, err := run.Serve(r, strings.TrimSpace(string(b)))
	var shut *run.DoorError
	if !errors.As(err, &shut) {
		return k, err
	}
	if err := r.Note("nobody else can sign this run now: " + err.Error() + ". Take it up with --signers and another group"); err != nil {
		return nil, err
	}
	return run.Serve(r, "")
}

func newAttach() *cobra.Command {
	var f driveFlags
	c := &cobra.Command{
		Use:   "attach [RUN]",
		Short: "Look at a run that is going on, and answer it",
		Long: `Look at a run that is going on, and answer it: after a link has dropped, or as a second
person. Looking disturbs nothing. Where several people look on, who holds the pen answers;
p takes it. A run that nobody drives any more is taken up with resume.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return attach(cmd.Context(), f.journal, first(args), f)
		},
	}
	f.addScreen(c)
	f.journal.add(c)
	return c
}

// watch attaches a screen to the run in dir until the run ends or the screen
// is left.
func watch(ctx context.Context, dir string, f driveFlags) error {
	a, err := run.Attach(dir, plan.All(), author())
	if err != nil {
		return err
	}
	defer a.Close()
	id := filepath.Base(dir)
	err = screen(ctx, a, f, "belay resume "+id, "The run goes on without this screen. Come back with: belay attach "+id)
	switch live := a.Live(); {
	case (left(err) || ctx.Err() != nil) && !live.Ended:
		fmt.Printf("Run %s goes on: %s. Come back with: belay attach %s\n", id, a.State().Status, id)
		return exit(exitInterrupted)
	case err != nil && !left(err):
		return err
	case live.Err != nil:
		return fmt.Errorf("run %s: %w", id, live.Err)
	}
	return outcome(a.Plan(), a.State(), dir, nil, f)
}

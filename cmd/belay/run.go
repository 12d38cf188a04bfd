package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"belay/remote/secret"
	"belay/steps"
	"belay/steps/engine"
	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/journal/pg"
	"belay/steps/plan"
	"belay/steps/run"
	"belay/tui"
)

// driveFlags are how a run is shown and answered.
type driveFlags struct {
	headless bool
	json     bool
	plain    bool
	slow     bool
	guide    bool
	theme    string
	answers  string
	gone     bool   // a demo: nothing of the run is left behind it
	auto     bool   // of the demo: the answers are given while a screen looks on
	shown    uint64 // events that a headless run need not print

	journal journalFlag
	store   *pg.Store // of journal; nil: run directories
	here    bool      // steps on the bastion itself may act on this one

	why         string // the word of the command line: run, rehearse, resume, rollback
	breakLock   string // why locks of other runs may be broken
	unrehearsed string // why the plan may run without a rehearsal
	signers     string // group whose logins may sign the run
	signWithin  time.Duration
	way         string // back, of a plan that has several; named beforehand
}

func (f *driveFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.headless, "headless", false, "no screen: print what happens, answer from --answers")
	c.Flags().BoolVar(&f.json, "json", false, "with --headless: print events as JSON lines")
	c.Flags().StringVar(&f.answers, "answers", "", "with --headless: `file` of answers")
	f.addScreen(c)
	c.Flags().StringVar(&f.breakLock, "break-lock", "", "break the lock that another run has on a host; the `reason` is recorded")
	c.Flags().StringVar(&f.signers, "signers", "", "logins of this `group` may sign the run (belay sign), and see its checklist; without it only this login may")
	c.Flags().DurationVar(&f.signWithin, "sign-within", 0, "with --headless: wait so `long` at a gate for people to sign by belay sign, each from a terminal of their own; then end with 3, to be resumed")
	c.PreRunE = func(*cobra.Command, []string) error {
		if f.signWithin < 0 || f.signWithin > 0 && !f.headless {
			return usageError{errors.New("--sign-within is how long --headless waits for people; with a screen a gate waits as long as it takes; nothing was done")}
		}
		if _, err := user.LookupGroup(f.signers); f.signers != "" && err != nil {
			return usageError{fmt.Errorf("--signers: %w; nothing was done", err)}
		}
		for name, reason := range map[string]string{"break-lock": f.breakLock, "without-rehearsal": f.unrehearsed} {
			if c.Flags().Changed(name) && strings.TrimSpace(reason) == "" {
				return usageError{fmt.Errorf("--%s needs a reason; nothing was done", name)}
			}
		}
		return nil
	}
}

// patient settles how long a run without a screen waits for signatures.
func (f *driveFlags) patient(p *plan.Plan) error {
	if !f.headless {
		return nil
	}
	if f.signWithin == 0 {
		f.signWithin = p.Approvers.Within
	}
	if f.signers != "" && f.signWithin == 0 {
		return usageError{errors.New("--signers is for a run that waits for people, and --headless ends where nobody answers: say how long it waits, by --sign-within 2h or `within` of the plan's approvers; nothing was done")}
	}
	return nil
}

// addScreen adds the flags of a screen that a person sits at.
func (f *driveFlags) addScreen(c *cobra.Command) {
	c.Flags().BoolVar(&f.plain, "plain", false, "line by line, for screen readers and pipes")
	c.Flags().BoolVar(&f.slow, "slow", false, "refresh half as often, for very slow links")
	c.Flags().BoolVar(&f.guide, "guide", false, "explain every screen in a sentence")
	c.Flags().StringVar(&f.theme, "theme", "auto", "`dark`, light or auto")
}

func newRun() *cobra.Command {
	var f driveFlags
	var with []string
	c := &cobra.Command{
		Use:   "run PLAN",
		Short: "Carry out a plan: assess, prepare, sign off, cut over, watch, close",
		Long: `Carry out a plan: assess, prepare, sign off, cut over, watch, close.

One run at a time changes a host. One that another run holds blocks the assessment
(exit code 3); met later, or by resume or rollback, it is asked about (6 when nobody
answers). --break-lock "reason" takes the host away from a run that nobody drives.

` + answersForm,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readPlan(args[0], with)
			if err != nil {
				return err
			}
			f.why = "run"
			return runPlan(cmd.Context(), p, f)
		},
	}
	f.add(c)
	f.journal.add(c)
	c.Flags().StringVar(&f.unrehearsed, "without-rehearsal", "", "begin a plan that wants a rehearsal without one; the `reason` is recorded")
	c.Flags().StringArrayVar(&with, "with", nil, "overlay `file` that replaces hosts, vars, secrets, window or environment")
	return c
}

// create makes the directory of a new run of p.
func create(p *plan.Plan, f driveFlags) (*run.Run, *secret.Redactor, *answers, error) {
	root, err := run.Root()
	if err != nil {
		return nil, nil, nil, err
	}
	said, err := readAnswers(f.answers)
	if err == nil {
		err = said.fit(p)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	red := &secret.Redactor{}
	r, err := run.CreateIn(f.store, root, run.NewID(p.Name, time.Now()), p, red, author())
	if err != nil {
		return nil, nil, nil, fmt.Errorf("run directory: %w; nothing was contacted or changed", err)
	}
	if f.why == rehearse {
		if err := markRehearsal(r.Dir()); err != nil {
			return nil, nil, nil, errors.Join(fmt.Errorf("run directory: %w; nothing was contacted or changed", err), r.Close())
		}
	}
	return r, red, said, nil
}

// runPlan opens a new run of p and drives it to an end: by a keeper when a
// person looks on, so that the run outlives the terminal; from this process
// when nobody does.
func runPlan(ctx context.Context, p *plan.Plan, f driveFlags) (err error) {
	if f.store, err = f.journal.store(); err != nil {
		return err
	}
	if err := f.patient(p); err != nil {
		return err
	}
	r, red, said, err := create(p, f)
	if err != nil {
		return err
	}
	if f.headless {
		return drive(ctx, r, p, red, said, f, walks[f.why])
	}
	if err := r.Close(); err != nil {
		return err
	}
	return keepAndWatch(ctx, r.Dir(), f)
}

// keepAndWatch has a keeper drive the run and shows it.
func keepAndWatch(ctx context.Context, dir string, f driveFlags) error {
	if err := startKeeper(dir, f); err != nil {
		return err
	}
	return watch(ctx, dir, f)
}

func newResume() *cobra.Command {
	return newReopen("resume", "Take up a run that stopped or broke off, from wherever it was")
}

func newRollback() *cobra.Command {
	return newReopen("rollback", "Undo what a run has done, last first; or take up its debts")
}

// reopens explains the commands that take up an existing run.
var reopens = map[string]string{
	"resume": `Take up a run that stopped or broke off, from wherever it was: what passed stays passed,
and what was left running on the servers is taken up. A step that began and was not seen to
end is never simply done again. Without RUN it is the newest that is not over.`,
	"rollback": `Undo what a run has done, last first; or take up its debts, which are what could not be
undone before. The list is shown first and nothing is undone before you have agreed to it.
Without RUN it is the newest that is not over.`,
}

// newReopen is a command that takes up an existing run by the walk of its name.
func newReopen(walk, short string) *cobra.Command {
	var f driveFlags
	c := &cobra.Command{
		Use:   walk + " [RUN]",
		Short: short,
		Long:  reopens[walk],
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return reopen(cmd.Context(), args, walk, f)
		},
	}
	f.add(c)
	f.addShared(c)
	if walk == "rollback" {
		c.Flags().StringVar(&f.way, "way", "", "`name` of the way back, in a plan that has several; only this one is offered then")
	}
	return c
}

// reopen opens an existing run and drives it.
func reopen(ctx context.Context, args []string, why string, f driveFlags) error {
	root, err := run.Root()
	if err != nil {
		return err
	}
	said, err := readAnswers(f.answers)
	if err != nil {
		return err
	}
	if err := meant(root, first(args), why); err != nil {
		return usageError{fmt.Errorf("%w; nothing was done", err)}
	}
	dir, err := f.find(ctx, root, first(args))
	if err != nil {
		return err
	}
	red := &secret.Redactor{}
	r, err := run.Open(dir, plan.All(), red, author(), why)
	if err != nil {
		return driven(ctx, dir, why, f, err)
	}
	if s := r.State(); s.Over() && (why != "rollback" || s.Status == journal.RolledBack) {
		r.Close()
		fmt.Printf("run %s is over: %s; there is nothing to %s\n", r.ID(), s.Status, why)
		return exit(codeOfStatus(s)).orNil()
	}
	f.why = why
	if err := wayOpen(r, f.way); err != nil {
		r.Close()
		return err
	}
	if f.headless {
		if err := standWhere(r); err != nil {
			r.Close()
			return err
		}
		if err := errors.Join(said.fit(r.Plan()), f.patient(r.Plan())); err != nil {
			r.Close()
			return err
		}
		return drive(ctx, r, r.Plan(), red, said, f, walks[why])
	}
	if err := r.Close(); err != nil {
		return err
	}
	return keepAndWatch(ctx, dir, f)
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

type walkFunc func(*engine.Engine, context.Context) (journal.Status, error)

// drive runs the engine, shows it, and turns the end into an exit code.
func drive(ctx context.Context, r *run.Run, p *plan.Plan, red *secret.Redactor, said *answers, f driveFlags, walk walkFunc) error {
	defer r.Close()
	w, err := wire(p, red, r.Prompted, r.Light)
	if err != nil {
		return err
	}
	defer w.close()
	e := r.Engine(meaning(spec(w), r, f))
	if f.headless && f.signWithin > 0 { // open to those who sign
		k, err := serve(r, f.signers)
		if err != nil {
			return err
		}
		defer k.Close()
	}
	f.shown = r.State().Seq // a resumed run has told the rest before
	working, leave := context.WithCancel(ctx)
	defer leave()
	ended := make(chan error, 1)
	go func() {
		_, err := walk(e, working)
		r.Ended(err)
		ended <- err
	}()
	unanswered, err := show(ctx, r, said, f)
	leave() // whoever looked has gone: end at the next safe point
	if werr := <-ended; werr != nil && !errors.Is(werr, steps.ErrDetach) {
		return werr
	}
	if err != nil {
		return err
	}
	return outcome(p, r.State(), r.Dir(), unanswered, f)
}

// show lets a screen follow the run until the run has ended or the operator
// leaves it. It returns the question that a headless run could not answer.
func show(ctx context.Context, r *run.Run, said *answers, f driveFlags) (*journal.Question, error) {
	if f.headless {
		h := &headless{run: r, answers: said, author: author(), out: os.Stdout, told: os.Stdout, json: f.json, seq: f.shown, within: f.signWithin}
		if f.json { // lines of JSON have nothing between them
			h.told = os.Stderr
		}
		return h.follow(ctx), nil
	}
	if f.auto {
		auto := &headless{run: r, answers: said, author: author(), out: io.Discard, told: io.Discard}
		go auto.answerSlowly(ctx, 1500*time.Millisecond)
	}
	resume, detach := "belay resume "+r.ID(), "This run ends with its screen: what runs now is ended at a safe point."
	if f.gone {
		resume, detach = "belay demo, which begins anew", "The demo ends with its screen, and its pretend servers are taken away."
	}
	err := screen(ctx, r, f, resume, detach)
	if left(err) {
		err = nil
	}
	return nil, err
}

// screen shows a run to a person.
func screen(ctx context.Context, s run.Session, f driveFlags, resume, detach string) error {
	o := tui.Options{Author: author(), Slow: f.slow, Theme: f.theme, Guide: f.guide, Resume: resume, Detach: detach}
	o.Estimates = estimatesOf(s.Plan(), s.Dir(), s.State())
	if f.plain {
		return tui.Plain(ctx, s, os.Stdin, os.Stdout, o)
	}
	return tui.Run(ctx, s, o)
}

// estimates learns from the newest earlier runs of the plan on this machine,
// rehearsals among them; but is the run that is not to be asked.
func estimates(p *plan.Plan, but string) estimate.Estimates {
	past := pastRuns(p, but)
	return estimate.From(p, past[:min(len(past), 20)])
}

// estimatesOf are those that a run began with, wherever that was; else what is
// known here.
func estimatesOf(p *plan.Plan, dir string, s *journal.State) estimate.Estimates {
	if e, ok := estimate.Recorded(s); ok {
		return e
	}
	return estimates(p, dir)
}

// left tells whether somebody left a screen while the run goes on.
func left(err error) bool { return errors.Is(err, tui.ErrDetached) }

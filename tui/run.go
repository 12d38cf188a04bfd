package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"belay/steps/run"
)

// ErrDetached says that somebody left the screen while the run goes on.
var ErrDetached = errors.New("screen left; the run goes on")

// Run shows s full-screen until the run has ended and somebody has left its
// report (nil), or somebody has detached or the terminal is gone
// (ErrDetached), or ctx ends (its cause). When the screen itself breaks, the
// terminal is put back, the error says how to resume, and the run is not
// touched.
func Run(ctx context.Context, s run.Session, o Options) error {
	o = o.filled(s.Dir())
	m := newModel(s, o)
	err := o.show(ctx, m)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, tea.ErrProgramPanic):
		return fmt.Errorf("the screen broke; the run was not touched. Take it up again with: %s: %w", o.Resume, err)
	case err != nil: // killed by a hangup, or the terminal is gone
		return errors.Join(ErrDetached, err)
	case m.left != nil:
		return m.left
	case !s.Live().Ended:
		return ErrDetached
	}
	return nil
}

// show runs a model on the terminal until it quits, a signal comes, or ctx ends.
func (o Options) show(ctx context.Context, m tea.Model) error {
	var p *tea.Program
	g := newGuard(o.Output, func() { p.Send(tea.ClearScreen()) })
	defer g.finish()
	p = tea.NewProgram(m, append(o.program(g), tea.WithContext(ctx))...)

	// Bubble Tea's own signal handler (v2.0.9, tea.go handleSignals) sends on a
	// channel that nobody reads once the terminal is gone: a SIGTERM together
	// with a hangup would leave a process that never ends. Send gives up then.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		select {
		case got := <-signals:
			switch got {
			case syscall.SIGHUP:
				p.Kill()
			case syscall.SIGINT:
				p.Send(tea.InterruptMsg{})
			default:
				p.Send(tea.QuitMsg{})
			}
		case <-over:
		}
	}()
	_, err := p.Run()
	close(over)
	signal.Stop(signals)
	return err
}

// program sets Bubble Tea up: our own guard around the output, the colours
// decided by us (left alone it would run `tmux info`), wheel turns thinned out.
func (o Options) program(g *guard) []tea.ProgramOption {
	var out io.Writer = g
	if f, ok := o.Output.(*os.File); ok {
		out = guardFile{g, f}
	}
	profile := colorprofile.ANSI
	if o.noColor() {
		profile = colorprofile.ASCII
	}
	return []tea.ProgramOption{
		tea.WithInput(o.Input), tea.WithOutput(out), tea.WithEnvironment(o.Env), tea.WithColorProfile(profile), tea.WithoutSignalHandler(),
		tea.WithFilter(func(tm tea.Model, msg tea.Msg) tea.Msg {
			if m, ok := tm.(*model); ok && m.thin(msg) {
				return nil
			}
			return msg
		}),
	}
}

package run

import (
	"context"
	"time"

	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// Session is all that a screen knows of a run and all that it can do to one.
// Its methods are safe for concurrent use and none waits for the engine.
type Session interface {
	Plan() *plan.Plan
	Dir() string
	// State is the newest snapshot; equal Seq means equal State.
	State() *journal.State
	// Live is what is known but not journaled: progress, lights.
	Live() Live
	// Log returns the log of a step on one host; host "" merges all its hosts
	// by time. step "" is everything, merged. A log that does not exist yet is
	// empty, and grows.
	Log(step, host string) Log
	// Answer answers an open question. *StaleError when it is not open (any more).
	Answer(ctx context.Context, a journal.Answer) error
	// Request asks the engine for something outside of any question.
	Request(ctx context.Context, r Request) error
	// Secrets gives what a screen must ask for in its own dialog (passphrases,
	// prompts, unknown host keys): nil when nothing is asked.
	Prompt() *Prompt
}

// Live is the part of a run that may be lost.
type Live struct {
	Progress  map[string]map[string]steps.Progress // step → host
	Lights    map[string]Light                     // by host
	Assessing bool
	Ended     bool  // the engine has returned; Err says why
	Err       error // nil: as planned
}

// Light is the connection to one host.
type Light struct {
	remote.Light
	Reason string
	Since  time.Time
}

// Request is what an operator asks of the engine.
type Request struct {
	What   string // one of the Want constants
	Reason string
	By     journal.Author
}

// What can be asked of an engine at any time.
const (
	WantRecheck  = "recheck"  // assess again (answers an open findings question)
	WantStop     = "stop"     // stop after the step that runs now
	WantCancel   = "cancel"   // end the running commands and then ask
	WantRollback = "rollback" // after the step that runs now, ask to roll back
)

// Prompt is a question whose answer is never written down.
type Prompt struct {
	ID     string
	Kind   string // journal.AskSecret or journal.AskHostKey
	Host   string
	Title  string
	Text   string
	Hidden bool   // show no characters
	Type   string // what must be typed to agree ("yes"); "" for free text
	// Reply gives the answer; ok false refuses.
	Reply func(text string, ok bool) `json:"-"`
}

// Log is a log read by line. Lines are clean: no control characters, tabs
// expanded, secrets masked.
type Log interface {
	Len() int
	// Lines returns up to n lines from the given one on.
	Lines(from, n int) []Line
}

// Line is one line of a log.
type Line struct {
	Time time.Time
	Step string
	Host string
	Text string
}

// StaleError says that a question is no longer open.
type StaleError struct{ Question string }

func (e *StaleError) Error() string {
	return "question " + e.Question + " has been answered or withdrawn; nothing was changed by this answer"
}

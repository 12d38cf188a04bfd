package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belay/remote/secret"
)

// ReadOnly is h for looking only: a command that does not promise to be Pure
// is refused with ErrReadOnly before it is sent. Dial is allowed; what is said
// over a connection is the caller's promise.
func ReadOnly(h Host) Host {
	h.Runner = readOnly{h.Runner}
	return h
}

type readOnly struct{ Runner }

func (r readOnly) Run(ctx context.Context, c Cmd) error {
	if !c.Pure {
		name := ""
		if len(c.Argv) > 0 {
			name = c.Argv[0]
		}
		return fmt.Errorf("%w: %s", ErrReadOnly, plainName(name))
	}
	return r.Runner.Run(ctx, c)
}

// Redact takes secrets out of the errors that r returns: they quote the end of
// stderr and the command. Stdout and stderr themselves stay whole, because a
// caller that reads a file, edits it and writes it back needs the real bytes;
// a log gets its own secret.Redactor Writer.
func Redact(r Runner, red *secret.Redactor) Runner { return redacting{r, red} }

type redacting struct {
	Runner
	red *secret.Redactor
}

func (r redacting) Run(ctx context.Context, c Cmd) error {
	err := r.Runner.Run(ctx, c)
	switch e := err.(type) { // as Run returns it, not wrapped
	case nil:
		return nil
	case *ExitError:
		clean := *e
		clean.Argv = make([]string, len(e.Argv))
		for i, w := range e.Argv {
			clean.Argv[i] = r.red.String(w)
		}
		clean.Stderr = r.red.String(e.Stderr)
		return &clean
	}
	if text := err.Error(); r.red.String(text) != text {
		return &redactedError{text: r.red.String(text), err: err}
	}
	return err
}

// redactedError keeps what errors.Is and errors.As find, and says less.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string        { return e.text }
func (e *redactedError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *redactedError) As(target any) bool   { return errors.As(e.err, target) }

// Ran is one command on its way: told when it begins and when it has ended.
type Ran struct {
	Argv  []string
	Pure  bool
	Began time.Time
	Ended bool
	Took  time.Duration // 0 until it ended
	Err   error         // nil until it ended, and when it ended well
}

// Record calls tell twice for every command that r runs: as it begins and when
// it has ended. tell must be safe for concurrent use and quick.
func Record(r Runner, tell func(Ran)) Runner { return recording{r, tell} }

type recording struct {
	Runner
	tell func(Ran)
}

func (r recording) Run(ctx context.Context, c Cmd) error {
	ran := Ran{Argv: c.Argv, Pure: c.Pure, Began: time.Now()}
	r.tell(ran)
	err := r.Runner.Run(ctx, c)
	ran.Ended, ran.Took, ran.Err = true, time.Since(ran.Began), err
	r.tell(ran)
	return err
}

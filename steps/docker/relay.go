package docker

import (
	"context"
	"errors"
	"io"

	"belay/remote"
)

// errFarEnd says that the other end of a relay broke off first.
var errFarEnd = errors.New("the other end broke off")

// Relay runs one command on each of two hosts, at the same time, and gives the
// second what the first writes to stdout. When one ends badly the other is
// ended, and the error is of the one that began it. The second command cannot
// tell a first that broke off from one that was through: look at the error, and
// at what has arrived, before it is used.
func Relay(ctx context.Context, from remote.Runner, send remote.Cmd, to remote.Runner, take remote.Cmd) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	send.Stdout, take.Stdin = w, r
	sent := make(chan error, 1)
	go func() {
		err := from.Run(ctx, send)
		if err != nil {
			cancel(errFarEnd)
			w.CloseWithError(err)
		} else {
			w.Close()
		}
		sent <- err
	}()
	takeErr := to.Run(ctx, take)
	if takeErr != nil {
		cancel(errFarEnd)
	}
	r.CloseWithError(errFarEnd)
	sendErr := <-sent
	switch {
	case sendErr != nil && !errors.Is(sendErr, errFarEnd):
		return sendErr
	case takeErr != nil:
		return takeErr
	}
	return sendErr
}

package checks

import (
	"context"

	"belay/remote"
)

// Ask asks once, as the check would, and tells what came back, whatever it is:
// for a step that has a question or an order of its own. c's Headers may then
// hold what is secret; they never stand on a command line. body is the first
// 1 MiB.
func (c *HTTPCheck) Ask(ctx context.Context, h remote.Host, w World) (status int, body []byte, err error) {
	auth, err := c.authorization(ctx, w)
	if err != nil {
		return 0, nil, err
	}
	a, err := c.ask(ctx, h, auth)
	return a.status, a.body, err
}

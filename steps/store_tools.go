package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"belay/checks"
	"belay/remote"
)

// boxTools judges whether a container has one of the client programs that a
// step runs in it. Images leave them out, and a step would find out only when
// its turn comes.
type boxTools struct {
	of    store
	on    string // the step's host
	names []string
}

// CheckName is how findings call it.
func (c *boxTools) CheckName() string { return "tool" }

// HostNames is the host of the container.
func (c *boxTools) HostNames() []string { return storeHosts(c.on, c.of) }

// Assess looks for the programs where the steps look for them.
func (c *boxTools) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	host, any := c.of.on(c.on), strings.Join(c.names, " or ")
	f := checks.Finding{Host: host, Key: any + " in container " + c.of.Container}
	if w.Unreached[host] != nil {
		f.Text, f.Fix = "not judged: the host was not reached", "reach the host first, then re-check"
		return []checks.Finding{f}, nil
	}
	h := w.Hosts[host]
	if _, err := storeInspect(ctx, h, c.of.Container); err != nil {
		if gone, yes := storeGone(err, f.Key, true); yes {
			return []checks.Finding{gone}, nil
		}
		return nil, err
	}
	const script = `for t; do command -v "$t" && exit; done; exit 3`
	argv := append([]string{"docker", "exec", c.of.Container, "sh", "-c", script, "belay"}, c.names...)
	var out bytes.Buffer
	err := h.Run(ctx, remote.Cmd{Argv: argv, Stdout: &out, Pure: true})
	no, exited := errors.AsType[*remote.ExitError](err)
	switch {
	case err == nil:
		f.Level, f.Text = checks.Pass, fmt.Sprintf("container %s has %s", c.of.Container, checks.OneLine(out.String(), 200))
	case exited && (no.Status == 3 || no.Status == 126 || no.Status == 127): // or there is no sh
		f.Level, f.Text = checks.Block, fmt.Sprintf("container %s does not have %s", c.of.Container, any)
		f.Fix = "install it on the host and name the server by addr instead of container, or use an image that has it"
	default:
		return nil, err
	}
	return []checks.Finding{f}, nil
}

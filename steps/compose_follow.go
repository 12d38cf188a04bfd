package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"belay/remote"
	"belay/steps/docker"
)

// composeFollow takes what containers of some services say, from when it began,
// into a step's log. It asks again and again instead of keeping a stream open:
// so a container that starts anew, a lost link and an end of belay need no care.
type composeFollow struct {
	services []string
	since    string            // by the engine's clock, RFC 3339
	seen     map[string]string // by container: the time of the last line
}

// composeFollowMost is how much of a container's log is taken at a time.
const composeFollowMost = 1 << 20

// begin notes the engine's clock. An engine that cannot be asked is the next
// command's affair.
func (f *composeFollow) begin(ctx context.Context, e Env) {
	f.since, f.seen = "", map[string]string{}
	if len(f.services) == 0 {
		return
	}
	c := remote.Cmd{Argv: []string{"docker", "info", "--format", "{{.SystemTime}}"}, Pure: true}
	if out, err := remote.Output(ctx, e.Host, c); err == nil {
		f.since = strings.TrimSpace(string(out))
	}
	if _, err := time.Parse(time.RFC3339Nano, f.since); err != nil {
		f.since = ""
		fmt.Fprintln(e.Log, "-- the engine does not tell its time, so containers' logs are not followed")
	}
}

// take brings the lines that are new. A log that cannot be read does not fail
// the step, which is judged by its containers.
func (f *composeFollow) take(ctx context.Context, e Env, all []docker.Container) {
	if f.since == "" {
		return
	}
	for _, svc := range f.services {
		for _, c := range all {
			if c.Service != svc || c.State == "created" {
				continue
			}
			since := f.seen[c.ID]
			if since == "" {
				since = f.since
			}
			cmd := remote.Sh(`docker logs --timestamps --since "$2" "$1" 2>&1 | tail -c `+fmt.Sprint(composeFollowMost), c.ID, since)
			cmd.Pure = true
			out, err := remote.Output(ctx, e.Host, cmd)
			if err != nil {
				continue
			}
			name := ""
			if len(f.services) > 1 {
				name = svc + " | "
			}
			f.seen[c.ID] = composeTell(e.Log, name, string(out), f.seen[c.ID])
		}
	}
}

// composeTell writes lines with times after `after` without their times, and
// returns the time of the last one. The engine begins with the second that it
// is asked for, so it repeats lines.
func composeTell(w io.Writer, name, out, after string) string {
	last := after
	for line := range strings.Lines(out) {
		at, text, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		t, err := time.Parse(time.RFC3339Nano, at)
		if !ok || err != nil { // the beginning was cut off
			continue
		}
		if was, err := time.Parse(time.RFC3339Nano, after); err == nil && !t.After(was) {
			continue
		}
		fmt.Fprintln(w, name+text)
		last = at
	}
	return last
}

// follow runs a script on the host whose output comes into the log until stop
// is called. Like a log, it may end or fail by itself.
func follow(ctx context.Context, e Env, script string) (stop func()) {
	if script == "" {
		return func() {}
	}
	if e.Host.Runner == nil {
		fmt.Fprintln(e.Log, "-- follow runs on the step's host, and the step has none")
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c := remote.Sh(script)
		c.Pure, c.Stdout, c.Stderr = true, e.Log, e.Log
		if err := e.Host.Run(ctx, c); err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintf(e.Log, "-- follow ended: %v\n", err)
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// WriteMark is equal at two moments if no client wrote in between: the run of
// the server, and how often each command was called that writes (COMMAND, INFO
// commandstats). Expiry is no writing. It is empty on a server that does not
// let us look; and differs needlessly after CONFIG RESETSTAT.
func (c *Client) WriteMark(ctx context.Context) (string, error) {
	v, err := c.Call(ctx, "COMMAND")
	if Refused(err) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	list, _ := v.([]any)
	writes := map[string]bool{}
	for _, item := range list {
		f, _ := item.([]any)
		if len(f) < 3 {
			return "", fmt.Errorf("%s: COMMAND: unexpected answer", c.Server)
		}
		name, _ := f[0].(string)
		flags := strs(f[2])
		// A container of subcommands has no flags of its own: XGROUP and its like
		// count as writing.
		if slices.Contains(flags, "write") || strings.EqualFold(name, "xgroup") {
			writes[strings.ToLower(name)] = true
		}
	}
	i, err := c.Info(ctx)
	if err != nil {
		return "", err
	}
	return i.RunID + " " + strconv.FormatInt(i.calls(writes), 10), nil
}

// calls sums how often the commands were called: "cmdstat_xgroup|create:calls=3,usec=…".
func (i Info) calls(of map[string]bool) (n int64) {
	for k, v := range i.all {
		name, isCommand := strings.CutPrefix(k, "cmdstat_")
		name, _, _ = strings.Cut(name, "|")
		if !isCommand || !of[strings.ToLower(name)] {
			continue
		}
		calls, _ := strconv.ParseInt(infoFields(v)["calls"], 10, 64)
		n += calls
	}
	return n
}

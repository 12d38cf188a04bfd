package steps

import (
	"context"
	"fmt"
	"strconv"

	"belay/checks"
	"belay/remote"
	"belay/steps/redis"
)

// How a source takes a full copy in. By default it throws its own data away
// before it reads the first byte; with swapdb it keeps them until it has read
// all (redis.conf, since 6.0). Seen with Redis 7.0 behind Valkey 8.1: without
// swapdb it is empty afterwards.
const (
	redisLoadSetting = "repl-diskless-load"
	redisLoadSafe    = "swapdb"
)

// redisBackLoad remembers how the source takes a full copy in, where it could
// not read one of the target's: then it must not throw its own data away.
func redisBackLoad(ctx context.Context, p *redisPair, m *redisSwitched) error {
	if p.a.Reads(p.b) || m.Load != "" {
		return nil
	}
	s, err := p.from.Settings(ctx, redisLoadSetting)
	if err != nil && !redis.Refused(err) {
		return err
	}
	if m.Load = s[redisLoadSetting]; m.Load == "" {
		return fmt.Errorf("%s (%s) does not read what %s writes out: told to take a full copy it would throw its data away, and %s, which keeps it from that, is not to be had there; say old: readonly; nothing was changed",
			p.from.Server, p.a, p.b, redisLoadSetting)
	}
	return nil
}

// redisBackNeeds judges whether the source can follow the target after the
// switch.
type redisBackNeeds struct {
	of *redisSwitch
	on string
}

// CheckName implements checks.Namer.
func (n *redisBackNeeds) CheckName() string { return "redis" }

// HostNames are the hosts that are looked at.
func (n *redisBackNeeds) HostNames() []string {
	return (&redisNeeds{copy: n.copy(), on: n.on}).HostNames()
}

func (n *redisBackNeeds) copy() *redisCopy { return &redisCopy{redisEnds: n.of.redisEnds} }

// Assess logs in to both servers.
func (n *redisBackNeeds) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	p, j, err := (&redisNeeds{copy: n.copy(), on: n.on}).open(ctx, w)
	if p == nil {
		return j.all, err
	}
	defer p.close()
	if p.a.Reads(p.b) {
		j.saySource("follow", checks.Pass, fmt.Sprintf("after the switch the source (%s) can follow the target (%s)", p.a, p.b), "")
		return j.all, nil
	}
	backlog := "the repl-backlog-size"
	if s, err := p.to.Settings(ctx, "repl-backlog-size"); err == nil {
		if size, err := strconv.ParseInt(s["repl-backlog-size"], 10, 64); err == nil {
			backlog += " (" + remote.FormatBytes(size) + ")"
		}
	}
	j.saySource("follow", checks.Warn, fmt.Sprintf("the source (%s) does not read what the target (%s) writes out: it follows until it misses more than %s of the target, or that is started again; then it stays as it was, and going back loses what was written since", p.a, p.b, backlog),
		"raise repl-backlog-size on the target to what is written in the longest break that you expect, or say old: readonly")
	return j.all, nil
}

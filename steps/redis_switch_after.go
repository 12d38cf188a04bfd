package steps

import (
	"context"
	"fmt"
	"time"

	"belay/remote"
	"belay/steps/redis"
)

// finish leaves both servers as they are to be after the switch. It may be
// called again.
func (r *redisSwitch) finish(ctx context.Context, e Env, p *redisPair, m *redisSwitched) error {
	if err := p.look(ctx); err != nil {
		return err
	}
	switch {
	case r.old() == "follow" && p.a.Role == "master":
		if err := p.from.Follow(ctx, m.Target, p.to.Server.User, p.to.Server.Password); err != nil {
			return err
		}
		fallthrough // who follows takes no writes; the guard would outlast a rollback
	case r.old() == "follow", r.old() == "open":
		if err := p.from.Unguard(ctx, m.Guard); err != nil {
			return err
		}
	}
	if p.a.Since("6.2") && m.By != "failover" {
		if _, err := p.from.Call(ctx, "CLIENT", "UNPAUSE"); err != nil {
			return err
		}
	}
	if m.By != "scan" {
		if err := p.to.ForgetMaster(ctx); err != nil {
			return err
		}
	}
	// From a rollback that was cut short, if at all.
	if err := redisOpenUp(ctx, p.to); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- %s is the master: %s; %s\n", p.to.Server, p.b.Spaces(), r.after())
	if !r.Keep {
		return nil
	}
	told, err := p.to.Keep(ctx)
	if told != "" {
		fmt.Fprintln(e.Log, "-- note:", told)
	}
	return err
}

// Verify asks by ROLE and by the settings that count. A source that cannot be
// reached takes no writes either.
func (r *redisSwitch) Verify(ctx context.Context, e Env) error {
	to, err := r.To.server(ctx, e)
	if err != nil {
		return err
	}
	c, err := to.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if role, err := c.Role(ctx); err != nil {
		return err
	} else if role != "master" {
		return fmt.Errorf("%s is %s, not a master: somebody changed it since", to, role)
	}
	if guarded, err := c.Guarded(ctx); err == nil && guarded {
		return fmt.Errorf("%s refuses writes: it was the source of a switch itself, and has min-replicas-to-write set", to)
	}
	from, err := r.From.server(ctx, e)
	if err != nil {
		return err
	}
	old, err := from.Connect(ctx)
	if err != nil {
		fmt.Fprintf(e.Log, "-- the source does not answer any more: %v\n", err)
		return nil
	}
	defer old.Close()
	role, err := old.Role(ctx)
	if err != nil {
		return err
	}
	guarded, err := old.Guarded(ctx)
	switch {
	case err != nil:
		return err
	case r.old() == "follow" && role != "slave":
		return fmt.Errorf("%s is %s, it does not follow the target", from, role)
	case r.old() == "readonly" && role == "master" && !guarded:
		return fmt.Errorf("%s takes writes that the target will not have", from)
	}
	return nil
}

// Undo makes the source the master again. Where the source follows the target,
// or the target took no writes of its own, nothing is lost and the target
// follows again, as before; else the writes that the target took are told, and
// stay there.
func (r *redisSwitch) Undo(ctx context.Context, e Env) error {
	var m redisSwitched
	if found, err := e.Memory.Get(redisSwitchKey, &m); err != nil {
		return err
	} else if !found {
		fmt.Fprintln(e.Log, "-- nothing was done here, so there is nothing to undo")
		return nil
	}
	p, err := r.open(ctx, e)
	if err != nil {
		return err
	}
	defer p.close()
	if p.a.Role == "slave" {
		if err := r.comeBack(ctx, e, p, m); err != nil {
			return err
		}
		if err := p.look(ctx); err != nil {
			return err
		}
	}
	if err := p.from.Unguard(ctx, m.Guard); err != nil {
		return err
	}
	if p.a.Since("6.2") {
		if _, err := p.from.Call(ctx, "CLIENT", "UNPAUSE"); err != nil {
			return err
		}
	}
	if err := r.followAgain(ctx, e, p, m); err != nil {
		return err
	}
	if err := redisOpenUp(ctx, p.to); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- %s is the master again: %s\n", p.from.Server, p.a.Spaces())
	if m.Load != "" {
		if err := p.from.Set(ctx, redisLoadSetting, m.Load); err != nil {
			return err
		}
	}
	if m.Login {
		if err := p.from.ForgetMaster(ctx); err != nil {
			return err
		}
	}
	return e.Memory.Put(redisSwitchKey, redisSwitched{})
}

// comeBack is the switch in the other direction, with all that was written
// since.
func (r *redisSwitch) comeBack(ctx context.Context, e Env, p *redisPair, m redisSwitched) error {
	if !redis.Follows(p.a, p.b) && !p.a.Reads(p.b) {
		return fmt.Errorf("%s follows no more: it missed too much, and a full copy of %s it cannot read; it has what it had then (%s). Go on with the target, or promote the source by hand (REPLICAOF NO ONE) and lose what it lacks; nothing was changed", p.from.Server, p.b, p.a.Spaces())
	}
	if !redis.Follows(p.a, p.b) {
		return fmt.Errorf("%s follows %s, but does not have its data (link up: %v); wait until it does, or promote it by hand and lose what it lacks; nothing was changed", p.from.Server, p.a.Master, p.a.LinkUp)
	}
	was, err := p.to.ReadGuard(ctx)
	if err != nil {
		return err
	}
	if was.Guarded() { // by an undo that was cut short
		was = redis.GuardWas{}
	}
	h := redis.Handover{From: p.to, To: p.from, Was: was, Pause: time.Duration(r.Pause), Say: func(text string) { e.Say(Progress{Text: text}) }}
	f, err := h.Run(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- back, with all that was written since; frozen time %v\n", f.For().Round(time.Millisecond))
	if err := p.look(ctx); err != nil {
		return err
	}
	if err := r.followAgain(ctx, e, p, m); err != nil {
		return err
	}
	if err := p.to.Unguard(ctx, was); err != nil {
		return err
	}
	if f.Writers != nil {
		return f.Writers.Release(ctx)
	}
	return nil
}

// followAgain lets the target follow as before the switch, if it has nothing
// that the source has not.
func (r *redisSwitch) followAgain(ctx context.Context, e Env, p *redisPair, m redisSwitched) error {
	promoted, written := redis.PromotedFrom(p.b, p.a)
	back, _ := redis.PromotedFrom(p.a, p.b) // the source was promoted from the target: it has all
	switch {
	case p.b.Role == "slave" || m.By == "scan" || m.Source == "":
		return nil
	case back || promoted && written == 0:
		return p.to.Follow(ctx, m.Source, p.from.Server.User, p.from.Server.Password)
	case promoted:
		fmt.Fprintf(e.Log, "-- %s took %s of writes that the source does not have; they stay there, and are lost to those who go back\n", p.to.Server, remote.FormatBytes(written))
	}
	return nil
}

// redisOpenUp takes our guard away, where it stands.
func redisOpenUp(ctx context.Context, c *redis.Client) error {
	guarded, err := c.Guarded(ctx)
	if err != nil || !guarded {
		return err
	}
	return c.Unguard(ctx, redis.GuardWas{})
}

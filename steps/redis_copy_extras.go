package steps

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"belay/steps/redis"
)

// redisExtras is what neither replication nor DUMP brings along.
type redisExtras struct {
	set   []redis.Difference // to be set on the target
	make  []redis.User       // to be made there
	notes []string           // how the sides differ otherwise
}

// late are settings that cost something while the data comes in.
var redisLate = []string{"appendonly", "save"}

func redisKeys(m map[string]string) iter.Seq[string] { return maps.Keys(m) }

// extras compares users and settings of both sides.
func (r *redisCopy) extras(ctx context.Context, p *redisPair) (*redisExtras, error) {
	x := &redisExtras{}
	if err := r.settings(ctx, p, x); err != nil {
		return nil, err
	}
	return x, r.users(ctx, p, x)
}

func (r *redisCopy) settings(ctx context.Context, p *redisPair, x *redisExtras) error {
	old, err := p.from.Settings(ctx, redis.Matters...)
	if err == nil {
		var now map[string]string
		if now, err = p.to.Settings(ctx, redis.Matters...); err == nil {
			for _, d := range redis.Differences(old, now) {
				if r.Config == "copy" && !d.Fixed && p.roomFor(d) {
					x.set = append(x.set, d)
				} else {
					x.notes = append(x.notes, d.String())
				}
			}
			return nil
		}
	}
	if redis.Refused(err) && r.Config != "copy" {
		x.notes = append(x.notes, "settings were not compared: "+err.Error())
		return nil
	}
	return err
}

// roomFor keeps a limit from being set on a target that holds more already.
func (p *redisPair) roomFor(d redis.Difference) bool {
	var limit int64
	_, err := fmt.Sscan(d.Old, &limit)
	return d.Name != "maxmemory" || err == nil && (limit == 0 || limit > p.b.Used)
}

func (r *redisCopy) users(ctx context.Context, p *redisPair, x *redisExtras) error {
	old, ok, err := p.from.Users(ctx)
	if err != nil {
		return err
	}
	now, ok2, err := p.to.Users(ctx)
	if err != nil {
		return err
	}
	if !ok || !ok2 {
		if r.Users == "copy" {
			return fmt.Errorf("users: copy: a server does not list its users (before 6.0, or not for belay's user); nothing was changed")
		}
		x.notes = append(x.notes, "users were not compared: a server does not list them")
		return nil
	}
	for _, u := range old {
		k := slices.IndexFunc(now, func(o redis.User) bool { return o.Name == u.Name })
		switch {
		case k < 0 && r.Users == "copy":
			lacks, err := p.to.Lacks(ctx, p.b, u)
			if err == nil && len(lacks) > 0 {
				err = fmt.Errorf("user %s has rules that %s (%s) does not know: %s; make that user on the target yourself, without them; nothing was changed", u.Name, p.to.Server, p.b, strings.Join(lacks, " "))
			}
			if err != nil {
				return err
			}
			x.make = append(x.make, u)
		case k < 0:
			x.notes = append(x.notes, fmt.Sprintf("user %s is missing on the target", u.Name))
		case !u.Same(now[k]) && u.Told() == now[k].Told():
			x.notes = append(x.notes, fmt.Sprintf("user %s has other passwords on the target; belay does not change users that are there", u.Name))
		case !u.Same(now[k]):
			x.notes = append(x.notes, fmt.Sprintf("user %s is another on the target: there %s, on the source %s; belay does not change users that are there", u.Name, now[k].Told(), u.Told()))
		}
	}
	return nil
}

func (x *redisExtras) changes() []Change {
	var todo []Change
	for _, u := range x.make {
		todo = append(todo, Change{Text: fmt.Sprintf("make user %s: %s", u.Name, u.Told())})
	}
	for _, d := range x.set {
		todo = append(todo, Change{Text: fmt.Sprintf("set %s from %q to %q", d.Name, d.New, d.Old), Cmd: "CONFIG SET " + d.Name + " " + d.Old})
	}
	return todo
}

// apply makes users first of all, so that nobody finds the new server without
// them, and sets what is early or late. What was there is remembered before.
func (x *redisExtras) apply(ctx context.Context, e Env, p *redisPair, mine *redisMine, late bool) error {
	for _, d := range x.set {
		if _, known := mine.Settings[d.Name]; !known {
			mine.Settings[d.Name] = d.New
		}
	}
	for _, u := range x.make {
		if !slices.Contains(mine.Users, u.Name) {
			mine.Users = append(mine.Users, u.Name)
		}
	}
	if err := e.Memory.Put(redisMineKey, *mine); err != nil {
		return err
	}
	if !late {
		for _, u := range x.make {
			if err := p.to.MakeUser(ctx, u); err != nil {
				return fmt.Errorf("make user %s: %w", u.Name, err)
			}
			fmt.Fprintf(e.Log, "-- made user %s\n", u.Name)
		}
		for _, n := range x.notes {
			fmt.Fprintln(e.Log, "-- note:", n)
		}
	}
	for _, d := range x.set {
		if slices.Contains(redisLate, d.Name) != late {
			continue
		}
		if err := p.to.Set(ctx, d.Name, d.Old); err != nil {
			return err
		}
		fmt.Fprintf(e.Log, "-- set %s to %q (it was %q)\n", d.Name, d.Old, d.New)
	}
	if late && len(x.set)+len(x.make) > 0 {
		return redisKeep(ctx, e, p)
	}
	return nil
}

// redisKeep writes settings and users to the target's files. A target that
// follows would write down its master and the password too, so that waits for
// redis.switch.
func redisKeep(ctx context.Context, e Env, p *redisPair) error {
	if p.b.Role == "slave" {
		fmt.Fprintln(e.Log, "-- users and settings are kept over a restart from redis.switch on")
		return nil
	}
	told, err := p.to.Keep(ctx)
	if told != "" {
		fmt.Fprintln(e.Log, "-- note:", told)
	}
	return err
}

// redisNotes is one text of several, for a finding.
func redisNotes(all []string) string { return strings.Join(all, "; ") }

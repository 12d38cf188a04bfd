package redis

import (
	"context"
	"fmt"
)

// inPieces copies one value by the commands of its type: for one that is too
// big for a DUMP, and for servers whose dumps are not alike. It is put together
// under Temp and gets its name at once, so that nobody sees a part of it.
func (p *pair) inPieces(ctx context.Context, e entry) error {
	if e.key == p.Temp {
		return nil
	}
	steps := []func() error{
		func() error { return p.put(ctx, e, "DEL", p.Temp) },
		func() error {
			if e.typ == "stream" {
				return p.putStream(ctx, e)
			}
			return p.from.parts(ctx, e, func(items []string) error { return p.putPart(ctx, e, items) })
		},
		func() error { return p.finish(ctx, e) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) put(ctx context.Context, e entry, args ...any) error {
	if _, err := p.to.Call(ctx, args...); err != nil {
		return p.fail(e, err)
	}
	return nil
}

func (p *pair) putPart(ctx context.Context, e entry, items []string) error {
	if err := p.put(ctx, e, putting(e.typ, p.Temp, items)...); err != nil || e.typ != "hash" || !p.from.fields {
		return err
	}
	return p.putFieldExpiries(ctx, e, items)
}

// putting is the command that adds items, as they were read, to a value.
func putting(typ, key string, items []string) []any {
	verbs := map[string]string{"string": "APPEND", "list": "RPUSH", "set": "SADD", "hash": "HSET", "zset": "ZADD"}
	args := []any{verbs[typ], key}
	for k := range items {
		if typ == "zset" { // told as member, score; taken as score, member
			k ^= 1
		}
		args = append(args, items[k])
	}
	return args
}

// finish gives the value its expiry and its name. One that is empty, or gone
// from the source meanwhile, is gone from the target.
func (p *pair) finish(ctx context.Context, e entry) error {
	there, err := p.to.Call(ctx, "EXISTS", p.Temp)
	if err != nil {
		return err
	}
	if there == int64(0) && e.typ == "string" {
		if still, err := p.from.Call(ctx, "EXISTS", e.key); err != nil || still == int64(0) {
			return err
		}
		if err := p.put(ctx, e, "SET", p.Temp, ""); err != nil {
			return err
		}
	} else if there == int64(0) {
		return p.put(ctx, e, "DEL", e.key)
	}
	if e.expiry != 0 {
		if err := p.put(ctx, e, "PEXPIREAT", p.Temp, e.expiry); err != nil {
			return err
		}
		if there, err := p.to.Call(ctx, "EXISTS", p.Temp); err != nil {
			return err
		} else if there == int64(0) { // it is over already
			return p.put(ctx, e, "DEL", e.key)
		}
	}
	return p.put(ctx, e, "RENAME", p.Temp, e.key)
}

// putStream copies entries, groups, consumers and what is delivered but not
// acknowledged (redis.io: XADD, XSETID, XGROUP, XCLAIM).
func (p *pair) putStream(ctx context.Context, e entry) error {
	s, err := p.from.stream(ctx, e.key)
	if err != nil {
		return err
	}
	// A stream may have no entries; a group can make it.
	const maker = "belay"
	if err := p.put(ctx, e, "XGROUP", "CREATE", p.Temp, maker, "0", "MKSTREAM"); err != nil {
		return err
	}
	if err := p.put(ctx, e, "XGROUP", "DESTROY", p.Temp, maker); err != nil {
		return err
	}
	if err := p.putEntries(ctx, e); err != nil {
		return err
	}
	if s.last != "" && s.last != "0-0" {
		set := []any{"XSETID", p.Temp, s.last}
		if p.fromNew && s.added != "" {
			set = append(set, "ENTRIESADDED", s.added, "MAXDELETEDID", s.deleted)
		}
		if err := p.put(ctx, e, set...); err != nil {
			return err
		}
	}
	for _, g := range s.groups {
		if err := p.putGroup(ctx, e, g); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) putEntries(ctx context.Context, e entry) error {
	var commands [][]any
	flush := func() error {
		got, err := p.to.batch(ctx, commands)
		commands = nil
		for _, a := range got {
			if a.err != nil {
				return p.fail(e, a.err)
			}
		}
		return err
	}
	err := p.from.streamEntries(ctx, e.key, func(id string, fields []string) error {
		args := []any{"XADD", p.Temp, id}
		for _, f := range fields {
			args = append(args, f)
		}
		if commands = append(commands, args); len(commands) < partItems {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func (p *pair) putGroup(ctx context.Context, e entry, g group) error {
	create := []any{"XGROUP", "CREATE", p.Temp, g.name, g.last}
	if p.fromNew && g.read != "" {
		create = append(create, "ENTRIESREAD", g.read)
	}
	if err := p.put(ctx, e, create...); err != nil {
		return err
	}
	for _, name := range g.consumers {
		// Before 6.2 a consumer is made by its first claim.
		if _, err := p.to.Call(ctx, "XGROUP", "CREATECONSUMER", p.Temp, g.name, name); err != nil && said(err) != "ERR" {
			return p.fail(e, err)
		}
	}
	for _, d := range g.pending {
		if err := p.put(ctx, e, "XCLAIM", p.Temp, g.name, d.consumer, 0, d.id, "RETRYCOUNT", fmt.Sprint(d.count), "FORCE", "JUSTID"); err != nil {
			return err
		}
	}
	return nil
}

package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Sizes that tests lower.
var (
	wholeBytes int64 = 256 << 10 // a value up to that is read in one answer
	partBytes        = 4 << 20   // of a string, at once
	partItems        = 500       // of anything else
)

// whole is the command that reads a small value at once; nil where there is
// none.
func (e entry) whole() []any {
	switch e.typ {
	case "string":
		return []any{"GET", e.key}
	case "list":
		return []any{"LRANGE", e.key, 0, -1}
	case "set":
		return []any{"SMEMBERS", e.key}
	case "hash":
		return []any{"HGETALL", e.key}
	case "zset":
		return []any{"ZRANGE", e.key, 0, -1, "WITHSCORES"}
	}
	return nil
}

// parts tells a big value piece by piece, in order where the type has one: the
// bytes of a string; items of a list or set; field and value of a hash; member
// and score of a sorted set. Items of sets and hashes may come twice.
func (c *Client) parts(ctx context.Context, e entry, each func(items []string) error) error {
	switch e.typ {
	case "string":
		return c.pieces(ctx, partBytes, func(from, to int) []any { return []any{"GETRANGE", e.key, from, to} },
			func(v any) (int, []string) {
				s, _ := v.(string)
				return len(s), []string{s}
			}, each)
	case "list":
		return c.pieces(ctx, partItems, func(from, to int) []any { return []any{"LRANGE", e.key, from, to} }, itemPieces(1), each)
	case "zset":
		return c.pieces(ctx, partItems, func(from, to int) []any { return []any{"ZRANGE", e.key, from, to, "WITHSCORES"} }, itemPieces(2), each)
	case "set", "hash":
		return c.scanParts(ctx, map[string]string{"set": "SSCAN", "hash": "HSCAN"}[e.typ], e.key, each)
	}
	return fmt.Errorf("%s: key %q is a %s, which cannot be read piece by piece", c.Server, shorten(e.key), e.typ)
}

// itemPieces counts in items of width strings.
func itemPieces(width int) func(any) (int, []string) {
	return func(v any) (int, []string) {
		s := strs(v)
		return len(s) / width, s
	}
}

func (c *Client) pieces(ctx context.Context, size int, command func(from, to int) []any, read func(any) (int, []string), each func([]string) error) error {
	for from := 0; ; from += size {
		v, err := c.Call(ctx, command(from, from+size-1)...)
		if err != nil {
			return err
		}
		n, items := read(v)
		if n == 0 {
			return nil
		}
		if err := each(items); err != nil {
			return err
		}
		if n < size {
			return nil
		}
	}
}

func (c *Client) scanParts(ctx context.Context, command, key string, each func([]string) error) error {
	for cursor := "0"; ; {
		v, err := c.Call(ctx, command, key, cursor, "COUNT", partItems)
		if err != nil {
			return err
		}
		pair, _ := v.([]any)
		if len(pair) != 2 {
			return fmt.Errorf("%s: %s: unexpected answer", c.Server, command)
		}
		cursor, _ = pair[0].(string)
		if items := strs(pair[1]); len(items) > 0 {
			if err := each(items); err != nil {
				return err
			}
		}
		if cursor == "0" || cursor == "" {
			return nil
		}
	}
}

// score is one text for one number: versions write 0.1 in two ways.
func score(s string) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// stream is a stream without its entries.
type stream struct {
	last, deleted, added string // the last two since Redis 7
	groups               []group
}

type group struct {
	name, last, read string
	consumers        []string
	pending          []delivery
}

type delivery struct {
	id, consumer string
	count        int64
}

// stream reads what a stream knows besides its entries (redis.io/commands/xinfo-stream).
func (c *Client) stream(ctx context.Context, key string) (stream, error) {
	v, err := c.Call(ctx, "XINFO", "STREAM", key)
	if err != nil {
		return stream{}, err
	}
	m := flat(v)
	s := stream{last: m["last-generated-id"], deleted: m["max-deleted-entry-id"], added: m["entries-added"]}
	if v, err = c.Call(ctx, "XINFO", "GROUPS", key); err != nil {
		return s, err
	}
	groups, _ := v.([]any)
	for _, item := range groups {
		m := flat(item)
		g := group{name: m["name"], last: m["last-delivered-id"], read: m["entries-read"]}
		if v, err = c.Call(ctx, "XINFO", "CONSUMERS", key, g.name); err != nil {
			return s, err
		}
		consumers, _ := v.([]any)
		for _, item := range consumers {
			g.consumers = append(g.consumers, flat(item)["name"])
		}
		if g.pending, err = c.pending(ctx, key, g.name); err != nil {
			return s, err
		}
		s.groups = append(s.groups, g)
	}
	return s, nil
}

func (c *Client) pending(ctx context.Context, key, group string) (all []delivery, err error) {
	for from := "-"; ; {
		v, err := c.Call(ctx, "XPENDING", key, group, from, "+", partItems)
		if err != nil {
			return nil, err
		}
		list, _ := v.([]any)
		for _, item := range list {
			f, _ := item.([]any)
			if len(f) != 4 {
				return nil, fmt.Errorf("%s: XPENDING: unexpected answer", c.Server)
			}
			d := delivery{}
			d.id, _ = f[0].(string)
			d.consumer, _ = f[1].(string)
			d.count, _ = f[3].(int64)
			all = append(all, d)
		}
		if len(list) < partItems {
			return all, nil
		}
		from = nextID(all[len(all)-1].id)
	}
}

// streamEntries tells the entries in order: the id, then fields and values.
func (c *Client) streamEntries(ctx context.Context, key string, each func(id string, fields []string) error) error {
	for from := "-"; ; {
		v, err := c.Call(ctx, "XRANGE", key, from, "+", "COUNT", partItems)
		if err != nil {
			return err
		}
		list, _ := v.([]any)
		last := ""
		for _, item := range list {
			pair, _ := item.([]any)
			if len(pair) != 2 {
				return fmt.Errorf("%s: XRANGE: unexpected answer", c.Server)
			}
			last, _ = pair[0].(string)
			if err := each(last, strs(pair[1])); err != nil {
				return err
			}
		}
		if len(list) < partItems {
			return nil
		}
		from = nextID(last)
	}
}

// nextID is the smallest id of a stream after id, which is "ms-sequence".
func nextID(id string) string {
	ms, seq, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err == nil && n+1 != 0 {
		return ms + "-" + strconv.FormatUint(n+1, 10)
	}
	t, _ := strconv.ParseUint(ms, 10, 64)
	return strconv.FormatUint(t+1, 10) + "-0"
}

// flat reads a list of names and values.
func flat(v any) map[string]string {
	m := map[string]string{}
	list, _ := v.([]any)
	for k := 0; k+1 < len(list); k += 2 {
		if list[k+1] != nil {
			m[fmt.Sprint(list[k])] = fmt.Sprint(list[k+1])
		}
	}
	return m
}

package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// answer is what one command of a batch got: a value or the server's refusal.
type answer struct {
	v   any
	err error // of the server; a broken link is the error of the whole batch
}

// batch sends commands in one go. The answers are as many as the commands.
func (c *Client) batch(ctx context.Context, commands [][]any) ([]answer, error) {
	if len(commands) == 0 {
		return nil, nil
	}
	pipe := c.Pipeline()
	sent := make([]*goredis.Cmd, len(commands))
	for k, args := range commands {
		sent[k] = pipe.Do(ctx, args...)
	}
	_, whole := pipe.Exec(ctx)
	all := make([]answer, len(commands))
	for k, cmd := range sent {
		v, err := cmd.Result()
		switch {
		case errors.Is(err, goredis.Nil):
			err = nil
		case err != nil && said(err) == "":
			if ctx.Err() != nil {
				whole = context.Cause(ctx)
			}
			return nil, fmt.Errorf("%s: %s: %w", c.Server, verb(commands[k]), errors.Join(whole))
		case Loading(err):
			return nil, fmt.Errorf("%s: %s: %w", c.Server, verb(commands[k]), err)
		}
		all[k] = answer{v, err}
	}
	return all, nil
}

// scanCount is how many keys a SCAN is asked for: small enough that no writer
// notices, and a pipeline's worth.
const scanCount = 500

// Scan tells all keys of the database in lots. A key may come twice, and one
// that is made or removed meanwhile may come or not (redis.io/commands/scan).
func (c *Client) Scan(ctx context.Context, each func(keys []string) error) error {
	cursor := "0"
	for {
		v, err := c.Call(ctx, "SCAN", cursor, "COUNT", scanCount)
		if err != nil {
			return err
		}
		pair, _ := v.([]any)
		if len(pair) != 2 {
			return fmt.Errorf("%s: SCAN: unexpected answer", c.Server)
		}
		cursor, _ = pair[0].(string)
		if keys := strs(pair[1]); len(keys) > 0 {
			if err := each(keys); err != nil {
				return err
			}
		}
		if cursor == "0" || cursor == "" {
			return nil
		}
	}
}

// entry is one key before its value is read.
type entry struct {
	key    string
	typ    string
	expiry int64 // unix ms; 0: none
	bytes  int64 // about, in the server's memory; -1: the server does not tell
}

// reader asks for keys in the words that the server's version knows.
type reader struct {
	*Client
	abs    bool  // PEXPIRETIME, since Redis 7
	fields bool  // hashes of this database may have fields that expire
	soon   int64 // unix ms: fields that expire before are no part of a fingerprint
}

func (c *Client) reader(i Info) reader {
	return reader{Client: c, abs: i.Since("7.0"), fields: i.Keyspace[c.Server.DB].Fields > 0}
}

// entries looks at keys; those that are gone are left out. A key that expires
// is dated by the clock of the server.
func (r reader) entries(ctx context.Context, keys []string) ([]entry, error) {
	commands := [][]any{{"TIME"}}
	for _, k := range keys {
		expiry := []any{"PTTL", k}
		if r.abs {
			expiry = []any{"PEXPIRETIME", k}
		}
		commands = append(commands, []any{"TYPE", k}, expiry, []any{"MEMORY", "USAGE", k})
	}
	got, err := r.batch(ctx, commands)
	if err != nil {
		return nil, err
	}
	now := serverTime(got[0])
	all := make([]entry, 0, len(keys))
	for n, k := range keys {
		typ, expiry, bytes := got[1+3*n], got[2+3*n], got[3+3*n]
		for _, a := range []answer{typ, expiry} {
			if a.err != nil {
				return nil, fmt.Errorf("%s: key %q: %w", r.Server, shorten(k), a.err)
			}
		}
		e := entry{key: k, bytes: -1}
		e.typ, _ = typ.v.(string)
		e.expiry, _ = expiry.v.(int64)
		if b, ok := bytes.v.(int64); ok && bytes.err == nil {
			e.bytes = b
		}
		switch {
		case e.typ == "none" || e.expiry == -2:
			continue
		case e.expiry == -1:
			e.expiry = 0
		case !r.abs:
			e.expiry += now
		}
		all = append(all, e)
	}
	return all, nil
}

// serverTime reads TIME as unix ms; our own clock where the server tells none.
func serverTime(a answer) int64 {
	pair := strs(a.v)
	if a.err == nil && len(pair) == 2 {
		s, err1 := strconv.ParseInt(pair[0], 10, 64)
		us, err2 := strconv.ParseInt(pair[1], 10, 64)
		if err1 == nil && err2 == nil {
			return s*1000 + us/1000
		}
	}
	return time.Now().UnixMilli()
}

// shorten is a key for an error.
func shorten(key string) string {
	if len(key) > 80 {
		return key[:80] + "…"
	}
	return key
}

package redis

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Sizes that tests lower.
var (
	lotBytes int64 = 4 << 20  // of values on their way at once
	dumpMax  int64 = 32 << 20 // a bigger value goes in pieces: DUMP stops the source while it writes one out
)

// Copier copies the keys of one server to another by SCAN, DUMP and RESTORE. It
// may be run again: every key is replaced, so nothing is doubled.
type Copier struct {
	From, To Server
	// Temp is the key on the target under which a big value is put together
	// before it gets its name. It is removed first, as a crash may have left it.
	Temp string
	// Say tells, now and then, how many keys and about how many bytes are done.
	Say func(keys, bytes int64)

	keys, bytes int64
	pieces      atomic.Bool // the target refuses the source's dumps: values go by the commands of their types
}

// pair is one database on both sides.
type pair struct {
	*Copier
	from    reader
	to      *Client
	abs     bool // RESTORE … ABSTTL, since Redis 5
	fromNew bool // both know what streams have since Redis 7
}

// open connects to one database on both sides.
func (p *Copier) open(ctx context.Context, db int) (*pair, func(), error) {
	from, err := p.From.With(db).Connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	to, err := p.To.With(db).Connect(ctx)
	if err != nil {
		from.Close()
		return nil, nil, err
	}
	closeBoth := func() { from.Close(); to.Close() }
	a, err := from.Info(ctx)
	if err != nil {
		closeBoth()
		return nil, nil, err
	}
	b, err := to.Info(ctx)
	if err != nil {
		closeBoth()
		return nil, nil, err
	}
	if !b.Reads(a) { // else the first refusal tells
		p.pieces.Store(true)
	}
	return &pair{Copier: p, from: from.reader(a), to: to, abs: b.Since("5.0"), fromNew: a.Since("7.0") && b.Since("7.0")}, closeBoth, nil
}

// Database copies all keys of one database.
func (p *Copier) Database(ctx context.Context, db int) error {
	both, closeBoth, err := p.open(ctx, db)
	if err != nil {
		return err
	}
	defer closeBoth()
	if _, err := both.to.Call(ctx, "DEL", p.Temp); err != nil {
		return err
	}
	// Reading the next lot while the last one is written halves the time.
	work, ctx := errgroup.WithContext(ctx)
	lots := make(chan lot, 1)
	work.Go(func() error {
		defer close(lots)
		return both.read(ctx, lots)
	})
	work.Go(func() error {
		for l := range lots {
			if err := both.write(ctx, l); err != nil {
				return err
			}
			p.keys, p.bytes = p.keys+int64(len(l.keys)), p.bytes+l.bytes
			p.Say(p.keys, p.bytes)
		}
		return nil
	})
	return work.Wait()
}

// lot is some keys with their values: what DUMP gave, or nil for one that goes
// in pieces.
type lot struct {
	keys  []entry
	dumps []any
	bytes int64
}

func (p *pair) read(ctx context.Context, lots chan<- lot) error {
	send := func(l lot) error {
		select {
		case lots <- l:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return p.from.Scan(ctx, func(keys []string) error {
		all, err := p.from.entries(ctx, keys)
		if err != nil {
			return err
		}
		var part lot
		for k, e := range all {
			part.keys, part.bytes = append(part.keys, e), part.bytes+max(0, e.bytes)
			if part.bytes < lotBytes && k < len(all)-1 {
				continue
			}
			if part.dumps, err = p.dump(ctx, part.keys); err != nil {
				return err
			}
			if err := send(part); err != nil {
				return err
			}
			part = lot{}
		}
		return nil
	})
}

// dump reads values; nil is a value that goes in pieces, false a key that is gone.
func (p *pair) dump(ctx context.Context, keys []entry) ([]any, error) {
	all := make([]any, len(keys))
	var commands [][]any
	var at []int
	for k, e := range keys {
		if e.bytes <= dumpMax && !p.pieces.Load() {
			commands, at = append(commands, []any{"DUMP", e.key}), append(at, k)
		}
	}
	got, err := p.from.batch(ctx, commands)
	if err != nil {
		return nil, err
	}
	for n, k := range at {
		switch {
		case Refused(got[n].err) && said(got[n].err) == "NOPERM":
			return nil, fmt.Errorf("%s: DUMP: %w", p.From, got[n].err)
		case got[n].err != nil: // renamed or unknown there: in pieces
		case got[n].v == nil:
			all[k] = false
		default:
			all[k] = got[n].v
		}
	}
	return all, nil
}

func (p *pair) write(ctx context.Context, l lot) error {
	var commands [][]any
	var at []int
	var pieces, small []entry
	for k, e := range l.keys {
		dump, whole := l.dumps[k].(string)
		switch {
		case l.dumps[k] == false:
		case p.small(e) && (!whole || p.pieces.Load()):
			small = append(small, e)
		case !whole || p.pieces.Load():
			pieces = append(pieces, e)
		default:
			ttl, abs := p.ttl(e)
			cmd := []any{"RESTORE", e.key, ttl, dump, "REPLACE"}
			if abs {
				cmd = append(cmd, "ABSTTL")
			}
			commands, at = append(commands, cmd), append(at, k)
		}
	}
	got, err := p.to.batch(ctx, commands)
	if err != nil {
		return err
	}
	for n, a := range got {
		e := l.keys[at[n]]
		switch {
		case a.err == nil:
			continue
		case said(a.err) != "ERR":
			return p.fail(e, a.err)
		}
		// A dump of another version (redis.io/commands/restore), most likely.
		if err := p.inPieces(ctx, e); err != nil {
			return fmt.Errorf("%w; as a whole: %w", err, p.fail(e, a.err))
		}
		p.pieces.Store(true)
	}
	if err := p.values(ctx, small); err != nil {
		return err
	}
	for _, e := range pieces {
		if err := p.inPieces(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// ttl is what RESTORE is given: 0 for none; a moment, or what is left.
func (p *pair) ttl(e entry) (ms int64, abs bool) {
	if e.expiry == 0 || p.abs {
		return e.expiry, p.abs && e.expiry != 0
	}
	return max(1, e.expiry-time.Now().UnixMilli()), false
}

func (p *pair) fail(e entry, err error) error {
	if Full(err) {
		return &FullError{p.To, e.key, err}
	}
	return fmt.Errorf("%s: key %q (%s): %w", p.To, shorten(e.key), e.typ, err)
}

// FullError is a target that has no room left.
type FullError struct {
	Server Server
	Key    string
	Err    error
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%s: it has no memory left for key %q: %v", e.Server, shorten(e.Key), e.Err)
}
func (e *FullError) Unwrap() error { return e.Err }

// Extra removes from the target what the source does not have (any more), and
// counts it. It is for targets that hold nothing but a copy.
func (p *Copier) Extra(ctx context.Context, db int) (removed int64, err error) {
	both, closeBoth, err := p.open(ctx, db)
	if err != nil {
		return 0, err
	}
	defer closeBoth()
	err = both.to.Scan(ctx, func(keys []string) error {
		var ask, drop [][]any
		for _, k := range keys {
			ask = append(ask, []any{"EXISTS", k})
		}
		got, err := both.from.batch(ctx, ask)
		if err != nil {
			return err
		}
		for n, a := range got {
			if a.err != nil {
				return fmt.Errorf("%s: EXISTS: %w", p.From, a.err)
			}
			if a.v == int64(0) {
				drop = append(drop, []any{"DEL", keys[n]})
			}
		}
		done, err := both.to.batch(ctx, drop)
		for _, a := range done {
			if a.err != nil {
				return fmt.Errorf("%s: DEL: %w", p.To, a.err)
			}
			if n, _ := a.v.(int64); n > 0 {
				removed++
			}
		}
		return err
	})
	return removed, err
}

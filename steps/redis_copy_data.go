package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"belay/steps/redis"
)

// redisLook is the time between two looks at a copy under way.
var redisLook = 200 * time.Millisecond

// replicate makes the target follow, and waits until it has caught up.
func (r *redisCopy) replicate(ctx context.Context, e Env, p *redisPair, mine *redisMine) error {
	if !redis.Follows(p.b, p.a) && !(p.b.Role == "slave" && p.b.Master == p.source) {
		mine.Login = true
		if err := e.Memory.Put(redisMineKey, *mine); err != nil {
			return err
		}
		fmt.Fprintf(e.Log, "-- REPLICAOF %s on %s (%s there)\n", p.source, p.to.Server, p.b.Spaces())
		if err := p.to.Follow(ctx, p.source, p.from.Server.User, p.from.Server.Password); err != nil {
			return fmt.Errorf("make the target follow: %w", err)
		}
	}
	err := r.follow(ctx, e, p, mine)
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrDetach) {
		// Not to go on is what was asked for: the copy would.
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer stop()
		if perr := p.to.Promote(end); perr != nil {
			err = errors.Join(err, perr)
		}
	}
	return err
}

// follow watches until the target has what the source had when it looked up to
// date. The servers need us for nothing: a lost link is waited for.
func (r *redisCopy) follow(ctx context.Context, e Env, p *redisPair, mine *redisMine) error {
	patience := time.Duration(r.Patience)
	headway, last, lost := time.Now(), "", false
	found := p.a.RunID // the run of the source that has the address which the target was told
	for {
		err := p.look(ctx)
		_, away := errors.AsType[*boxError](err)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case redis.Broken(err) || redis.Loading(err) || away && p.find != nil:
			if !lost {
				e.Link(fmt.Sprintf("lost (%v); the copy goes on by itself", err))
			}
			lost = true
			if time.Since(headway) > patience {
				return fmt.Errorf("no answer for %v: %w; the target goes on following by itself: try again when the servers are back", r.Patience, err)
			}
		case err != nil:
			return err
		default:
			if lost {
				e.Link("connected again")
			}
			lost = false
			done, mark, err := r.headway(e, p, mine)
			if done || err != nil {
				return err
			}
			if p.a.RunID != found && !p.a.Loading {
				if err := r.moved(ctx, e, p, mine); err != nil {
					return err
				}
				found = p.a.RunID
			}
			if mark != last {
				last, headway = mark, time.Now()
			} else if time.Since(headway) > patience {
				return r.stuck(ctx, p)
			}
		}
		if err := pause(ctx, redisLook); err != nil {
			return err
		}
	}
}

// moved tells the target where the source is, when its container was started
// again and has another address: the old one may be another server's by now.
func (r *redisCopy) moved(ctx context.Context, e Env, p *redisPair, mine *redisMine) error {
	if p.find == nil {
		return nil
	}
	now, err := p.find(ctx)
	if err != nil || now == p.source {
		return err
	}
	p.source = now
	if err := p.reach(ctx); err != nil {
		return fmt.Errorf("the source's container was started again and is at %s now: %w; the target still follows %s", now, err, mine.Source)
	}
	mine.tell(now)
	if err := e.Memory.Put(redisMineKey, *mine); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- the source's container was started again: REPLICAOF %s on %s (it was %s)\n", now, p.to.Server, mine.Before)
	return p.to.Follow(ctx, now, p.from.Server.User, p.from.Server.Password)
}

// headway tells how far the copy is; mark changes as long as it moves.
func (r *redisCopy) headway(e Env, p *redisPair, mine *redisMine) (done bool, mark string, err error) {
	a, b := p.a, p.b
	switch {
	case a.RunID != mine.Run && mine.HadKeys && a.Keys() == 0 && !a.Loading:
		return false, "", fmt.Errorf("%s was started again and came back empty; whoever follows it is emptied too. It has no persistence, or lost it: look for its data before you go on. The target follows it: undo this step, or stop following", p.from.Server)
	case b.Role != "slave":
		return false, "", fmt.Errorf("%s does not follow any more: it was promoted or started again meanwhile; try again to begin anew", p.to.Server)
	case b.Syncing:
		e.Say(Progress{Done: b.SyncRead, Total: max(0, b.SyncTotal), Unit: "B", Text: "first copy"})
		return false, fmt.Sprint("sync ", b.SyncRead), nil
	case !b.LinkUp || b.ReplID != a.ReplID:
		e.Say(Progress{Text: fmt.Sprintf("the target is not connected to the source yet (source: %d replicas)", len(a.Replicas))})
		return false, fmt.Sprint("down ", len(a.Replicas)), nil
	}
	lag := max(0, a.Offset-b.Offset)
	e.Say(Progress{Done: b.Offset, Total: a.Offset, Unit: "B", Text: fmt.Sprintf("following, %d bytes behind", lag)})
	if lag <= redisLag {
		fmt.Fprintf(e.Log, "-- %s follows, %d bytes behind: %s\n", p.to.Server, lag, b.Spaces())
		return true, "", nil
	}
	return false, fmt.Sprint("offset ", b.Offset), nil
}

// redisLag is how far behind a target counts as following: the writes of a
// moment. The two offsets are not read at the same time.
const redisLag = 1 << 20

// stuck asks what the target's INFO does not tell: why it does not connect.
func (r *redisCopy) stuck(ctx context.Context, p *redisPair) error {
	why := p.reach(ctx)
	if why == nil {
		why = errors.New("the source answers from there; the target's own log says why (a password, TLS, memory, the disk)")
	}
	return fmt.Errorf("%s makes no headway in following %s for %v: %w; the source was not changed, and the target holds no more than a part of the copy", p.to.Server, p.source, r.Patience, why)
}

// scan copies key by key, and removes what the source has no longer.
func (r *redisCopy) scan(ctx context.Context, e Env, p *redisPair, mine *redisMine) error {
	if p.b.Role == "slave" {
		return fmt.Errorf("%s follows %s; a copy key by key needs one that takes writes; nothing was changed", p.to.Server, p.b.Master)
	}
	mark, err := p.from.WriteMark(ctx)
	if err != nil {
		return err
	}
	mine.Mark, mine.Filled, mine.Done = mark, "", false
	if err := e.Memory.Put(redisMineKey, *mine); err != nil {
		return err
	}
	if _, err := redisScan(ctx, e, p, mine); err != nil {
		return err
	}
	mine.Filled, err = p.to.WriteMark(ctx)
	return err
}

// redisScan is one whole pass: all databases, libraries, and then what is too
// much on the target. It returns how many keys came.
func redisScan(ctx context.Context, e Env, p *redisPair, mine *redisMine) (int64, error) {
	var keys int64
	total := p.a.Keys()
	copier := redis.Copier{From: p.from.Server, To: p.to.Server, Temp: "belay-copy-" + e.ID, Say: func(n, bytes int64) {
		keys = n
		e.Say(Progress{Done: n, Total: max(total, n), Unit: "keys", Text: fmt.Sprintf("about %d MB", bytes>>20)})
	}}
	libraries, err := p.from.Functions(ctx)
	if err != nil {
		return 0, err
	}
	if len(libraries) > 0 && p.b.Since("7.0") {
		mine.Functions = true
		if err := e.Memory.Put(redisMineKey, *mine); err != nil {
			return 0, err
		}
		if err := p.from.CopyFunctions(ctx, p.to); err != nil {
			return 0, fmt.Errorf("functions: %w; no key was copied, the source was not changed", err)
		}
	}
	for _, db := range p.a.DBs() {
		if err := copier.Database(ctx, db); err != nil {
			return keys, redisCopyError(db, err)
		}
	}
	// Also a database that is empty by now is looked through.
	for _, db := range p.b.DBs() {
		n, err := copier.Extra(ctx, db)
		if err != nil {
			return keys, redisCopyError(db, err)
		}
		if n > 0 {
			fmt.Fprintf(e.Log, "-- db%d: removed %d keys that the source has no longer\n", db, n)
		}
	}
	fmt.Fprintf(e.Log, "-- %d keys copied\n", keys)
	return keys, nil
}

func redisCopyError(db int, err error) error {
	next := "the source was not changed; the target holds a part of the copy: try again, and every key is copied anew"
	if full, ok := errors.AsType[*redis.FullError](err); ok {
		err, next = full, "raise its maxmemory (or give the machine more), and try again"
	}
	return fmt.Errorf("db%d: %w; %s", db, err, next)
}

// Verify asks the other side. Of a target that follows: the source's own list
// of replicas, one history, and that what the source has now arrives. Of one
// that was filled key by key: counts and a sample of values, which only a
// source that stands still makes exact.
func (r *redisCopy) Verify(ctx context.Context, e Env) error {
	p, mine, _, err := r.state(ctx, e)
	if err != nil {
		return err
	}
	defer p.close()
	if promoted, _ := redis.PromotedFrom(p.b, p.a); promoted {
		return nil
	}
	if mine.By == "scan" {
		return redisVerifyScan(ctx, e, p, mine)
	}
	want := p.a.Offset
	for begun := time.Now(); ; {
		// The source calls a replica online once that has spoken up, up to a
		// second after it says itself that it follows.
		follows := redis.Follows(p.b, p.a) && p.b.Offset >= want
		if follows && slices.ContainsFunc(p.a.Replicas, func(seen redis.Replica) bool { return seen.State == "online" }) {
			return nil
		}
		switch over := time.Since(begun) > time.Duration(r.Patience); {
		case over && follows:
			return fmt.Errorf("%s lists no replica that is online, though the target says that it follows", p.from.Server)
		case over:
			return fmt.Errorf("%s is %d bytes behind what the source had %v ago (link up: %v)", p.to.Server, want-p.b.Offset, r.Patience, p.b.LinkUp)
		}
		if err := pause(ctx, redisLook); err != nil {
			return err
		}
		if err := p.look(ctx); err != nil {
			return err
		}
	}
}

func redisVerifyScan(ctx context.Context, e Env, p *redisPair, mine redisMine) error {
	if p.a.Keys() > 0 && p.b.Keys() == 0 {
		return fmt.Errorf("the target is empty, the source holds %s", p.a.Spaces())
	}
	mark, err := p.from.WriteMark(ctx)
	if err != nil {
		return err
	}
	if mark == "" || mark != mine.Mark {
		fmt.Fprintf(e.Log, "-- the source was written to since the copy (%s there, %s here): redis.switch makes the last pass\n", p.a.Spaces(), p.b.Spaces())
		return nil
	}
	if !redis.SameLasting(p.a, p.b) {
		return fmt.Errorf("the source stands still and holds %s, the target %s", p.a.Spaces(), p.b.Spaces())
	}
	for _, db := range p.a.DBs() {
		unlike, err := redis.Sample(ctx, p.from.Server.With(db), p.to.Server.With(db), redisSample)
		if err != nil {
			return err
		}
		if len(unlike) > 0 {
			return fmt.Errorf("db%d: of %d random keys these are not alike: %.300q", db, redisSample, unlike)
		}
	}
	return nil
}

// redisSample is how many keys of a database Verify looks at; `compare` looks
// at all.
const redisSample = 100

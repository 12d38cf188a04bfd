package steps

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"belay/steps/redis"
)

// Losses implements Loser: what the target took of writes of its own.
func (r *redisCopy) Losses(ctx context.Context, e Env) ([]Loss, error) {
	var mine redisMine
	if found, err := e.Memory.Get(redisMineKey, &mine); err != nil || !found {
		return nil, err
	}
	to, err := r.To.server(ctx, e)
	if err != nil {
		return nil, err
	}
	c, err := to.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	i, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	var mark redisMark
	marked, err := e.Memory.Get(lossMarkKey, &mark)
	if err != nil {
		return nil, err
	}
	since := "since it was filled"
	if marked && mark.Mark != "" && mine.By == "scan" {
		mine.Filled, since = mark.Mark, mark.Since
	}
	l, err := redisLoss(ctx, c, i, mine, since, redisPasses(e))
	l.Store = to.String()
	if err == nil && l.Count != 0 {
		l.Detail = strings.Trim(l.Detail+"; it has "+i.Spaces()+" now", "; ")
		l.Kept = "its data stay where they are, for nobody to use"
	}
	return []Loss{l}, err
}

// redisMark is the moment that Losses counts from, instead of the filling's.
type redisMark struct {
	Since string `json:"since"`
	Mark  string `json:"mark"`
}

// Mark implements Marker. One that was filled by replication needs none: it
// knows itself since when it takes writes of its own.
func (r *redisCopy) Mark(ctx context.Context, e Env, since string) error {
	to, err := r.To.server(ctx, e)
	if err != nil {
		return err
	}
	c, err := to.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	mark, err := c.WriteMark(ctx)
	if err != nil {
		return err
	}
	return e.Memory.Put(lossMarkKey, redisMark{since, mark})
}

func redisLoss(ctx context.Context, c *redis.Client, i redis.Info, mine redisMine, since string, passes []redisPass) (Loss, error) {
	switch {
	case i.Role == "slave" && mine.told(i.Master):
		return Loss{Since: "there: it still follows the source"}, nil
	case i.Role == "slave":
		return Loss{}, fmt.Errorf("%s follows %s now, so what is in it is not known", c.Server, i.Master)
	case i.ReplID2 != "" && i.Offset >= i.SecondOffset:
		return Loss{Count: i.Offset - i.SecondOffset + 1, Unit: "B", Since: "since it stopped to follow the source", Detail: "commands, as replicas are sent them"}, nil
	case i.ReplID2 != "":
		return Loss{Since: "since it stopped to follow the source"}, nil
	case mine.By != "scan" || !mine.Done:
		return Loss{Count: -1, Since: since}, nil
	}
	mark, err := c.WriteMark(ctx)
	if err != nil {
		return Loss{}, err
	}
	l := Loss{Unit: "write commands", Since: since}
	was, then, ok := strings.Cut(mine.Filled, " ")
	is, now, known := strings.Cut(mark, " ")
	before, err1 := strconv.ParseInt(then, 10, 64)
	after, err2 := strconv.ParseInt(now, 10, 64)
	switch {
	case !ok || !known || is != was || err1 != nil || err2 != nil || after < before: // not let to look, or started again
		l.Count, l.Unit = -1, ""
	default:
		for _, p := range passes { // what was there before, a last pass wrote over
			run, at, _ := strings.Cut(p.Mark, " ")
			if n, err := strconv.ParseInt(at, 10, 64); err == nil && run == is && n <= after {
				before = max(before, n)
			}
		}
		l.Count = after - before
	}
	return l, nil
}

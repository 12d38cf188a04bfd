package steps

import (
	"context"
	"fmt"
	"slices"

	"belay/remote"
	"belay/steps/redis"
)

// Undo stops following, and empties the target that this step filled; it puts
// back settings and users. A target that was promoted and took writes of its
// own is left as it is.
func (r *redisCopy) Undo(ctx context.Context, e Env) error {
	var mine redisMine
	if found, err := e.Memory.Get(redisMineKey, &mine); err != nil {
		return err
	} else if !found {
		fmt.Fprintln(e.Log, "-- nothing was done here, so there is nothing to undo")
		return nil
	}
	to, err := r.To.server(ctx, e)
	if err != nil {
		return err
	}
	c, err := to.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	i, err := c.Info(ctx)
	if err != nil {
		return err
	}
	if err := r.empty(ctx, e, c, i, mine); err != nil {
		return err
	}
	return redisPutBack(ctx, e, c, mine)
}

// empty takes the data out again, where they are nothing but the copy.
func (r *redisCopy) empty(ctx context.Context, e Env, c *redis.Client, i redis.Info, mine redisMine) error {
	switch {
	case i.Role == "slave" && !mine.told(i.Master):
		return fmt.Errorf("%s follows %s now, which is not this step's doing; it was left as it is", c.Server, i.Master)
	case i.Role == "slave":
		if err := c.Promote(ctx); err != nil {
			return err
		}
	case i.ReplID2 != "" && i.Offset >= i.SecondOffset:
		fmt.Fprintf(e.Log, "-- %s was promoted and took %s of writes that are nowhere else; its data (%s) stay, empty it yourself when nobody needs them\n",
			c.Server, remote.FormatBytes(i.Offset-i.SecondOffset+1), i.Spaces())
		return nil
	}
	if mine.By == "scan" && mine.Done {
		why, err := r.foreign(ctx, e, c, mine)
		if err != nil {
			return err
		}
		if why != "" {
			fmt.Fprintf(e.Log, "-- %s, so the data of %s (%s) stay; empty it yourself when nobody needs them\n", why, c.Server, i.Spaces())
			return nil
		}
	}
	if _, err := c.Call(ctx, "FLUSHALL"); err != nil {
		return fmt.Errorf("%w; the copy is still there", err)
	}
	if mine.Functions || mine.By == "replication" && i.Since("7.0") {
		if _, err := c.Call(ctx, "FUNCTION", "FLUSH"); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.Log, "-- emptied %s, which was empty before\n", c.Server)
	return nil
}

// foreign says why the data of a target that was filled key by key may not be
// taken out; "": they are the copy, or what a switch's last pass made of it, and
// the source has them.
func (r *redisCopy) foreign(ctx context.Context, e Env, c *redis.Client, mine redisMine) (string, error) {
	mark, err := c.WriteMark(ctx)
	if err != nil {
		return "", err
	}
	if mark != "" && mark == mine.Filled {
		return "", nil
	}
	passes := redisPasses(e)
	i := slices.IndexFunc(passes, func(p redisPass) bool { return mark != "" && p.Mark == mark })
	if i < 0 {
		return "it was written to since it was filled (by its clients, or it was started again)", nil
	}
	from, err := r.From.server(ctx, e)
	if err != nil {
		return "", err
	}
	old, err := from.Connect(ctx)
	if err != nil {
		return fmt.Sprintf("the source does not answer (%v), and nobody knows whether it still has what the last pass brought", err), nil
	}
	defer old.Close()
	has, err := old.Info(ctx)
	if err != nil {
		return "", err
	}
	if passes[i].Keys > 0 && has.Keys() == 0 {
		return fmt.Sprintf("%s holds no keys, and held %d when the last pass of the switch was made", from, passes[i].Keys), nil
	}
	return "", nil
}

func redisPutBack(ctx context.Context, e Env, c *redis.Client, mine redisMine) error {
	if mine.Login {
		if err := c.ForgetMaster(ctx); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(redisKeys(mine.Settings)) {
		if err := c.Set(ctx, name, mine.Settings[name]); err != nil {
			return err
		}
		fmt.Fprintf(e.Log, "-- %s is %q again\n", name, mine.Settings[name])
	}
	for _, name := range mine.Users {
		if err := c.DropUser(ctx, name); err != nil {
			return err
		}
		fmt.Fprintf(e.Log, "-- removed user %s\n", name)
	}
	if len(mine.Settings)+len(mine.Users) > 0 {
		told, err := c.Keep(ctx)
		if told != "" {
			fmt.Fprintln(e.Log, "-- note:", told)
		}
		return err
	}
	return nil
}

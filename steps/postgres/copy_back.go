package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Free says why the target cannot be copied into now; nil when it can. The
// error wraps ErrNotOurs when something is in the way. It changes nothing.
func (c Copy) Free(ctx context.Context) error {
	cl, err := claimTarget(ctx, c.To, c.ID, c.Beside)
	if err != nil {
		return err
	}
	cl.release(ctx)
	return nil
}

// Contents names what people, and belay, put into a database: "table
// public.users"; extensions too.
func Contents(ctx context.Context, s Server, beside []string) ([]string, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return contents(ctx, conn, beside)
}

func contents(ctx context.Context, conn *pgx.Conn, beside []string) ([]string, error) {
	all, err := objects(ctx, conn, beside)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, o := range all {
		names[i] = o.String()
	}
	err = query(ctx, conn, func(rows pgx.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, "extension "+ident(name))
		return err
	}, "select extname from pg_catalog.pg_extension order by 1")
	return names, err
}

// Empty takes a copy back out of a database that was there before it: what is
// in before stays. made is what Contents said when the copy was whole, nil when
// it never was; anything besides is somebody else's, and then nothing is
// dropped. It returns false when there is no copy of c.ID to take back.
func (c Copy) Empty(ctx context.Context, made []string) (bool, error) {
	conn, err := c.To.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	owner, _, _, err := claimOf(ctx, conn)
	if err != nil {
		return false, err
	}
	if made == nil && owner != c.ID {
		return false, nil
	}
	now, err := contents(ctx, conn, c.Beside)
	if err != nil {
		return false, err
	}
	var others []string
	for _, o := range now {
		if made != nil && !slices.Contains(made, o) && !slices.Contains(c.Before, o) {
			others = append(others, o)
		}
	}
	if len(others) > 0 {
		return false, fmt.Errorf("%w: in %s there is by now what this step did not make: %s; nothing was dropped: save or drop that yourself, then roll back again",
			ErrNotOurs, c.To, listed(others))
	}
	if err := dropAll(ctx, conn, c.Beside, c.Before); err != nil {
		return false, fmt.Errorf("empty %s: %w", c.To, err)
	}
	for _, o := range now {
		if name, ok := cutExtension(o); ok && !slices.Contains(c.Before, o) {
			if _, err := conn.Exec(ctx, "drop extension if exists "+name+" cascade"); err != nil {
				return false, fmt.Errorf("empty %s: %s: %w", c.To, o, err)
			}
		}
	}
	return true, nil
}

func cutExtension(o string) (string, bool) {
	const kind = "extension "
	if len(o) > len(kind) && o[:len(kind)] == kind {
		return o[len(kind):], true
	}
	return "", false
}

// Recount counts every table of s anew and compares with what was copied; all
// differences come in one error. So does an index that is not valid.
func Recount(ctx context.Context, s Server, want []Count, jobs int, say func(Progress)) error {
	g, gctx := errgroup.WithContext(ctx)
	todo := make(chan Count)
	var mu sync.Mutex
	var differ []error
	done := int64(0)
	for range max(jobs, 1) {
		g.Go(func() error {
			conn, err := s.Connect(gctx)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			if err := steady(gctx, conn); err != nil {
				return err
			}
			for t := range todo {
				var n int64
				if err := conn.QueryRow(gctx, "select count(*) from only "+ident(t.Schema, t.Name)).Scan(&n); err != nil {
					return fmt.Errorf("count %s: %w", Named(t.Schema, t.Name), err)
				}
				mu.Lock()
				if n != t.Rows {
					differ = append(differ, fmt.Errorf("%s has %d rows, and %d were copied", Named(t.Schema, t.Name), n, t.Rows))
				}
				done++
				say(Progress{Done: done, Total: int64(len(want)), Text: "counted " + Named(t.Schema, t.Name)})
				mu.Unlock()
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(todo)
		for _, t := range want {
			select {
			case todo <- t:
			case <-gctx.Done():
				return nil
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	if err := errors.Join(differ...); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return wholeSchema(ctx, s)
}

func wholeSchema(ctx context.Context, s Server) error {
	conn, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	owner, _, _, err := claimOf(ctx, conn)
	if err != nil {
		return err
	}
	if owner != "" {
		return fmt.Errorf("%s: a copy into it is not whole", s)
	}
	var bad []string
	err = query(ctx, conn, func(rows pgx.Rows) error {
		var schema, name string
		err := rows.Scan(&schema, &name)
		bad = append(bad, Named(schema, name))
		return err
	}, "select n.nspname, c.relname from pg_catalog.pg_index x join pg_catalog.pg_class c on c.oid = x.indexrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace where not x.indisvalid order by 1, 2")
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("%s: indexes that are not valid: %s", s, listed(bad))
	}
	return err
}

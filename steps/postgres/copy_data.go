package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// dataJobs are the rows, and what can follow each table by itself: its keys,
// its indexes, its foreign keys, its statistics.
func (c *copying) dataJobs() []*job {
	var jobs []*job
	of := map[string][]*job{} // by table: what its indexes come after
	for _, p := range around(split(c.tables, c.Split, max(c.Jobs, 1), c.snap.Version), c.claim.done) {
		j := &job{what: p.key(), weight: p.bytes(), run: func(ctx context.Context, w *worker) error { return c.copyPart(ctx, w, p) }}
		jobs = append(jobs, j)
		of[p.ident()] = append(of[p.ident()], j)
	}
	jobs = append(jobs, c.largeJob())
	size := map[string]int64{}
	for _, t := range c.tables {
		size[t.ident()] = t.Bytes
	}
	// A key takes a lock that keeps others from the table, so keys come one
	// after the other; then plain indexes at the same time.
	all := map[string][]*job{} // by table: all of it so far
	// Of how long it took to copy the rows, a key or an index takes some third,
	// a foreign key a sixth, as measured.
	for _, kind := range []string{"CONSTRAINT", "INDEX"} {
		for i, e := range c.post.entries {
			table, ok := c.owner[e.Schema+"."+e.Name]
			if e.Type != kind || !ok || of[table] == nil {
				continue
			}
			j := c.entryJob(e, size[table]/3)
			j.after = of[table]
			jobs = append(jobs, j)
			c.post.entries[i].begun = true
			if kind == "CONSTRAINT" {
				of[table] = []*job{j}
			} else {
				all[table] = append(all[table], j)
			}
		}
	}
	for table, some := range of {
		all[table] = append(all[table], some...)
	}
	jobs = append(jobs, c.foreignJobs(all, size)...)
	return append(jobs, c.analyzeJobs(all)...)
}

// foreignJobs are foreign keys between plain tables. One locks both, so those
// of a table come one after the other. all is told of them.
func (c *copying) foreignJobs(all map[string][]*job, size map[string]int64) []*job {
	var jobs []*job
	for i, e := range c.post.entries {
		on, ok := c.foreign[e.Schema+"."+e.Name]
		if e.Type != "FK CONSTRAINT" || !ok || all[on[0]] == nil || all[on[1]] == nil {
			continue
		}
		j := c.entryJob(e, size[on[0]]/6)
		j.after = slices.Concat(all[on[0]], all[on[1]])
		all[on[0]], all[on[1]] = []*job{j}, []*job{j}
		c.post.entries[i].begun = true
		jobs = append(jobs, j)
	}
	return jobs
}

// analyzeJobs are the statistics of tables that wait for nothing but what is
// in all.
func (c *copying) analyzeJobs(all map[string][]*job) []*job {
	var jobs []*job
	for _, t := range c.tables {
		if !t.special && !c.extended[t.ident()] {
			j := c.analyzeJob(t)
			j.after = all[t.ident()]
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// noted tells whether what is done already, by this attempt or an earlier one,
// and its number. The target is asked only after an error, which may have hit
// the answer to a commit.
func (c *copying) noted(ctx context.Context, w *worker, to *pgx.Conn, what string) (n int64, done bool, err error) {
	if n, done = c.claim.done[what]; done || !w.again {
		return n, done, nil
	}
	err = to.QueryRow(ctx, "select n from "+claimSchema+".done where what = $1", what).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	return n, err == nil, err
}

// copyPart copies a part in one transaction, with its mark.
func (c *copying) copyPart(ctx context.Context, w *worker, p part) error {
	to, err := w.target(ctx)
	if err != nil {
		return err
	}
	pass, done, failed := c.meter.part(p)
	if n, noted, err := c.noted(ctx, w, to, p.key()); noted || err != nil {
		if noted {
			done(n)
		}
		return err
	}
	from, err := w.source(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	alone := p.n == 1 && !p.special
	sql := "begin"
	if alone {
		sql += "; truncate only " + p.ident()
	}
	if _, err := to.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		return err
	}
	binary := c.binary && p.binary && len(p.columns) > 0
	n, err := pump(ctx, from, to, p.copyOut(binary), p.copyIn(binary, alone), pass)
	if err == nil {
		_, err = to.PgConn().Exec(ctx, mark(p.key(), n)+"; commit").ReadAll()
	}
	if err != nil {
		failed()
		w.reset(ctx)
		return err
	}
	done(n)
	if p.n == 1 {
		c.log("%s: %d rows in %s", p.Table, n, time.Since(began).Round(time.Millisecond))
	} else {
		c.log("%s, part %d of %d: %d rows in %s", p.Table, p.i+1, p.n, n, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

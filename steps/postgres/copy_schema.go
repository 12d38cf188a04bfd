package postgres

import (
	"context"
	"fmt"
	"strings"
)

const (
	batchEntries = 100       // of one transaction: each may take several locks
	batchBytes   = 256 << 10 // of one message
)

// makeSchema makes what must be there before rows: extensions, types,
// functions, tables, views.
func (c *copying) makeSchema(ctx context.Context, w *worker) error {
	c.meter.say(Progress{Total: c.meter.total, Text: fmt.Sprintf("%d objects of the schema", len(c.pre.entries))})
	var batch []entry
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		some := batch
		batch, size = nil, 0
		return c.runBatch(ctx, w, some)
	}
	for _, e := range c.pre.entries {
		e = softened(e)
		if e.Type == "COMMENT" && strings.HasPrefix(e.Name, "EXTENSION ") {
			if err := flush(); err != nil {
				return err
			}
			c.commentExtension(ctx, w, e)
			continue
		}
		if len(batch) == batchEntries || size > batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, e)
		size += len(e.SQL)
	}
	return flush()
}

// softened lets a schema be there already: "public" always is.
func softened(e entry) entry {
	if e.Type == "SCHEMA" {
		e.SQL = strings.Replace(e.SQL, "\nCREATE SCHEMA ", "\nCREATE SCHEMA IF NOT EXISTS ", 1)
	}
	return e
}

// commentExtension changes nothing but words, and only superusers may do it
// for most extensions.
func (c *copying) commentExtension(ctx context.Context, w *worker, e entry) {
	if err := w.within(ctx, e.key(), 0, e.SQL); err != nil {
		c.log("%s: left out: %v", e, err)
	}
}

// runBatch makes objects in one transaction. When it fails, they are made one
// by one, so that the error names the one that cannot be made.
func (c *copying) runBatch(ctx context.Context, w *worker, batch []entry) error {
	var sql strings.Builder
	for _, e := range batch {
		sql.WriteString(e.SQL)
		sql.WriteString("\n;")
	}
	what := fmt.Sprintf("schema %d to %d", batch[0].n, batch[len(batch)-1].n)
	err := w.do(ctx, &job{what: what, run: func(ctx context.Context, w *worker) error { return w.within(ctx, what, 0, sql.String()) }})
	if err == nil || len(batch) == 1 || ctx.Err() != nil {
		return c.explain(err, batch[0])
	}
	c.log("%v; making these %d objects one by one", err, len(batch))
	for _, e := range batch {
		if err := w.do(ctx, c.entryJob(e, 0)); err != nil {
			return c.explain(err, e)
		}
	}
	return nil
}

func (c *copying) explain(err error, e entry) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("make %s in %s: %w", e, c.To, err)
}

func (c *copying) entryJob(e entry, weight int64) *job {
	return &job{what: e.key(), weight: weight, build: true, run: func(ctx context.Context, w *worker) error {
		c.meter.tell(e.String())
		sql := e.SQL
		if c.single && !w.alone {
			// Several share what one sorts, and are busy for longer together.
			sql = "set local max_parallel_maintenance_workers = 0;\n" + sql
		}
		return w.within(ctx, e.key(), 0, sql)
	}}
}

// finishSchema makes what comes after rows: what is left of keys and indexes
// (of views and of partitioned tables), of foreign keys, and then all else in the
// order of the dump: triggers, policies, event triggers, publications,
// materialized views' rows.
func (c *copying) finishSchema(ctx context.Context, workers []*worker) error {
	waves := []struct {
		types    string
		parallel bool
	}{
		{" CONSTRAINT INDEX STATISTICS ", true},
		{" INDEX ATTACH ", false},
		{" FK CONSTRAINT ", true},
		{"", false},
	}
	for _, wave := range waves {
		var jobs []*job
		for i := range c.post.entries {
			e := &c.post.entries[i]
			if e.begun || wave.types != "" && !waveHas(wave.types, e.Type) {
				continue
			}
			e.begun = true
			j := c.entryJob(*e, int64(len(c.post.entries)-i))
			if !wave.parallel && len(jobs) > 0 {
				j.after = jobs[len(jobs)-1:]
			}
			jobs = append(jobs, j)
		}
		if len(jobs) > 0 {
			c.meter.note(fmt.Sprintf("%d objects after the rows", len(jobs)))
		}
		if err := work(ctx, workers, jobs); err != nil {
			return err
		}
	}
	return c.analyze(ctx, workers)
}

// waveHas compares whole types: several are of one word, some of two.
func waveHas(types, t string) bool {
	switch types {
	case " INDEX ATTACH ", " FK CONSTRAINT ":
		return strings.TrimSpace(types) == t
	}
	return !strings.Contains(t, " ") && strings.Contains(types, " "+t+" ")
}

// analyzeJob gives the planner a table's statistics; without them the first
// queries on the new server may take for ever.
func (c *copying) analyzeJob(t Table) *job {
	what := "analyze " + t.ident()
	return &job{what: what, weight: t.Bytes / 16, build: true, run: func(ctx context.Context, w *worker) error {
		c.meter.tell("statistics of " + t.String())
		return w.within(ctx, what, 0, what)
	}}
}

// analyze does so for what had to wait for the rest of the schema.
func (c *copying) analyze(ctx context.Context, workers []*worker) error {
	var jobs []*job
	for _, t := range c.tables {
		if !t.special && c.extended[t.ident()] {
			jobs = append(jobs, c.analyzeJob(t))
		}
	}
	others, err := c.parents(ctx)
	if err != nil {
		return err
	}
	for _, name := range others {
		what := "analyze " + name
		jobs = append(jobs, &job{what: what, build: true, run: func(ctx context.Context, w *worker) error { return w.within(ctx, what, 0, what) }})
	}
	return work(ctx, workers, jobs)
}

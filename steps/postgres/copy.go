package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Copy is a copy of one database into another that is there and empty.
type Copy struct {
	From, To Server
	ID       string // of who copies: the same when it is begun again after a crash
	Scope    Scope
	Jobs     int      // sessions on each side that copy at the same time, at least 1; half as many more build indexes meanwhile
	Crowded  bool     // Jobs leave no processor of the target idle
	Sort     int64    // bytes of memory that one index may take to be built; 0: what the server gives
	Split    int64    // tables of more bytes are copied in parts; 0: never
	Owners   bool     // owners and grants are copied; else all belongs to who logs in to the target
	Text     bool     // never in binary form
	Bare     bool     // definitions only: no rows, no large objects, sequences where they begin
	Frozen   bool     // nothing writes to the source: what an earlier attempt copied is still right
	Beside   []string // schemas of the target whose contents are none of the copy's business
	Before   []string // of Contents, before the first attempt: never dropped

	Log func(format string, args ...any)
	Say func(Progress)
}

// Progress is how far a copy has come. Bytes are of the source's disk, so that
// they can be compared with what is still to do.
type Progress struct {
	Done, Total int64
	Text        string
}

// Copied is what a copy has brought over.
type Copied struct {
	Tables []Count `json:"tables"`
	Rows   int64   `json:"rows"`
	Bytes  int64   `json:"bytes"` // that went over the line
	Large  int64   `json:"large,omitempty"`
	At     string  `json:"at"` // of the snapshot

	Counting string `json:"counting,omitempty"` // since when the target counts what is written; see Since
}

// Count is a table and how many rows it got.
type Count struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
}

// copying is a Copy under way.
type copying struct {
	Copy
	snap     *Snapshot
	claim    *claim
	meter    *meter
	tables   []Table
	pre      dump
	post     dump
	owner    map[string]string    // "schema.index" or "schema.table constraint" → table, as ident writes it
	foreign  map[string][2]string // "schema.table constraint" → the two tables; where both are plain
	extended map[string]bool      // tables with statistics objects, as ident writes them
	binary   bool                 // both servers are of one major version
	single   bool                 // an index is built by one process of the target while others have work
	client   string               // encoding on the line
	large    int64
}

// Run copies. When it returns without error the target is whole, but for
// Finish. It may be called again after a crash or an error, with the same ID.
func (c Copy) Run(ctx context.Context) (Copied, error) {
	cl, err := claimTarget(ctx, c.To, c.ID, c.Beside)
	if err != nil {
		return Copied{}, err
	}
	defer cl.release(ctx)
	if cl.result != nil {
		var r Copied
		c.Log("the copy was whole already")
		return r, json.Unmarshal(cl.result, &r)
	}
	snap, err := Hold(ctx, c.From)
	if err != nil {
		return Copied{}, err
	}
	defer snap.Close()
	r := &copying{Copy: c, snap: snap, claim: cl}
	if err := r.run(ctx); err != nil {
		if lost := snap.Check(ctx); ctx.Err() == nil && lost != nil && !errors.Is(err, ErrSnapshotLost) {
			err = fmt.Errorf("%w (%w)", err, lost)
		}
		return Copied{}, err
	}
	done := r.copied()
	if done.Counting, err = countingSince(ctx, cl.conn); err != nil {
		return Copied{}, err
	}
	if err := cl.whole(ctx, done); err != nil {
		return Copied{}, fmt.Errorf("note in %s that the copy is whole: %w", c.To, err)
	}
	return done, nil
}

func (c *copying) log(format string, args ...any) { c.Log(format, args...) }

func (c *copying) run(ctx context.Context) error {
	if err := c.look(ctx); err != nil {
		return err
	}
	if err := c.startOrResume(ctx); err != nil {
		return err
	}
	workers := make([]*worker, max(c.Jobs, 1)+builders(c.Jobs))
	for i := range workers {
		workers[i] = &worker{c: c, builder: i >= max(c.Jobs, 1)}
		defer workers[i].close()
	}
	if err := c.makeSchema(ctx, workers[0]); err != nil {
		return err
	}
	if !c.Bare {
		if err := work(ctx, workers, c.dataJobs()); err != nil {
			return err
		}
		if err := c.sequences(ctx, workers[0]); err != nil {
			return err
		}
	}
	return c.finishSchema(ctx, workers)
}

// JobsFor is how many tables to copy at the same time, for hosts with as many
// processors. A table that is copied keeps one busy on either side, and most of
// a second where both sides are one host: there, more at once would only stand
// in each other's way.
func JobsFor(source, target int, same bool) int {
	if same {
		return min(8, max(1, source/2))
	}
	return min(8, max(2, min(source, target)))
}

// Crowded tells whether so many jobs leave none of the target's processors
// idle.
func Crowded(jobs, target int, same bool) bool {
	if same {
		jobs *= 2
	}
	return jobs >= target
}

// SortFor is how much memory one index may take that is built while as many jobs
// copy, where so many bytes are free on the target's host; 0: nobody knows. All
// together take a quarter of it. More than the most is of little use: what does
// not fit is sorted in runs.
func SortFor(jobs int, free int64) int64 {
	const least, most, unknown = 64 << 20, 512 << 20, 2 << 30
	return min(most, max(least, cmp.Or(free, unknown)/4/int64(max(jobs, 1)+builders(jobs))))
}

// builders are how many sessions of the target build while others copy.
func builders(jobs int) int { return max(jobs+1, 2) / 2 }

// look reads from the source, in the snapshot, all that is not rows.
func (c *copying) look(ctx context.Context) error {
	err := c.learnEncoding(ctx)
	if err != nil {
		return err
	}
	if c.tables, err = tables(ctx, c.snap, c.Scope); err != nil {
		return err
	}
	if err := c.lock(ctx); err != nil {
		return err
	}
	var pre, post error
	var both sync.WaitGroup
	both.Go(func() { c.pre, pre = c.dump(ctx, "pre-data") })
	both.Go(func() { c.post, post = c.dump(ctx, "post-data") })
	if both.Wait(); pre != nil || post != nil {
		return cmp.Or(pre, post)
	}
	if err := c.compareServers(ctx); err != nil {
		return err
	}
	if err := c.relate(ctx); err != nil {
		return err
	}
	if err := c.blanks(ctx); err != nil {
		return err
	}
	c.meter = newMeter(c.tables, c.Say)
	return nil
}

// lock keeps tables as they are until the end, as pg_dump does: a TRUNCATE or
// a rewrite would empty them in the snapshot too.
func (c *copying) lock(ctx context.Context) error {
	for some := range slices.Chunk(c.tables, 200) {
		names := make([]string, len(some))
		for i, t := range some {
			names[i] = "only " + t.ident()
		}
		c.snap.mu.Lock()
		_, err := c.snap.conn.PgConn().Exec(ctx, "set local lock_timeout = '60s'; lock table "+strings.Join(names, ", ")+" in access share mode").ReadAll()
		c.snap.mu.Unlock()
		if err != nil {
			return fmt.Errorf("lock the tables of %s against being changed: %w", c.From, err)
		}
	}
	return nil
}

// dump has a section of the schema written by pg_dump, in the snapshot.
func (c *copying) dump(ctx context.Context, section string) (dump, error) {
	var out, said bytes.Buffer
	args := []string{"--section=" + section, "--snapshot=" + c.snap.ID, "--no-blobs", "--no-tablespaces", "--no-subscriptions",
		"--lock-wait-timeout=60000", "--encoding=" + c.client}
	if !c.Owners {
		args = append(args, "--no-owner", "--no-privileges")
	}
	for _, s := range c.Scope.Schemas {
		args = append(args, "--schema="+ident(s))
	}
	for _, s := range append(slices.Clone(c.Scope.ExcludeSchemas), claimSchema) {
		args = append(args, "--exclude-schema="+ident(s))
	}
	for _, t := range c.Scope.ExcludeTables {
		args = append(args, "--exclude-table="+tablePattern(t))
	}
	major := c.snap.Version / 10000
	err := c.From.Run(ctx, Tool{Name: "pg_dump", Major: major, Args: args, Stdout: &limited{buf: &out}, Stderr: &said, Pure: true})
	if err != nil {
		return dump{}, fmt.Errorf("schema (%s) of %s: %w", section, c.From, err)
	}
	d := parseDump(out.String())
	d.entries = slices.DeleteFunc(d.entries, c.unwanted)
	return d, nil
}

// tablePattern is a table as pg_dump's pattern: every character stands for itself.
func tablePattern(t string) string {
	if schema, name, ok := strings.Cut(t, "."); ok {
		return ident(schema, name)
	}
	return "*." + ident(t)
}

// unwanted entries: what a plan excludes, and publications of belay's own.
func (c *copying) unwanted(e entry) bool {
	switch e.Type {
	case "EXTENSION":
		return slices.Contains(c.Scope.ExcludeExtensions, e.Name)
	case "COMMENT":
		ext, ok := strings.CutPrefix(e.Name, "EXTENSION ")
		return ok && slices.Contains(c.Scope.ExcludeExtensions, strings.Trim(ext, `"`))
	case "PUBLICATION", "PUBLICATION TABLE":
		return strings.HasPrefix(e.Name, "belay_")
	}
	return false
}

// limited keeps a hostile or broken program from filling the memory.
type limited struct{ buf *bytes.Buffer }

const maxSchema = 512 << 20

func (w *limited) Write(p []byte) (int, error) {
	if w.buf.Len()+len(p) > maxSchema {
		return 0, fmt.Errorf("the schema is larger than %d MiB", maxSchema>>20)
	}
	return w.buf.Write(p)
}

// copied sums up, from the marks in the target.
func (c *copying) copied() Copied {
	r := Copied{At: c.snap.At, Bytes: c.meter.bytes.Load(), Large: c.large}
	for _, t := range c.tables {
		n := c.meter.rowsOf(t.ident())
		r.Tables = append(r.Tables, Count{t.Schema, t.Name, n})
		r.Rows += n
	}
	return r
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
)

// cutter is a line that breaks for good once so many bytes came over it.
type cutter struct {
	remote.Dialer
	left atomic.Int64
	mu   sync.Mutex
	open []net.Conn
	then func() // what else happens at the break
}

func (c *cutter) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.left.Load() <= 0 {
		return nil, errors.New("the line is cut")
	}
	conn, err := c.Dialer.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = append(c.open, conn)
	return &cutConn{Conn: conn, c: c}, nil
}

type cutConn struct {
	net.Conn
	c *cutter
}

func (k *cutConn) Read(p []byte) (int, error) {
	n, err := k.Conn.Read(p)
	if was := k.c.left.Add(-int64(n)) + int64(n); was > 0 && was-int64(n) <= 0 {
		k.c.mu.Lock()
		for _, conn := range k.c.open {
			conn.Close()
		}
		k.c.mu.Unlock()
		if k.c.then != nil {
			k.c.then()
		}
	}
	return n, err
}

// bulk is a source with about 16 MiB in three tables, and an empty target.
func bulk(t *testing.T) (from, to *remotetest.Postgres) {
	from = remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	to = remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	from.Exec("postgres", "create database shop")
	to.Exec("postgres", "create database shop")
	from.Exec("shop", `create table big (id int primary key, pad text); insert into big select g, repeat(md5(g::text), 8) from generate_series(1, 40000) g;
		create table nokey (a int, b text); insert into nokey select g % 100, repeat('x', 100) from generate_series(1, 20000) g;
		create table small (id serial primary key, big int references big); insert into small (big) select g from generate_series(1, 1000) g;
		create index on big (pad); select lo_from_bytea(0, convert_to(g::text, 'UTF8')) from generate_series(1, 700) g`)
	return from, to
}

func bulkState(p *remotetest.Postgres) []string {
	return p.Ask("shop", `select 'big ' || count(*) || ' ' || sum(hashtextextended(b::text, 0)::numeric) from big b
		union all select 'nokey ' || count(*) || ' ' || sum(hashtextextended(b::text, 0)::numeric) from nokey b
		union all select 'small ' || count(*) || ' ' || sum(hashtextextended(b::text, 0)::numeric) from small b
		union all select 'large ' || count(*) || ' ' || sum(hashtextextended(oid::text || encode(lo_get(oid), 'hex'), 0)::numeric) from pg_largeobject_metadata
		union all select 'schemas ' || string_agg(nspname, ' ' order by nspname) from pg_namespace where nspname !~ '^pg_'
		union all select 'constraints ' || string_agg(conname, ' ' order by conname) from pg_constraint where conrelid >= 16384`)
}

type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) log(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.text, format+"\n", args...)
}

// TestCopyCut: however a copy is cut off, the next attempt makes it whole, and
// nothing is there twice.
func TestCopyCut(t *testing.T) {
	from, to := bulk(t)
	for _, c := range []struct {
		name    string
		between func()
		says    string
	}{
		{"the source is quiet", func() {}, "nothing was written to the source since"},
		{"the source was written to", func() { from.Exec("shop", "insert into nokey values (1, 'later'); delete from big where id = 40000") }, "copied again"},
		{"the source was restarted", func() { from.Kill(); from.Start() }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cut := &cutter{Dialer: remote.Local("")}
			cp := Copy{From: serverOf(from, "shop"), To: serverOf(to, "shop"), ID: "run-1", Jobs: 2, Split: 4 << 20, Owners: true, Say: func(Progress) {}}
			cp.From.Host.Dialer = cut
			var s said
			cp.Log = s.log
			for _, most := range []int64{200_000, 3_000_000, 9_000_000} {
				cut.left.Store(most)
				if _, err := cp.Run(t.Context()); err == nil {
					t.Fatalf("cut after %d bytes, and no error:\n%s", most, s.text.String())
				}
				// A copy that is not whole says so.
				if owner := to.Ask("shop", "select id from belay_copying.copy"); len(owner) != 1 || owner[0] != "run-1" {
					t.Errorf("the target is not marked: %q", owner)
				}
			}
			c.between()
			cut.left.Store(1 << 40)
			cp.Jobs = 3 // so that tables would be cut otherwise
			got, err := cp.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if again, err := cp.Run(t.Context()); err != nil || cmp.Diff(got, again) != "" { // ended before the result was kept
				t.Errorf("again: %v %v", again, err)
			}
			if err := cp.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(bulkState(from), bulkState(to)); diff != "" {
				t.Errorf("-from +to:\n%s", diff)
			}
			if got := s.text.String(); !strings.Contains(got, c.says) {
				t.Errorf("the log does not say %q:\n%s", c.says, got)
			}
			if err := Recount(t.Context(), cp.To, got.Tables, 2, func(Progress) {}); err != nil {
				t.Error(err)
			}
			to.Exec("shop", "delete from nokey where ctid = '(0,1)'")
			if err := Recount(t.Context(), cp.To, got.Tables, 2, func(Progress) {}); err == nil || !strings.Contains(err.Error(), "public.nokey has") {
				t.Errorf("a missing row: %v", err)
			}
			to.Exec("postgres", "drop database shop with (force)")
			to.Exec("postgres", "create database shop")
		})
	}
}

// TestCopyTargetRestart: while the snapshot is held, a target that comes back
// is copied to without beginning again.
func TestCopyTargetRestart(t *testing.T) {
	from, to := bulk(t)
	cut := &cutter{Dialer: remote.Local("")}
	cut.left.Store(5_000_000)
	var once sync.Once
	cut.then = func() { once.Do(func() { cut.left.Store(1 << 40) }) }
	cp := Copy{From: serverOf(from, "shop"), To: serverOf(to, "shop"), ID: "run-1", Jobs: 2, Split: 4 << 20, Say: func(Progress) {}}
	var s said
	cp.Log = s.log
	// The worker's sessions break; the claim's and the snapshot's do not.
	breaks := &toBreak{cutter: cut}
	cp.To.Host.Dialer = breaks
	cp.From.Host.Dialer = cut.Dialer
	if _, err := cp.Run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, s.text.String())
	}
	if err := cp.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bulkState(from), bulkState(to)); diff != "" {
		t.Errorf("-from +to:\n%s", diff)
	}
	if !strings.Contains(s.text.String(), "trying again") {
		t.Errorf("nothing broke:\n%s", s.text.String())
	}
}

// toBreak counts what is written.
type toBreak struct{ *cutter }

func (b *toBreak) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := b.Dialer.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := &wroteConn{Conn: conn, c: b.cutter}
	if b.open = append(b.open, conn); len(b.open) == 1 {
		k.c = nil // the claim
	}
	return k, nil
}

type wroteConn struct {
	net.Conn
	c *cutter
}

func (k *wroteConn) Write(p []byte) (int, error) {
	n, err := k.Conn.Write(p)
	if k.c == nil {
		return n, err
	}
	if was := k.c.left.Add(-int64(n)) + int64(n); was > 0 && was-int64(n) <= 0 {
		k.Conn.Close()
		k.c.then()
	}
	return n, err
}

// TestCopyRefuses: what is not ours is not touched.
func TestCopyRefuses(t *testing.T) {
	from, to := bulk(t)
	cp := Copy{From: serverOf(from, "shop"), To: serverOf(to, "shop"), ID: "run-1", Jobs: 2, Log: t.Logf, Say: func(Progress) {}}
	for _, c := range []struct{ make, says, drop string }{
		{"create table theirs (a int)", "table public.theirs", "drop table theirs"},
		{"create function f() returns int language sql as 'select 1'", "function public.f()", "drop function f"},
		{"select lo_create(7)", "large object 7", "select lo_unlink(7)"},
		{"create schema s; create type s.e as enum ('a')", "type s.e", "drop schema s cascade"},
		{"create schema belay_copying; create table belay_copying.copy (id text, at text, result bytea); insert into belay_copying.copy values ('run-0', '1:1:', null)", "another run (run-0)", "drop schema belay_copying cascade"},
	} {
		to.Exec("shop", c.make)
		_, err := cp.Run(t.Context())
		if !errors.Is(err, ErrNotOurs) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", c.make, err)
		}
		look, err := cp.Look(t.Context())
		if err != nil || !errors.Is(look.Full, ErrNotOurs) || len(look.Tables) != 3 || look.Bytes < 8<<20 {
			t.Errorf("%s: look: %+v %v", c.make, look, err)
		}
		to.Exec("shop", c.drop)
	}
	// Two at once: the one that came first has it.
	first, err := claimTarget(t.Context(), cp.To, "run-2", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("waited long enough"))
	if _, err := cp.Run(ctx); err == nil {
		t.Error("two copy into one target")
	}
	first.release(t.Context())
	if err := cp.Free(t.Context()); err != nil {
		t.Error(err)
	}
}

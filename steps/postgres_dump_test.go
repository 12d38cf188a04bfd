package steps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/steps/postgres"
)

// pgDumpBox is a server with a database worth a dump, and a host whose jobs
// live in a home of the test's own.
func pgDumpBox(t *testing.T) (*pgBox, func() (Env, *safeBuffer)) {
	remotetest.Need(t, "pg_dump", "pg_restore")
	b := newPgBox(t, remotetest.PostgresOptions{Password: `top:sec\ret 'x`})
	b.Exec("postgres", "create database "+postgres.QuoteName(pgHostile))
	b.Exec(pgHostile, `create table t (a int primary key, b text, c bytea); insert into t select i, repeat('ü', i), decode('00ff5c0a', 'hex') from generate_series(1, 500) i;
		create table "o'd ""d" (id int generated always as identity, t int references t); insert into "o'd ""d" (t) select a from t;
		create view v as select count(*) from t; select lo_from_bytea(0, '\x0102')`)
	home := t.TempDir()
	bin := t.TempDir()
	const docker = `#!/bin/sh
case $1 in
inspect) echo '{"Running":true,"Mode":"host","Networks":{},"Ports":{}}' ;;
exec) shift 3; exec "$@" ;;
esac
`
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endJobs(t, home) })
	return b, func() (Env, *safeBuffer) {
		e, log := b.env()
		box := &runBox{home: home, env: []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, over: remote.Local("db")}
		e.Host.Runner = box
		e.Hosts = remote.Hosts{e.Host.Name: e.Host}
		return e, log
	}
}

const pgDumpPrint = `select 't ' || count(*) || ' ' || sum(hashtextextended(t::text, 0)::numeric) from t
	union all select 'o ' || count(*) || ' ' || sum(hashtextextended(o::text, 0)::numeric) from "o'd ""d" o union all select 'v ' || count from v
	union all select 'lo ' || encode(lo_get(oid), 'hex') from pg_largeobject_metadata`

func TestPostgresDumpAndRestore(t *testing.T) {
	b, env := pgDumpBox(t)
	want := b.Ask(pgHostile, pgDumpPrint)
	for n, container := range []string{"", "box"} {
		to := t.TempDir() + "/a 'dump"
		e, log := env()
		e.ID = []string{"run.dump", "run.dumpc"}[n]
		d := &postgresDump{postgresStore: b.store(pgHostile), To: to, Jobs: 2, Compress: "1"}
		d.Container = container
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		if todo, err := d.Pending(t.Context(), looking(e)); err != nil || len(todo) != 1 || todo[0].Bytes == 0 {
			t.Fatalf("%v, %v", todo, err)
		}
		if err := d.Apply(t.Context(), e); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if err := d.Verify(t.Context(), looking(e)); err != nil {
			t.Fatal(err)
		}
		if todo, err := d.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
			t.Errorf("%v, %v", todo, err)
		}
		// Nobody else's place is taken.
		other, _ := env()
		if _, err := d.Pending(t.Context(), looking(other)); err == nil || !strings.Contains(err.Error(), "is there already, and not by this step") {
			t.Errorf("%v", err)
		}

		e2, log2 := env()
		e2.ID = e.ID + ".back"
		r := &postgresRestore{postgresStore: b.store(`ba"ck`), From: to, Jobs: 2}
		r.Container = container
		if err := r.Apply(t.Context(), e2); err != nil {
			t.Fatalf("%v\n%s", err, log2)
		}
		if err := r.Verify(t.Context(), looking(e2)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, b.Ask(`ba"ck`, pgDumpPrint)); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(log.String()+log2.String(), "sec") && strings.Contains(log.String()+log2.String(), `top:sec`) {
			t.Error("a log holds the password")
		}
		// A database with something in it is not touched, and not dropped.
		e3, _ := env()
		if err := r.Apply(t.Context(), e3); err == nil || !strings.Contains(err.Error(), "is not empty") {
			t.Errorf("%v", err)
		}
		if err := r.Undo(t.Context(), e3); err != nil {
			t.Error(err)
		}
		if err := r.Undo(t.Context(), e2); err != nil {
			t.Fatal(err)
		}
		if got := b.Ask("postgres", `select count(*) from pg_database where datname = 'ba"ck'`); got[0] != "0" {
			t.Error("undo left the database")
		}
		damage(t, to)
		if err := d.Verify(t.Context(), looking(e)); err == nil {
			t.Error("a damaged dump was taken for whole")
		}
		e4, log4 := env()
		e4.ID = e.ID + ".damaged"
		if err := r.Apply(t.Context(), e4); err == nil || !strings.Contains(log4.String(), "is damaged: its files are not what was written") {
			t.Errorf("%v\n%s", err, log4)
		}
		if err := r.Undo(t.Context(), e4); err != nil {
			t.Error(err)
		}
	}
}

// damage changes one byte of the largest file.
func damage(t *testing.T, dir string) {
	var name string
	var most int64
	err := filepath.Walk(dir, func(p string, i os.FileInfo, err error) error {
		if err == nil && !i.IsDir() && i.Size() > most {
			name, most = p, i.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 1
	if err := os.WriteFile(name, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPostgresDumpOutlivesBelay leaves while pg_dump waits for a lock, and
// comes back: one dump is made, and the password is in nobody's sight.
func TestPostgresDumpOutlivesBelay(t *testing.T) {
	b, env := pgDumpBox(t)
	lock, err := b.as2(t, pgHostile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "begin; lock table t in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir() + "/d"
	d := &postgresDump{postgresStore: b.store(pgHostile), To: to, Jobs: 1, Compress: "0"}
	e, log := env()
	ctx, leave := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Apply(ctx, e) }()
	for len(b.Ask("postgres", "select 1 from pg_stat_activity where application_name = 'belay' and wait_event_type = 'Lock'")) == 0 {
		select {
		case err := <-done:
			t.Fatalf("%v\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	for _, what := range []string{"cmdline", "environ"} {
		files, _ := filepath.Glob("/proc/[0-9]*/" + what)
		for _, f := range files {
			if text, _ := os.ReadFile(f); strings.Contains(string(text), `top:sec`) || strings.Contains(string(text), `top\:sec`) {
				t.Errorf("%s holds the password", f)
			}
		}
	}
	leave(ErrDetach)
	if err := <-done; !errors.Is(err, ErrDetach) {
		t.Fatalf("%v", err)
	}
	if going, err := d.Underway(looking(e)); !going || err != nil {
		t.Errorf("%v, %v", going, err)
	}
	if _, err := lock.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), e); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if err := d.Verify(t.Context(), looking(e)); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "saving database definition"); n != 1 {
		t.Errorf("%d dumps\n%s", n, log)
	}
}

func TestPostgresRestoreIntoEmptyAndAfterAFailure(t *testing.T) {
	b, env := pgDumpBox(t)
	to := t.TempDir() + "/d"
	d := &postgresDump{postgresStore: b.store(pgHostile), To: to, Jobs: 2, Compress: "1"}
	e, log := env()
	e.ID = "run.dump"
	b.Exec("postgres", "create role app")
	b.Exec(pgHostile, "alter table t owner to app")
	if err := d.Apply(t.Context(), e); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	b.Exec(pgHostile, "alter table t owner to belay")
	b.Exec("postgres", "drop role app")
	b.Exec("postgres", "create database empty")
	for _, name := range []string{"made", "empty"} {
		e, log := env()
		e.ID = "run." + name
		r := &postgresRestore{postgresStore: b.store(name), From: to, Jobs: 2}
		if err := r.Apply(t.Context(), e); err == nil { // the owner is missing
			t.Fatal("restored for a role that is not there")
		}
		if name == "empty" {
			if got := b.Ask(name, "select count(*) from pg_class where relname in ('t', 'v')"); got[0] != "0" {
				t.Error("a broken restore left something in a database that was there before")
			}
		}
		b.Exec("postgres", "create role app")
		if err := r.Apply(t.Context(), e); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if diff := cmp.Diff(b.Ask(pgHostile, pgDumpPrint), b.Ask(name, pgDumpPrint)); diff != "" {
			t.Error(diff)
		}
		err := r.Undo(t.Context(), e)
		if name == "empty" != errors.Is(err, ErrNoWayBack) || name == "made" && err != nil {
			t.Errorf("%s: undo: %v", name, err)
		}
		b.Exec("postgres", "drop database if exists "+name)
		b.Exec("postgres", "drop role app")
	}
}

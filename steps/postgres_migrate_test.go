package steps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
)

func pgMigrations(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var pgThree = map[string]string{
	"1_a.up.sql": "create table a (id int)", "1_a.down.sql": "drop table a",
	"2_b.up.sql": "insert into a values (2); create table b (id int)", "2_b.down.sql": "drop table b; delete from a where id = 2",
	"10_c.up.sql": "create index concurrently i on b (id)", "10_c.down.sql": "drop index i",
	"README": "not a migration",
}

func (b *pgBox) fresh(database string) {
	b.Exec("postgres", "drop database if exists "+database)
	b.Exec("postgres", "create database "+database)
}

func (b *pgBox) migrate(dir string, to int64) *postgresMigrate {
	return &postgresMigrate{postgresStore: b.store("shop"), Dir: dir, To: &to, Table: "schema_migrations", LockWait: 15e9}
}

func (b *pgBox) version(t *testing.T, want string) {
	t.Helper()
	if got := b.Ask("shop", "select version || case when dirty then ' dirty' else '' end from schema_migrations"); !cmp.Equal(got, []string{want}) {
		t.Errorf("version %q, want %s", got, want)
	}
}

func TestPostgresMigrateThereAndBack(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.fresh("shop")
	dir := pgMigrations(t, pgThree)
	e, log := b.env()
	m := &postgresMigrate{postgresStore: b.store("shop"), Path: dir, Table: "schema_migrations"} // the newest, from the host
	todo, err := m.Pending(t.Context(), looking(e))
	want := []Change{{Text: "make table public.schema_migrations: no migration has been recorded in database shop"},
		{Text: "version none to 1: 1_a.up.sql"}, {Text: "version 1 to 2: 2_b.up.sql"}, {Text: "version 2 to 10: 10_c.up.sql"}}
	if diff := cmp.Diff(want, todo); diff != "" || err != nil {
		t.Fatalf("%v\n%s", err, diff)
	}
	if err := m.Verify(t.Context(), looking(e)); err == nil {
		t.Error("verified before")
	}
	if err := m.Apply(t.Context(), e); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if err := m.Verify(t.Context(), looking(e)); err != nil {
		t.Error(err)
	}
	b.version(t, "10")
	if err := m.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := b.Ask("shop", "select relname from pg_class where relnamespace = 'public'::regnamespace"); len(got) != 0 {
		t.Errorf("undo left %v", got)
	}
	// Down on purpose, and its undo is up.
	if err := b.migrate(dir, 2).Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	e2, _ := b.env()
	down := b.migrate(dir, 1)
	if err := down.Apply(t.Context(), e2); err != nil {
		t.Fatal(err)
	}
	b.version(t, "1")
	if err := down.Undo(t.Context(), e2); err != nil {
		t.Fatal(err)
	}
	b.version(t, "2")
}

func TestPostgresMigrateFailures(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.fresh("shop")
	files := map[string]string{"1_a.up.sql": "create table a (id int)", "2_b.up.sql": "insert into a values (1);\nselect nosuch"}
	dir := pgMigrations(t, files)
	e, _ := b.env()
	m := b.migrate(dir, 2)
	err := m.Apply(t.Context(), e)
	if err == nil || !strings.Contains(err.Error(), "2_b.up.sql: line 2: column \"nosuch\" does not exist") || !strings.Contains(err.Error(), "all of it was taken back, and the schema is at version 1") {
		t.Fatal(err)
	}
	b.version(t, "1")
	if m.WayBack() {
		t.Error("a way back without a down file")
	}
	// golang-migrate would leave it dirty; what it left is explained.
	b.Exec("shop", "truncate schema_migrations; insert into schema_migrations values (2, true)")
	_, err = m.Pending(t.Context(), looking(e))
	if err == nil || !strings.Contains(err.Error(), `dirty at version 2`) || !strings.Contains(err.Error(), `values (1, false)`) {
		t.Errorf("%v", err)
	}
	if aerr := m.Apply(t.Context(), e); aerr == nil || aerr.Error() != err.Error() {
		t.Errorf("%v", aerr)
	}
	b.version(t, "2 dirty")
	b.Exec("shop", "truncate schema_migrations; insert into schema_migrations values (1, false)")
	if err := os.WriteFile(filepath.Join(dir, "2_b.up.sql"), []byte("begin; insert into a values (1); commit; select 1/0;"), 0o600); err != nil {
		t.Fatal(err)
	}
	// With transactions of its own it is run as golang-migrate runs it.
	if err := m.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "belay began 2_b.up.sql, which no transaction can hold") {
		t.Errorf("%v", err)
	}
	b.version(t, "2 dirty")
	b.Exec("shop", "truncate schema_migrations; insert into schema_migrations values (2, false)")
	if err := m.Verify(t.Context(), looking(e)); err != nil {
		t.Error(err)
	}
	if err := m.Undo(t.Context(), e); !errors.Is(err, ErrNoWayBack) || !strings.Contains(err.Error(), "version 2 has no down file") {
		t.Errorf("%v", err)
	}
	b.Exec("shop", "truncate schema_migrations; insert into schema_migrations values (9, false)")
	if _, err := m.Pending(t.Context(), looking(e)); err == nil || !strings.Contains(err.Error(), "version 9 has no file") {
		t.Errorf("%v", err)
	}
}

func TestPostgresMigrateWaitsForOthers(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.fresh("shop")
	e, _ := b.env()
	other, err := pgLogin(t.Context(), e, b.store("shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer pgLogout(other)
	// The id that golang-migrate, given .../shop, makes of "/shop", "public" and "schema_migrations".
	if _, err := other.Exec(t.Context(), "select pg_advisory_lock(1337504518)"); err != nil {
		t.Fatal(err)
	}
	m := b.migrate(pgMigrations(t, pgThree), 1)
	m.LockWait = 0
	if err := m.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "somebody else is migrating") {
		t.Errorf("%v", err)
	}
	if got := b.Ask("shop", "select to_regclass('a')"); got[0] != "∅" {
		t.Error("migrated all the same")
	}
}

// TestPostgresMigrateCrashPoints kills belay at every value remembered, and
// cuts the link around every COMMIT-like word, and applies again.
func TestPostgresMigrateCrashPoints(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.fresh("shop")
	dir := pgMigrations(t, map[string]string{"1_a.up.sql": "create table a (id int)", "2_b.up.sql": "insert into a values (2)", "2_b.down.sql": "delete from a"})
	try := func(what string, dying func(Env) (context.Context, Env)) bool {
		b.Exec("shop", "drop table if exists a, schema_migrations")
		e, log := b.env()
		ctx, e1 := dying(e)
		m := b.migrate(dir, 2)
		first := m.Apply(ctx, e1)
		b.wire.breakAt("", false)
		if err := m.Apply(t.Context(), e); err != nil {
			t.Fatalf("%s: %v, then %v\n%s", what, first, err, log)
		}
		b.version(t, "2")
		if got := b.Ask("shop", "select count(*) from a"); got[0] != "1" {
			t.Errorf("%s: %s rows\n%s", what, got[0], log)
		}
		return first != nil
	}
	for at := 1; ; at++ {
		reached := false
		for _, after := range []bool{false, true} {
			reached = try("crash", func(e Env) (context.Context, Env) {
				ctx, cancel := context.WithCancelCause(t.Context())
				e.Memory = &crash{Memory: e.Memory, Runner: e.Host.Runner, at: at, after: after, cancel: cancel}
				return ctx, e
			})
		}
		if !reached {
			if at < 6 {
				t.Errorf("only %d points", at)
			}
			break
		}
	}
	for _, word := range []string{"create table a", "insert into a", "values (2, true)", "values (2, false)", "commit"} {
		for _, after := range []bool{false, true} {
			try(word, func(e Env) (context.Context, Env) {
				b.wire.breakAt(word, after)
				return t.Context(), e
			})
		}
	}
}

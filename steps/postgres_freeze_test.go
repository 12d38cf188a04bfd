package steps

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/steps/postgres"
)

const pgHostile = `sh"op'; DROP DATABASE x; --	ß`

// pgAs opens a session as an application would.
func (b *pgBox) as(t *testing.T, user, database string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig("sslmode=disable application_name=shop")
	if err != nil {
		t.Fatal(err)
	}
	c.Host, c.Port, c.User, c.Database = "127.0.0.1", uint16(b.Port), user, database
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

func TestPostgresFreezeStopsWriters(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	name := postgres.QuoteName(pgHostile)
	b.Exec("postgres", "create role app login; create role boss login superuser")
	b.Exec("postgres", "create database "+name+" owner app connection limit 7")
	b.Exec("postgres", "comment on database "+name+" is 'it''s ours'")
	b.Exec(pgHostile, "create table t (a int); grant all on t to app, public")
	// Two writers that come back as often as they are sent away.
	var all sync.WaitGroup
	var over atomic.Bool
	var acknowledged atomic.Int64
	for range 2 {
		all.Go(func() {
			for !over.Load() {
				c, err := b.as(t, "app", pgHostile)
				for err == nil && !over.Load() {
					if _, err = c.Exec(context.Background(), "insert into t values (1)"); err == nil {
						acknowledged.Add(1)
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	defer all.Wait()
	defer over.Store(true)
	// One that sits in a transaction.
	sitting, err := b.as(t, "app", pgHostile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sitting.Exec(t.Context(), "begin; insert into t values (2)"); err != nil {
		t.Fatal(err)
	}
	e, log := b.env()
	f := &postgresFreeze{postgresStore: b.store(pgHostile), Grace: remote.Duration(100 * time.Millisecond), Roles: []string{"boss"}}
	if todo, err := f.Pending(t.Context(), looking(e)); err != nil || len(todo) != 2 {
		t.Fatalf("%v, %v", todo, err)
	}
	for acknowledged.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 2 { // again, as after a crash
		if err := f.Apply(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := f.Verify(t.Context(), looking(e)); err != nil {
			t.Fatal(err)
		}
	}
	seen := acknowledged.Load()
	for _, user := range []string{"app", "boss"} {
		if _, err := b.as(t, user, pgHostile); err == nil {
			t.Errorf("%s got in", user)
		}
	}
	if todo, err := f.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
		t.Errorf("%v, %v", todo, err)
	}
	if got := b.Ask(pgHostile, "select count(*) from t"); acknowledged.Load() != seen || got[0] < "1" {
		t.Errorf("written while frozen: %d to %d", seen, acknowledged.Load())
	}
	// Another run keeps its hands off.
	other, _ := b.env()
	other.ID = "another"
	if _, is := errors.AsType[*postgres.FrozenByOtherError](f.Apply(t.Context(), other)); !is {
		t.Error("frozen twice")
	}
	if err := f.Undo(t.Context(), other); err != nil {
		t.Error(err)
	}
	b.Stop()
	b.Start()
	if err := f.Verify(t.Context(), looking(e)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	for range 2 {
		if err := f.Undo(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Ask("postgres", "select datconnlimit from pg_database where datname = "+postgres.QuoteLiteral(pgHostile)+" "); !cmp.Equal(got, []string{"7"}) {
		t.Errorf("%v", got)
	}
	if got := b.Ask(pgHostile, "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"); got[0] != "it's ours" {
		t.Errorf("comment %v", got)
	}
	for _, user := range []string{"app", "boss"} {
		if _, err := b.as(t, user, pgHostile); err != nil {
			t.Error(err)
		}
	}
	if ok, _ := regexp.MatchString(`(?s)ending shop \(process \d+, user app, .*was frozen for [0-9.]+m?s`, log.String()); !ok {
		t.Errorf("log:\n%s", log)
	}
}

func TestPostgresThaw(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{})
	b.Exec("postgres", "create database shop")
	e, _ := b.env()
	f := &postgresFreeze{postgresStore: b.store("shop")}
	if err := f.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	e2, log := b.env()
	e2.ID = "run.thaw"
	w := &postgresThaw{postgresStore: b.store("shop")}
	limit := func(want string) {
		t.Helper()
		if got := b.Ask("postgres", "select datconnlimit from pg_database where datname = 'shop'"); got[0] != want {
			t.Errorf("limit %s, want %s", got[0], want)
		}
	}
	if todo, err := w.Pending(t.Context(), looking(e2)); err != nil || len(todo) != 1 || todo[0].Cmd != `ALTER DATABASE "shop" CONNECTION LIMIT -1` {
		t.Errorf("%v, %v", todo, err)
	}
	if err := w.Apply(t.Context(), e2); err != nil {
		t.Fatal(err)
	}
	if err := w.Verify(t.Context(), looking(e2)); err != nil || !strings.Contains(log.String(), "was frozen for") {
		t.Errorf("%v\n%s", err, log)
	}
	limit("-1")
	if err := f.Verify(t.Context(), looking(e)); err == nil {
		t.Error("open, and taken for frozen")
	}
	// Back: frozen again for the step that had, whose undo thaws it.
	if err := w.Undo(t.Context(), e2); err != nil {
		t.Fatal(err)
	}
	limit("0")
	if err := f.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	limit("-1")
	// A limit that somebody else sets meanwhile is theirs.
	if err := f.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	b.Exec("postgres", "alter database shop connection limit 3")
	if err := f.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	limit("3")
}

func TestPostgresFreezeNeeds(t *testing.T) {
	b := newPgBox(t, remotetest.PostgresOptions{Settings: []string{"max_prepared_transactions = 2"}})
	b.Exec("postgres", "create role weak login; create role owner login; create role boss login superuser; grant pg_signal_backend to owner")
	b.Exec("postgres", "create database shop owner owner")
	b.Exec("shop", "create table t (a int); grant all on t to owner")
	e, _ := b.env()
	judge := func(user string, want checks.Level, text string) {
		t.Helper()
		f := &postgresFreeze{postgresStore: b.store("shop")}
		f.User = user
		found, err := f.Needs("db")[0].Assess(t.Context(), checks.World{Hosts: remote.Hosts{"db": e.Host}, Secret: e.Secret})
		if err != nil || len(found) != 1 || found[0].Level != want || !strings.Contains(found[0].Text, text) {
			t.Errorf("%s: %+v, %v", user, found, err)
		}
	}
	judge("weak", checks.Block, "weak may not freeze")
	judge("owner", checks.Warn, "is no superuser")
	judge("belay", checks.Pass, "0 sessions would be ended")
	if _, err := b.as(t, "boss", "shop"); err != nil {
		t.Fatal(err)
	}
	judge("belay", checks.Warn, "superusers are in database shop now")
	// The owner can do it, though it locks itself out.
	f := &postgresFreeze{postgresStore: b.store("shop")}
	f.User = "weak"
	if err := f.Apply(t.Context(), e); postgres.Code(err) != "42501" {
		t.Errorf("%v", err)
	}
	b.Exec("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'boss'")
	f.User = "owner"
	if err := f.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(t.Context(), looking(e)); err != nil {
		t.Error(err)
	}
	b.Exec("shop", "begin; insert into t values (1); prepare transaction 'left'")
	if err := f.Verify(t.Context(), looking(e)); err == nil || !strings.Contains(err.Error(), "prepared transactions wait in it") {
		t.Errorf("%v", err)
	}
	b.Exec("shop", "rollback prepared 'left'")
	if err := f.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

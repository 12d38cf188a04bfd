package steps

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// pgTurn is a move up to the switch with a way back, and each step's env.
type pgTurn struct {
	*pgMove
	r          *postgresReplicate
	f          *postgresFreeze
	s          *postgresSwitch
	er, ef, es Env
	log        *safeBuffer
}

func newPgTurn(m *pgMove) *pgTurn {
	u := &pgTurn{pgMove: m, r: m.replicate(), f: &postgresFreeze{postgresStore: m.old.store(m.database)}}
	u.s = &postgresSwitch{pgPair: m.pair(), Wait: remote.Duration(2 * time.Minute), Margin: 1000, Reverse: &pgReverse{Addr: m.new.Addr}}
	u.er, _ = m.old.env()
	u.ef, _ = m.old.env()
	u.es, u.log = m.old.env()
	u.ef.ID, u.es.ID = "run.freeze", "run.switch"
	return u
}

func (u *pgTurn) follow(t *testing.T) {
	t.Helper()
	mustApply(t, u.r, u.er)
	mustApply(t, u.f, u.ef)
}

// rollback undoes the rest, once the switch is.
func (u *pgTurn) rollback(t *testing.T) {
	t.Helper()
	if err := u.f.Undo(t.Context(), u.ef); err != nil {
		t.Error(err)
	}
	if err := u.r.Undo(t.Context(), u.er); err != nil {
		t.Error(err)
	}
	u.leftovers(t, u.old)
	u.leftovers(t, u.new)
}

// anew readies the new server for another turn.
func (u *pgTurn) anew(t *testing.T) *pgTurn {
	t.Helper()
	open := &postgresThaw{postgresStore: u.new.store(u.database)}
	e, _ := u.new.env()
	mustApply(t, open, e)
	u.new.Exec(u.database, `truncate orders, "Od'd "" näme", parts`)
	return newPgTurn(u.pgMove)
}

func (u *pgTurn) frozen(t *testing.T, b *pgBox) bool {
	t.Helper()
	return b.Ask("postgres", "select datconnlimit = 0 from pg_database where datname like 'sh%'")[0] == "t"
}

// TestPostgresReverseLosesNothing cuts over under live writers, lets them write
// to the new server, and rolls back: the old one has every write of both times
// that was acknowledged.
func TestPostgresReverseLosesNothing(t *testing.T) {
	t.Run("same version", func(t *testing.T) { testPostgresReverse(t, newPgMove(t)) })
	t.Run("to a newer one", func(t *testing.T) { testPostgresReverse(t, newPgMoveTo(t, remotetest.Newer(t, "BELAY_POSTGRES17"))) })
}

func testPostgresReverse(t *testing.T, m *pgMove) {
	u := newPgTurn(m)
	hosts := compareHosts(t) // through a real sshd
	for _, e := range []*Env{&u.er, &u.ef, &u.es} {
		e.Host, e.Hosts = hosts["old"], hosts
	}
	if err := u.s.Validate(); err != nil {
		t.Fatal(err)
	}
	var before pgWriters
	before.start(m.old)
	defer before.stop()
	u.follow(t)
	acked := before.stop()
	if todo, err := u.s.Pending(t.Context(), u.es); err != nil || len(todo) != 4 {
		t.Fatalf("%v, %v", todo, err)
	}
	mustApply(t, u.s, u.es)
	if u.frozen(t, m.new) || !u.frozen(t, m.old) {
		t.Error("the new server is closed, or the old one open")
	}
	var after pgWriters
	began := time.Now()
	after.start(m.new)
	defer after.stop()
	if err := u.s.Verify(t.Context(), u.es); err != nil {
		t.Error(err)
	}
	m.new.Exec(m.database, "update parts set at = '2026-12-24' where id = 7; delete from parts where id = 9; insert into parts values (1000, '2026-08-08')")
	for after.total.Load() < 2000 {
		time.Sleep(20 * time.Millisecond)
	}
	if text, err := u.s.Prove(t.Context(), u.es); err != nil || !regexp.MustCompile(`^the source is .* and [0-9.]+ s behind; the target keeps .* of log for it$`).MatchString(text) {
		t.Errorf("%s, %v", text, err)
	}
	rate := float64(after.total.Load()) / time.Since(began).Seconds()
	if err := u.s.Undo(t.Context(), u.es); err != nil {
		t.Fatalf("%v\n%s\n%s", err, u.log, m.old.Log())
	}
	both := append(acked, after.stop()...)
	if !u.frozen(t, m.new) {
		t.Error("the new server is open after the rollback")
	}
	u.rollback(t)
	if u.frozen(t, m.old) {
		t.Error("the old server is closed after the rollback")
	}
	there := map[string]bool{}
	for _, id := range m.old.Ask(m.database, "select id::text from orders") {
		there[id] = true
	}
	missing := 0
	for _, id := range both {
		if !there[fmt.Sprint(id)] {
			missing++
		}
	}
	if missing > 0 || len(both) == len(acked) {
		t.Errorf("%d of %d acknowledged writes are missing on the old server", missing, len(both))
	}
	m.same(t)
	got := m.old.Ask(m.database, `select nextval('orders_id_seq') > (select max(id) + 999 from orders) union all
		select nextval(pg_get_serial_sequence('"Od''d "" näme"', 'id')) < (select min(id) - 1999 from "Od'd "" näme") union all select nextval('lonely') = 2003`)
	if !cmp.Equal(got, []string{"t", "t", "t"}) {
		t.Errorf("sequences: %v", got)
	}
	t.Logf("%d acknowledged writes, %d of them after the switch at %.0f a second", len(both), len(both)-len(acked), rate)
	if strings.Contains(u.log.String(), "top secret") || strings.Contains(m.old.Log()+m.new.Log(), "password='top secret'") {
		t.Error("a log holds a password")
	}
}

// TestPostgresReverseOutlivesBelay kills belay at each act of the switch and of
// its undo: each ends right all the same.
func TestPostgresReverseOutlivesBelay(t *testing.T) {
	m := newPgMove(t)
	u := newPgTurn(m)
	u.follow(t)
	deaths := u.dying(t, u.es, u.s.Apply)
	if err := u.s.Verify(t.Context(), looking(u.es)); err != nil {
		t.Fatal(err)
	}
	if todo, err := u.s.Pending(t.Context(), looking(u.es)); err != nil || len(todo) > 0 || u.frozen(t, m.new) {
		t.Errorf("%v, %v", todo, err)
	}
	m.new.Exec(m.database, "insert into orders (writer, note) values (8, 'after'); select nextval('lonely')")
	deaths = append(deaths, u.dying(t, u.es, u.s.Undo)...)
	if err := u.s.Undo(t.Context(), u.es); err != nil { // done already
		t.Error(err)
	}
	u.rollback(t)
	m.same(t)
	if got := m.old.Ask(m.database, "select count(*) from orders where writer = 8 union all select nextval('lonely') - 2004"); !cmp.Equal(got, []string{"1", "0"}) {
		t.Errorf("%v", got)
	}
	if len(deaths) < 20 {
		t.Errorf("killed at %d acts only: %.90q", len(deaths), deaths)
	}
	// Killed somewhere on the way and never taken up again: nothing is left.
	for _, at := range []int{2, 5, 9, 12} {
		u = u.anew(t)
		u.follow(t)
		if d, err := u.killed(t, u.es, nil, at, u.s.Apply); d.what == "" {
			t.Fatalf("act %d: not killed: %v", at, err)
		}
		was, err := pgSwitchedOf(u.es)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.s.Undo(t.Context(), u.es); err != nil {
			t.Fatalf("act %d: %v", at, err)
		}
		u.rollback(t)
		if open := was.Back != nil && was.Back.Open; u.frozen(t, m.old) || u.frozen(t, m.new) != open {
			t.Errorf("act %d: frozen: old %t, new %t", at, u.frozen(t, m.old), u.frozen(t, m.new))
		}
	}
}

// TestPostgresReverseOutlivesServers: either server away, the line cut, the
// schema changed on one side.
func TestPostgresReverseOutlivesServers(t *testing.T) {
	m := newPgMove(t)
	u := newPgTurn(m)
	u.follow(t)
	mustApply(t, u.s, u.es)
	m.old.Kill()
	m.new.Exec(m.database, "insert into orders (writer) select 11 from generate_series(1, 1000)")
	if _, err := u.s.Prove(t.Context(), u.es); err == nil || !regexp.MustCompile(`the source does not answer.*the target keeps .* of log for it`).MatchString(err.Error()) {
		t.Errorf("%v", err)
	}
	if err := u.s.Undo(t.Context(), u.es); err == nil || !strings.Contains(err.Error(), "source: ") || u.frozen(t, m.new) {
		t.Errorf("%v", err)
	}
	m.old.Start()
	// A column that only the new server has stops the way back, until the old one has it.
	m.new.Exec(m.database, "alter table orders add column late int; insert into orders (writer, late) values (12, 1)")
	u.s.Wait = remote.Duration(2 * time.Second)
	err := u.s.Undo(t.Context(), u.es)
	if err == nil || !strings.Contains(err.Error(), "not level within 2s") || !u.frozen(t, m.new) || !u.frozen(t, m.old) {
		t.Errorf("%v", err)
	}
	m.old.Exec(m.database, "alter table orders add column late int")
	u.s.Wait = remote.Duration(2 * time.Minute)
	m.new.Exec(m.database, "create table made (id serial primary key); insert into made default values")
	m.old.wire.breakAt("canary\" values", true) // the line is cut while the source catches up
	if err := u.s.Undo(t.Context(), u.es); err == nil || !strings.Contains(err.Error(), "not replicated back: public.made") {
		t.Errorf("%v", err)
	}
	if err := u.s.Undo(t.Context(), u.es); err != nil {
		t.Error(err)
	}
	u.rollback(t)
	m.same(t)
	if got := m.old.Ask(m.database, "select count(*) from orders where writer in (11, 12)"); got[0] != "1001" {
		t.Errorf("%s rows are back", got[0])
	}

	// The new server dies, and the old one is opened without what it had not sent.
	m.new.Exec(m.database, "drop table made")
	u = u.anew(t)
	u.follow(t)
	mustApply(t, u.s, u.es)
	m.new.Exec(m.database, "insert into orders (writer) values (13)")
	for m.old.Ask(m.database, "select count(*) from orders where writer = 13")[0] != "1" {
		time.Sleep(20 * time.Millisecond)
	}
	m.new.Kill()
	if err := u.s.Undo(t.Context(), u.es); err == nil || !strings.Contains(err.Error(), "is there alone") {
		t.Errorf("%v", err)
	}
	if err := u.s.Undo(t.Context(), u.es); err == nil || !strings.Contains(err.Error(), "pg_drop_replication_slot") {
		t.Errorf("%v", err)
	}
	if got := m.old.Ask(m.database, "select nextval('orders_id_seq') > (select max(id) from orders)"); got[0] != "t" {
		t.Error("the sequence is behind")
	}
	m.leftovers(t, m.old)
	m.new.Start()
	if err := u.s.Undo(t.Context(), u.es); err != nil {
		t.Error(err)
	}
	u.rollback(t)
}

// TestPostgresReverseEnds: an address that leads nowhere fails before anything
// has ended; detach ends the way back for good, and a rollback then tells what
// it loses.
func TestPostgresReverseEnds(t *testing.T) {
	m := newPgMove(t)
	u := newPgTurn(m)
	u.follow(t)
	u.s.Reverse.Addr = fmt.Sprintf("127.0.0.1:%d", remotetest.FreePort(t))
	if err := u.s.Apply(t.Context(), u.es); err == nil || !strings.Contains(err.Error(), "the replication goes on, and the source is still frozen") {
		t.Errorf("%v", err)
	}
	if err := u.r.Verify(t.Context(), looking(u.er)); err != nil {
		t.Error(err)
	}
	u.s.Reverse.Also = []string{"public.keyless"}
	m.new.Exec(m.database, "create table keyless (a int)")
	if err := u.s.Undo(t.Context(), u.es); err != nil {
		t.Error(err)
	}
	u.s.Reverse.Addr = m.new.Addr
	if err := u.s.Apply(t.Context(), u.es); err == nil || !strings.Contains(err.Error(), "updates of them would fail from the switch on: public.keyless") {
		t.Errorf("%v", err)
	}
	u.s.Reverse.Also = nil
	mustApply(t, u.s, u.es)
	other := newPgTurn(m)
	other.es.ID = "another"
	if err := other.s.Undo(t.Context(), other.es); err != nil {
		t.Error(err)
	}
	if err := u.s.Verify(t.Context(), looking(u.es)); err != nil { // another run's hands are off
		t.Error(err)
	}
	d := &postgresDetach{pgPair: m.pair()}
	e, _ := m.old.env()
	m.old.Kill() // gone for good: the target is done all the same
	if err := d.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "source: ") {
		t.Errorf("%v", err)
	}
	if got := m.new.Ask("postgres", "select slot_name from pg_replication_slots"); len(got) > 0 {
		t.Errorf("left on the target: %v", got)
	}
	m.old.Start()
	if todo, err := d.Pending(t.Context(), looking(e)); err != nil || len(todo) != 2 {
		t.Errorf("%v, %v", todo, err)
	}
	for range 2 {
		mustApply(t, d, e)
		if err := d.Verify(t.Context(), looking(e)); err != nil {
			t.Error(err)
		}
	}
	_, err := u.s.Prove(t.Context(), u.es)
	if _, no := errors.AsType[*Disproof](err); !no {
		t.Errorf("%v", err)
	}
	if _, ok, _, found, err := u.s.Proof(u.es); ok || !found || err != nil {
		t.Errorf("%t %t %v", ok, found, err)
	}
	if err := u.s.Undo(t.Context(), u.es); err == nil || !strings.Contains(err.Error(), "what was written on the target since then is there alone") {
		t.Errorf("%v", err)
	}
	if err := u.s.Undo(t.Context(), u.es); err != nil {
		t.Error(err)
	}
	u.rollback(t)
}

func TestPostgresReverseNeeds(t *testing.T) {
	m := newPgMove(t)
	u := newPgTurn(m)
	w := checks.World{Hosts: u.es.Hosts, Secret: u.es.Secret}
	levels := func() map[string]checks.Level {
		all := map[string]checks.Level{}
		for _, n := range u.s.Needs("db") {
			found, err := n.Assess(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				_, key, _ := strings.Cut(f.Key, " back")
				all[strings.TrimSpace(key)] = max(all[strings.TrimSpace(key)], f.Level)
			}
		}
		delete(all, "")
		return all
	}
	want := map[string]checks.Level{"wal_level": checks.Pass, "slots": checks.Pass, "senders": checks.Pass, "rights": checks.Pass, "kept log": checks.Warn, "tables": checks.Pass}
	if diff := cmp.Diff(want, levels()); diff != "" {
		t.Error(diff)
	}
	m.new.Exec("postgres", "alter system set wal_level = replica")
	m.new.Exec("postgres", "alter system set max_slot_wal_keep_size = '1GB'")
	m.new.Stop()
	m.new.Start()
	m.old.Exec(m.database, "create table keyless (a int); create role mover login password 'top secret'; select lo_create(0)")
	u.s.From.User = "mover"
	want = map[string]checks.Level{"wal_level": checks.Block, "slots": checks.Pass, "senders": checks.Pass, "rights": checks.Block, "kept log": checks.Pass, "tables": checks.Warn, "large objects": checks.Warn}
	if diff := cmp.Diff(want, levels()); diff != "" {
		t.Error(diff)
	}
	reach := func() checks.Finding {
		all := u.s.Needs("db")
		found, err := all[len(all)-1].Assess(t.Context(), w)
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		return found[0]
	}
	if f := reach(); f.Level != checks.Pass {
		t.Errorf("%+v", f)
	}
	m.old.secrets["wrong"] = "wrong word"
	u.s.Reverse.User, u.s.Reverse.Password = "belay", secret.Ref{Name: "wrong"}
	if f := reach(); f.Level != checks.Block || !strings.Contains(f.Text, "password authentication failed") {
		t.Errorf("%+v", f)
	}
	u.s.Reverse.User = ""
	if err := u.s.Validate(); err == nil || !strings.Contains(err.Error(), "whose is it?") {
		t.Errorf("%v", err)
	}
}

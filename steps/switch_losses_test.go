package steps

import (
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/steps/journal"
	"belay/steps/mysql"
	"belay/steps/postgres"
)

// What a switch would lose is what its way back has not brought yet; without
// one, nobody knows.
func TestSwitchLossesWords(t *testing.T) {
	for want, l := range map[string]Loss{
		"nothing was written that the old side has not got yet": pgSynced(postgres.Server{}, postgres.Lag{Active: true}),
		"2 KiB written that the old side has not got yet (of log, which holds more than rows); it is synced back: the old side is 2.0 KiB behind, and not connected now; a rollback waits until all has arrived": pgSynced(postgres.Server{}, postgres.Lag{Bytes: 2048}),
		"something was written, nobody knows how much; the old side has lost the thread: the new one has thrown away log that it had not got; a rollback would lose it":                                          pgSynced(postgres.Server{}, postgres.Lag{Bytes: 5, Status: "lost"}),
		"3 transactions written that the old side has not got yet; it is synced back: the old side is 3 transactions behind; a rollback waits until all has arrived":                                             mysqlSynced(mysql.Server{}, mysql.Lag{Behind: 3, Running: true}),
	} {
		if got := journal.Loss(l).Words(); got != want {
			t.Errorf("%q\nwant %q", got, want)
		}
	}
}

func TestPostgresSwitchLosses(t *testing.T) {
	t.Parallel()
	m := newPgMove(t)
	u := newPgTurn(m)
	if all, err := u.s.Losses(t.Context(), onlyLooking(u.es)); err != nil || len(all) != 0 {
		t.Fatalf("before the switch: %+v, %v", all, err)
	}
	u.follow(t)
	mustApply(t, u.s, u.es)
	m.new.Exec(m.database, "insert into parts values (1000, '2026-08-08')")
	// What was written arrives, and then there is nothing that could be lost.
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		got := lost(t, u.s, u.es)
		if strings.HasSuffix(got, ": nothing was written that the old side has not got yet") {
			break
		}
		if !strings.Contains(got, "it is synced back: the old side is ") || time.Now().After(end) {
			t.Fatal(got)
		}
	}
	alone := *u.s
	alone.Reverse = nil
	if all, err := alone.Losses(t.Context(), onlyLooking(u.es)); err == nil || !strings.Contains(err.Error(), "is not counted") {
		t.Errorf("without reverse: %+v, %v", all, err)
	}
	if err := u.s.Undo(t.Context(), u.es); err != nil {
		t.Fatal(err)
	}
	u.rollback(t)
}

func TestMySQLSwitchLosses(t *testing.T) {
	t.Parallel()
	eachMySQL(t, countsSwitchLosses)
}

func countsSwitchLosses(t *testing.T, start mysqlStart) {
	box := newMySQLMove(t, start, nil, nil)
	r, f := box.replicate(), &mysqlFreeze{mysqlStore: mysqlStoreOf(box.a, "a"), Grace: remote.Duration(time.Second)}
	s := &mysqlSwitch{mysqlPair: box.pair(), Wait: remote.Duration(time.Minute), Open: true, Reverse: box.b.Addr, Grace: remote.Duration(time.Second)}
	es := box.mine("switch")
	for _, err := range []error{r.Apply(t.Context(), box.mine("replicate")), f.Apply(t.Context(), box.mine("freeze")), s.Apply(t.Context(), es)} {
		if err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		got := lost(t, s, es)
		if strings.HasPrefix(got, "MySQL at ") && strings.HasSuffix(got, ": nothing was written that the old side has not got yet") {
			break
		}
		if time.Now().After(end) {
			t.Fatal(got)
		}
	}
	box.a.Kill()
	if all, err := s.Losses(t.Context(), onlyLooking(es)); err == nil || !strings.Contains(err.Error(), "there is no way back now") {
		t.Errorf("the old server is gone: %+v, %v", all, err)
	}
}

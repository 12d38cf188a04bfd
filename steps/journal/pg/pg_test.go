package pg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"belay/steps/journal"
	"belay/steps/journal/journaltest"
)

var ada = journal.Hold(journal.Author{Login: "ada", From: "192.0.2.7"}, "run")

func at(t testing.TB, url string) *Store {
	t.Helper()
	s, err := At(url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func note(key string) journal.Event { return journal.Event{Type: journal.Noted, Key: key} }

func orNil(j *Journal, err error) (journaltest.Journal, error) {
	if err != nil {
		return nil, err
	}
	return j, nil
}

func lines(t *testing.T, url, run string) (all []string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer c.Close(context.Background())
	rows, err := c.Query(t.Context(), `select line from belay.event e join belay.run r on r.num = e.run where r.id = $1 order by e.seq`, run)
	must(t, err)
	all, err = pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return all
}

func TestConformance(t *testing.T) {
	server := journaltest.StartPostgres(t)
	s := at(t, server.URL)
	s.Patience = 0
	var runs atomic.Int32
	journaltest.Run(t, func(t *testing.T) journaltest.Place {
		run := fmt.Sprintf("run-%d", runs.Add(1))
		return journaltest.Place{
			Locks:  true,
			Create: func() (journaltest.Journal, error) { return orNil(s.Create(t.Context(), run, nil, ada)) },
			Open:   func() (journaltest.Journal, error) { return orNil(s.Open(t.Context(), run, ada)) },
			Read:   func() ([]journal.Event, error) { return s.Read(t.Context(), run) },
			Tail: func(t *testing.T) journaltest.Tail {
				tail, err := s.Tail(t.Context(), run)
				must(t, err)
				t.Cleanup(func() { tail.Close() })
				return tail
			},
			Lines: func(t *testing.T) []string { return lines(t, server.URL, run) },
			Put: func(t *testing.T, lines []string) {
				server.Exec(t, `delete from belay.event where run = (select num from belay.run where id = $1)`, run)
				for i, l := range lines {
					server.Exec(t, `insert into belay.event select num, $2, '', $3 from belay.run where id = $1`, run, i+1, l)
				}
			},
			CutAppend: func(t *testing.T, j journaltest.Journal, e journal.Event) { cutAppend(t, server, run, j, e) },
		}
	})
}

// cutAppend holds the append up in the middle of its statement and ends its
// connection there.
func cutAppend(t *testing.T, server *journaltest.Postgres, run string, j journaltest.Journal, e journal.Event) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), server.URL)
	must(t, err)
	defer c.Close(context.Background())
	_, err = c.Exec(t.Context(), `begin; select 1 from belay.run for update`)
	must(t, err)
	got := make(chan error, 1)
	go func() { got <- j.Append(e) }()
	waiting := 0
	for range 400 {
		must(t, c.QueryRow(t.Context(), `select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'belay'`).Scan(&waiting))
		if waiting > 0 {
			break
		}
		time.Sleep(25 * time.Millisecond)
		if _, err := c.Exec(t.Context(), `select pg_stat_clear_snapshot()`); err != nil {
			t.Fatal(err)
		}
	}
	if waiting != 1 {
		t.Fatalf("%d appends wait", waiting)
	}
	_, err = c.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'belay'`)
	must(t, err)
	err = <-got
	if err == nil || !strings.Contains(err.Error(), "not known until it is back") || !strings.Contains(err.Error(), "belay resume "+run) {
		t.Errorf("the cut append: %v", err)
	}
	if err := j.Append(e); err == nil {
		t.Error("an append after a broken one succeeded")
	}
}

// Whether the line had been committed when the connection broke is found out
// on a new one: it is in the journal exactly once either way.
func TestAppendIsSettledOnANewConnection(t *testing.T) {
	server := journaltest.StartPostgres(t)
	for name, lose := range map[string]func(*proxy){
		"before it is sent": func(p *proxy) { p.cut(false) },
		"after the commit": func(p *proxy) {
			p.hush() // the line arrives, its acknowledgement does not
			time.AfterFunc(500*time.Millisecond, func() { p.cut(false) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, server.Port)
			run := strings.ReplaceAll(name, " ", "-")
			j, err := at(t, p.url()).Create(t.Context(), run, nil, ada)
			must(t, err)
			defer j.Close()
			must(t, j.Append(note("one")))
			lose(p)
			must(t, j.Append(note("two")))
			must(t, j.Append(note("three")))
			events, err := at(t, server.URL).Read(t.Context(), run)
			must(t, err)
			if d := cmp.Diff(j.Events(0), events); d != "" || len(events) != 3 {
				t.Errorf("%d events: %s", len(events), d)
			}
			var locked *journal.LockedError
			if _, err := at(t, server.URL).Open(t.Context(), run, ada); !errors.As(err, &locked) {
				t.Errorf("the lock was not taken back: %v", err)
			}
		})
	}
}

// When the database stays away the append says so and nothing more is taken;
// the next who opens the journal finds what was committed.
func TestLostDatabase(t *testing.T) {
	server := journaltest.StartPostgres(t)
	p := newProxy(t, server.Port)
	s := at(t, p.url())
	s.Patience = 2 * time.Second
	j, err := s.Create(t.Context(), "r", nil, ada)
	must(t, err)
	must(t, j.Append(note("one")))
	p.hush()
	time.AfterFunc(500*time.Millisecond, func() { p.cut(true) })
	err = j.Append(note("two"))
	if err == nil || !strings.Contains(err.Error(), "nothing further was started") {
		t.Fatalf("append: %v", err)
	}
	if n := j.State().Seq; n != 1 {
		t.Errorf("the state moved to event %d", n)
	}
	if err := j.Append(note("three")); err == nil {
		t.Error("an append after a broken one succeeded")
	}
	must(t, j.Close())
	again, err := at(t, server.URL).Open(t.Context(), "r", ada)
	must(t, err)
	defer again.Close()
	if n := len(again.Events(0)); n != 2 {
		t.Errorf("%d events; the second had been committed", n)
	}
}

// A writer whose connection was ended while it did not look, and whose run
// somebody else has taken, cannot write again.
func TestTheFormerHolderIsFencedOff(t *testing.T) {
	server := journaltest.StartPostgres(t)
	p := newProxy(t, server.Port)
	j, err := at(t, p.url()).Create(t.Context(), "r", nil, ada)
	must(t, err)
	must(t, j.Append(note("one")))
	p.cut(false)
	ben := journal.Hold(journal.Author{Login: "ben"}, "resume")
	second, err := at(t, server.URL).Open(t.Context(), "r", ben)
	must(t, err)
	err = j.Append(note("not mine any more"))
	var locked *journal.LockedError
	if !errors.As(err, &locked) || locked.By.Login != "ben" {
		t.Fatalf("the former holder's append: %v", err)
	}
	must(t, second.Append(note("two")))
	must(t, second.Close())

	// The same when the second has come and gone meanwhile.
	third, err := at(t, p.url()).Open(t.Context(), "r", ada)
	must(t, err)
	p.cut(false)
	second, err = at(t, server.URL).Open(t.Context(), "r", ben)
	must(t, err)
	must(t, second.Append(note("three")))
	must(t, second.Close())
	if err := third.Append(note("not mine any more")); !errors.Is(err, errNotOurs) {
		t.Fatalf("the former holder's append: %v", err)
	}
	events, err := at(t, server.URL).Read(t.Context(), "r")
	must(t, err)
	if len(events) != 3 || events[2].Key != "three" {
		t.Errorf("%+v", events)
	}
}

// The whole server is killed in the middle of appends, and started again: what
// was acknowledged is there, and the appends have gone on.
func TestServerKilledUnderAppends(t *testing.T) {
	server := journaltest.StartPostgres(t)
	s := at(t, server.URL)
	s.Patience = time.Minute
	j, err := s.Create(t.Context(), "r", nil, ada)
	must(t, err)
	defer j.Close()
	tail, err := s.Tail(t.Context(), "r")
	must(t, err)
	defer tail.Close()
	const n = 300
	var acknowledged atomic.Int32
	ended := make(chan error, 1)
	go func() {
		for i := range n {
			if err := j.Append(note(fmt.Sprint(i))); err != nil {
				ended <- err
				return
			}
			acknowledged.Store(int32(i + 1))
		}
		ended <- nil
	}()
	for kill := range 2 {
		for acknowledged.Load() < int32(40+80*kill) {
			time.Sleep(time.Millisecond)
		}
		server.Kill()
		before := acknowledged.Load()
		server.Start(t)
		events, err := s.Read(t.Context(), "r")
		must(t, err)
		if len(events) < int(before) {
			t.Fatalf("%d events were acknowledged, %d are left", before, len(events))
		}
	}
	must(t, <-ended)
	events, err := s.Read(t.Context(), "r")
	must(t, err)
	if len(events) != n {
		t.Fatalf("%d events", len(events))
	}
	for i, e := range events {
		if e.Key != fmt.Sprint(i) {
			t.Fatalf("event %d is %q", i+1, e.Key)
		}
	}
	for range 600 {
		if tail.State().Seq == n {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if tail.State().Seq != n || tail.Err() != nil {
		t.Errorf("the tail is at event %d: %v, %v", tail.State().Seq, tail.Err(), tail.Lost())
	}
}

// Two bastions race for one run: one gets it, the other is told who has it.
func TestRace(t *testing.T) {
	server := journaltest.StartPostgres(t)
	s := at(t, server.URL)
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 4 { // the schema is made once, too
		wg.Go(func() {
			j, err := s.Create(t.Context(), fmt.Sprint("own-", i), nil, ada)
			if err != nil {
				t.Error(err)
				return
			}
			j.Close()
		})
	}
	wg.Wait()
	j, err := s.Create(t.Context(), "r", []File{{"plan.yaml", []byte("plan\x00")}}, ada)
	must(t, err)
	must(t, j.Close())
	if _, err := s.Create(t.Context(), "r", nil, ada); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	go1 := make(chan bool)
	for i := range 4 {
		wg.Go(func() {
			who := journal.Hold(journal.Author{Login: fmt.Sprint("p", i)}, "resume")
			<-go1
			j, err := s.Open(t.Context(), "r", who)
			var locked *journal.LockedError
			switch {
			case err == nil:
				won.Add(1)
				must(t, j.Append(note(who.By.Login)))
				time.Sleep(3 * time.Second) // longer than the others try
				must(t, j.Close())
			case !errors.As(err, &locked) || !strings.HasPrefix(locked.By.Login, "p"):
				t.Errorf("the loser: %v", err)
			}
		})
	}
	close(go1)
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d won", won.Load())
	}
	list, err := s.List(t.Context())
	must(t, err)
	if len(list) != 5 || list[0].ID != "r" || list[0].Live != nil || list[0].State.Seq != 1 {
		t.Errorf("%+v", list)
	}
	files, err := s.Files(t.Context(), "r")
	must(t, err)
	if d := cmp.Diff([]File{{"plan.yaml", []byte("plan\x00")}}, files); d != "" {
		t.Error(d)
	}
}

func TestURL(t *testing.T) {
	for _, bad := range []string{
		"postgres://ada:hunter2@db/belay", "postgres://ada@db/belay?password=hunter2", "postgresql://:hunter2@db/x",
		"postgres://ada@db/belay?sslpassword=hunter2", "postgres://ada:hunter2 @db/%zz", "host=db password=hunter2", "mysql://ada:hunter2@db/x", "",
	} {
		_, err := At(bad)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	t.Setenv("PGPASSWORD", "from-the-environment")
	s, err := At("postgres://ada@db.example.com/belay?sslmode=verify-full")
	must(t, err)
	if s.config.Password != "from-the-environment" || strings.Contains(s.URL(), "environment") {
		t.Error("the password of the environment is not used, or shown")
	}
}

// What belay needs of the server is set, whatever role and server say; what
// it cannot set, it refuses.
func TestPromises(t *testing.T) {
	server := journaltest.StartPostgres(t)
	server.Exec(t, `alter role belay set synchronous_commit = off`)
	s := at(t, server.URL)
	c, err := s.connect(t.Context())
	must(t, err)
	defer hangUp(c)
	var commit string
	must(t, c.QueryRow(t.Context(), `show synchronous_commit`).Scan(&commit))
	if commit != "on" {
		t.Errorf("synchronous_commit = %s", commit)
	}
	if _, err := s.Open(t.Context(), "none", ada); !errors.Is(err, ErrNoRun) {
		t.Errorf("open in an unused database: %v", err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("list of an unused database: %v, %v", list, err)
	}
	j, err := s.Create(t.Context(), "r", nil, ada)
	must(t, err)
	must(t, j.Append(note("one")))
	must(t, j.Close())

	server.Exec(t, `create role minor login`)
	server.Exec(t, `grant usage on schema belay to minor`)
	server.Exec(t, `grant select, insert, update on belay.run to minor`)
	server.Exec(t, `grant select, insert on belay.event, belay.file to minor`)
	server.Exec(t, `grant select on belay.version to minor`)
	minor := at(t, strings.Replace(server.URL, "belay@", "minor@", 1))
	j, err = minor.Create(t.Context(), "of-minor", []File{{"plan.yaml", []byte("p")}}, ada)
	must(t, err)
	must(t, j.Append(note("one")))
	must(t, j.Close())
	j, err = minor.Open(t.Context(), "r", ada)
	must(t, err)
	must(t, j.Append(note("two")))
	must(t, j.Close())

	server.Exec(t, `update belay.version set version = 2`)
	if _, err := s.Open(t.Context(), "r", ada); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer schema: %v", err)
	}
	server.Exec(t, `alter system set fsync = off`)
	server.Exec(t, `select pg_reload_conf()`)
	for range 200 {
		if _, err = s.connect(t.Context()); err != nil {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if err == nil || !strings.Contains(err.Error(), "fsync=off") {
		t.Errorf("a server without fsync: %v", err)
	}
}

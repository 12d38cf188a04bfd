package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
	"belay/steps/postgres"
)

func TestMigrations(t *testing.T) {
	got, err := postgres.Migrations([]string{"README.md", "10_c.up.sql", "2_b.up.sql", "2_b.down.sql", "001_a_b.up.sql", "x_1.up.sql", "3.up.sql"})
	want := []postgres.Migration{{Version: 1, Name: "a_b", Up: "001_a_b.up.sql"}, {Version: 2, Name: "b", Up: "2_b.up.sql", Down: "2_b.down.sql"}, {Version: 10, Name: "c", Up: "10_c.up.sql"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, names := range [][]string{{"1_a.up.sql", "01_b.up.sql"}, {"99999999999999999999_a.up.sql"}} {
		if _, err := postgres.Migrations(names); err == nil {
			t.Errorf("%v was taken", names)
		}
	}
}

func TestHops(t *testing.T) {
	all := []postgres.Migration{{Version: 1, Up: "1u", Down: "1d"}, {Version: 2, Up: "2u"}, {Version: 7, Up: "7u", Down: "7d"}}
	for _, c := range []struct {
		from, to int64
		want     []postgres.Hop
		no       string
	}{
		{-1, 7, []postgres.Hop{{-1, 1, "1u"}, {1, 2, "2u"}, {2, 7, "7u"}}, ""},
		{2, 2, nil, ""},
		{7, 2, []postgres.Hop{{7, 2, "7d"}}, ""},
		{1, -1, []postgres.Hop{{1, -1, "1d"}}, ""},
		{7, -1, nil, "version 2 has no down file"},
		{3, 7, nil, "version 3 has no file"},
		{1, 8, nil, "version 8 has no file"},
	} {
		got, err := postgres.Hops(all, c.from, c.to)
		if diff := cmp.Diff(c.want, got); c.no == "" && (diff != "" || err != nil) {
			t.Errorf("%d to %d: %v\n%s", c.from, c.to, err, diff)
		} else if c.no != "" && (err == nil || !strings.Contains(err.Error(), c.no)) {
			t.Errorf("%d to %d: %v", c.from, c.to, err)
		}
	}
}

func TestTracking(t *testing.T) {
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{})
	c, err := sqlServer(p).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	track := postgres.Tracking{Schema: "public", Table: `schema "migrations"`}
	read := func(version int64, dirty, there bool) {
		t.Helper()
		v, d, th, err := track.Version(t.Context(), c)
		if v != version || d != dirty || th != there || err != nil {
			t.Errorf("%d %v %v %v", v, d, th, err)
		}
	}
	read(-1, false, false)
	for range 2 {
		if err := track.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	read(-1, false, true)
	for _, v := range []int64{3, 20260101000000, -1} {
		for _, dirty := range []bool{true, false} {
			if err := track.Set(t.Context(), c, v, dirty); err != nil {
				t.Fatal(err)
			}
			read(v, dirty, true)
		}
	}
	p.Exec("postgres", track.Mend(4))
	read(4, false, true)

	// The ids are golang-migrate's: CRC-32 of names joined by zero bytes, times
	// its salt, in 32 bits.
	if err := track.Lock(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	other, err := sqlServer(p).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	held, is := errors.AsType[*postgres.LockedError](track.Lock(t.Context(), other, 0))
	if !is || uint32(held.PID) != c.PgConn().PID() {
		t.Errorf("%+v", held)
	}
	if err := (postgres.Tracking{Schema: "other", Table: "x"}).Lock(t.Context(), other, 0); err != nil {
		t.Error(err)
	}
}

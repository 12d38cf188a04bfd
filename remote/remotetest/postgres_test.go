package remotetest

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestPostgres: the server of a test asks for passwords when told to, has the
// settings asked for, and keeps what it has over a kill and a stop.
func TestPostgres(t *testing.T) {
	p := StartPostgres(t, PostgresOptions{User: "Odd one", Password: "p'w", Settings: []string{"wal_level = logical"}})
	p.Exec("postgres", "create database shop")
	p.Exec("shop", "create table a (n int); insert into a values (1), (null)")
	p.Kill()
	p.Start()
	p.Stop()
	p.Start()
	if got := strings.Join(p.Ask("shop", "select n from a order by n"), ","); got != "1,∅" {
		t.Errorf("rows %q", got)
	}
	if got := p.Ask("shop", "show wal_level"); got[0] != "logical" {
		t.Errorf("wal_level %q", got)
	}
	c, err := pgx.Connect(t.Context(), p.URL("shop"))
	if err != nil {
		t.Fatal(err)
	}
	c.Close(context.Background())
	p.Password = "wrong"
	if c, err := pgx.Connect(t.Context(), p.URL("shop")); err == nil {
		c.Close(context.Background())
		t.Error("a wrong password was let in")
	}
}

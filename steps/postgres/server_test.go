package postgres

import (
	"context"
	"strings"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// serverOf is a server of remotetest as belay is told of it.
func serverOf(p *remotetest.Postgres, database string) Server {
	return Server{Host: remote.Local("db"), Addr: p.Addr, User: p.User, Password: secret.New(p.Password), Database: database}
}

func TestConnect(t *testing.T) {
	t.Setenv("PGHOST", "/nowhere") // of the bastion: none of the server's business
	t.Setenv("PGSSLMODE", "require")
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{Password: `p'w\`})
	s := serverOf(p, "postgres")
	c, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var zone, path string
	err = c.QueryRow(t.Context(), "select current_setting('TimeZone'), current_setting('search_path')").Scan(&zone, &path)
	if err != nil || zone != "UTC" || path != "" {
		t.Errorf("time zone %q, search path %q, %v", zone, path, err)
	}
	c.Close(context.Background())

	s.Addr = p.Socket
	if c, err = s.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Close(context.Background())

	for _, wrong := range []struct {
		name string
		s    Server
		says string
	}{
		{"password", Server{Host: s.Host, Addr: p.Addr, User: p.User, Database: "postgres", Password: secret.New("hunter2")}, "password authentication failed"},
		{"TLS", Server{Host: s.Host, Addr: p.Addr, User: p.User, Database: "postgres", TLS: "verify-full"}, "TLS"},
		{"TLS on a socket", Server{Host: s.Host, Addr: p.Socket, User: p.User, Database: "postgres", TLS: "require"}, "a socket has none"},
		{"database", s.With("nowhere"), `database "nowhere" does not exist`},
	} {
		_, err := wrong.s.Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), wrong.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", wrong.name, err, wrong.says)
		}
	}
}

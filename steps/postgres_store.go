package steps

import (
	"context"
	"errors"
	"net"

	"belay/steps/postgres"
)

// postgresStore is a PostgreSQL server and one database of it, as a plan
// writes it.
type postgresStore struct {
	store    `yaml:",inline"`
	Database string `yaml:"database" doc:"name of the database"`
	TLS      string `yaml:"tls" enum:"disable|prefer|require|verify-ca|verify-full" default:"disable" doc:"sslmode as libpq has it, seen from the host; the way to the host is SSH's in any case"`
}

// postgresPort is the usual one.
const postgresPort = "5432"

// check refuses offline what cannot be. field is where the store stands in the
// step's parameters: "from"; empty where it is the step itself.
func (s postgresStore) check(field string) error {
	var errs []error
	if s.Database == "" {
		errs = append(errs, Field(storeField(field, "database"), "which one? it is missing"))
	}
	if host, _, err := net.SplitHostPort(s.Addr); s.TLSName != "" && err == nil && net.ParseIP(host) == nil {
		errs = append(errs, Field(storeField(field, "tls_name"), "PostgreSQL's client programs take it beside an IP address only, and addr has a name: leave one of them out"))
	}
	if len(s.Database) > 63 { // NAMEDATALEN - 1: the server would cut it off silently
		errs = append(errs, Field(storeField(field, "database"), "it is longer than the 63 bytes that PostgreSQL keeps of a name"))
	}
	return errors.Join(append(errs, storeCheck(field, s.store), storeTLS(field, s.store, s.TLS))...)
}

// server is where to connect to. It asks the host where a container is, and
// resolves the password; it does not log in. e needs Host or Hosts, and Secret.
func (s postgresStore) server(ctx context.Context, e Env) (postgres.Server, error) {
	h, outside, inside, err := storeReach(ctx, e, s.store, postgresPort)
	if err != nil {
		return postgres.Server{}, err
	}
	password, err := storePassword(ctx, s.store, e.Secret)
	if err != nil {
		return postgres.Server{}, err
	}
	trust, err := storeTrust(ctx, h, s.store)
	if err != nil {
		return postgres.Server{}, err
	}
	user := s.User
	if user == "" {
		user = "postgres"
	}
	return postgres.Server{
		Host: h, Addr: outside, Inside: inside, User: user, Password: password,
		Database: s.Database, TLS: s.TLS, Trust: trust, CAFile: s.TLSCA, Container: s.Container,
	}, nil
}

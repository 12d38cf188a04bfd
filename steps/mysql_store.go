package steps

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"belay/steps/mysql"
)

// mysqlStore is a MySQL or MariaDB server, as a plan writes it.
type mysqlStore struct {
	store `yaml:",inline"`
	TLS   string `yaml:"tls" enum:"disable|prefer|require|verify" default:"disable" doc:"seen from the host; require takes any certificate, verify the right one (client programs of MariaDB from 11.4 on know no tls_name: they log in by the certificate's name only); the way to the host is SSH's in any case"`
}

// mysqlPort is the usual one.
const mysqlPort = "3306"

// check refuses offline what cannot be. field is where the store stands in the
// step's parameters: "from"; empty where it is the step itself.
func (s mysqlStore) check(field string) error {
	return errors.Join(storeCheck(field, s.store), storeTLS(field, s.store, s.TLS))
}

// server is where to connect to. It asks the host where a container is, and
// resolves the password; it does not log in.
func (s mysqlStore) server(ctx context.Context, e Env) (mysql.Server, error) {
	h, outside, inside, err := storeReach(ctx, e, s.store, mysqlPort)
	if err != nil {
		return mysql.Server{}, err
	}
	password, err := storePassword(ctx, s.store, e.Secret)
	if err != nil {
		return mysql.Server{}, err
	}
	trust, err := storeTrust(ctx, h, s.store)
	if err != nil {
		return mysql.Server{}, err
	}
	user := s.User
	if user == "" {
		user = "root"
	}
	return mysql.Server{Host: h, Addr: outside, Inside: inside, User: user, Password: password, TLS: s.TLS, Trust: trust, CAFile: s.TLSCA, Container: s.Container}, nil
}

// ask runs a query in a read-only transaction and returns its first column.
// Nothing is kept open.
func (s mysqlStore) ask(ctx context.Context, e Env, database, query string) ([]string, error) {
	srv, err := s.server(ctx, e)
	if err != nil {
		return nil, err
	}
	db, err := srv.OpenPlain(ctx, database)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	return mysql.First(ctx, tx, strings.TrimRight(strings.TrimSpace(query), ";"))
}

// mysqlNames refuses names of databases that cannot be.
func mysqlNames(field string, names []string) error {
	var errs []error
	for _, d := range names {
		switch d {
		case "":
			errs = append(errs, Field(field, "a database has a name"))
		case "mysql", "information_schema", "performance_schema", "sys":
			errs = append(errs, Field(field, "%q is the server's own; accounts and grants go with accounts: copy", d))
		}
		if len([]rune(d)) > 64 {
			errs = append(errs, Field(field, "%.70q is longer than the 64 characters of a name", d))
		}
	}
	return errors.Join(errs...)
}

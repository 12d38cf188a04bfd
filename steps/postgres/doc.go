// Package postgres is what belay can do with a PostgreSQL server: log in from
// the host that reaches it, copy, fingerprint, replicate, freeze. It knows
// hosts, but neither plans nor steps.
package postgres

// Package mysql is what belay can do with a MySQL or MariaDB server: log in
// from the host that reaches it, copy, fingerprint, freeze. It knows hosts, but
// neither plans nor steps.
package mysql

package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Account is a login, or a role.
type Account struct {
	User, Host string
	Role       bool   // of MariaDB: it has no host
	Plugin     string // how it proves who it is
	Create     string // SHOW CREATE USER; its verifier is in it, so it is for no log
	Grants     []Grant
}

// Grant is one line of SHOW GRANTS.
type Grant struct {
	Text     string // without the password that old servers put there
	Database string // pattern of LIKE; "*" for global; "" for a role, a proxy or a default role
	Role     string // user@host of the role that is granted
}

func (a Account) String() string {
	if a.Role {
		return a.User
	}
	return a.User + "@" + a.Host
}

func (a Account) sql() string {
	if a.Role {
		return Ident(a.User)
	}
	return Ident(a.User) + "@" + Ident(a.Host)
}

// ownAccounts come with a server.
var ownAccounts = []string{"root", "mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "PUBLIC", "debian-sys-maint", "healthcheck"}

// Accounts lists the accounts that have a right on one of the databases by its
// name, those named in also (user@host), and the roles that they have.
// Accounts that come with a server are left out.
func Accounts(ctx context.Context, q Queryer, databases, also []string) ([]Account, error) {
	all, err := allAccounts(ctx, q)
	if err != nil {
		return nil, err
	}
	want := map[string]bool{}
	for _, a := range also {
		want[a] = true
	}
	for _, a := range all {
		for _, g := range a.Grants {
			if g.onAny(databases) {
				want[a.String()] = true
			}
		}
	}
	for changed := true; changed; { // roles of roles
		changed = false
		for _, a := range all {
			for _, g := range a.Grants {
				if want[a.String()] && g.Role != "" && !want[g.Role] {
					want[g.Role], changed = true, true
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(a Account) bool { return !want[a.String()] || slices.Contains(ownAccounts, a.User) }), nil
}

func allAccounts(ctx context.Context, q Queryer) ([]Account, error) {
	names, rows, err := named(ctx, q, "SELECT * FROM mysql.user ORDER BY User, Host")
	if err != nil {
		return nil, err
	}
	var all []Account
	for _, r := range rows {
		var a Account
		for i, n := range names {
			switch strings.ToLower(n) {
			case "user":
				a.User = r[i].String
			case "host":
				a.Host = r[i].String
			case "plugin":
				a.Plugin = r[i].String
			case "is_role":
				a.Role = r[i].String == "Y"
			}
		}
		if a.Plugin == "" && !a.Role {
			a.Plugin = "mysql_native_password"
		}
		if slices.Contains(ownAccounts, a.User) {
			continue
		}
		if err := a.read(ctx, q); err != nil {
			return nil, fmt.Errorf("account %s: %w", a, err)
		}
		all = append(all, a)
	}
	return all, nil
}

func (a *Account) read(ctx context.Context, q Queryer) error {
	if a.Role {
		a.Create = "CREATE ROLE " + a.sql()
	} else {
		made, err := strs(ctx, q, "SHOW CREATE USER "+a.sql())
		if err != nil {
			return err
		}
		a.Create = made[0]
	}
	lines, err := strs(ctx, q, "SHOW GRANTS FOR "+a.sql())
	if err != nil {
		return err
	}
	for _, l := range lines {
		if g := ParseGrant(l); !strings.HasPrefix(g.Text, "GRANT USAGE ON *.*") || strings.Contains(g.Text, "GRANT OPTION") {
			a.Grants = append(a.Grants, g)
		}
	}
	a.cutDefaultRole()
	return nil
}

// cutDefaultRole makes a grant of the default roles that MySQL writes into the
// definition of an account: that can be carried out only when the roles are
// there, and are the account's.
func (a *Account) cutDefaultRole() {
	const word = " DEFAULT ROLE "
	i := unquotedIndex(a.Create, word)
	if i < 0 {
		return
	}
	roles, rest := a.Create[i+len(word):], ""
	if j := unquotedIndex(roles, " REQUIRE "); j >= 0 {
		roles, rest = roles[:j], roles[j:]
	}
	a.Create = a.Create[:i] + rest
	a.Grants = append(a.Grants, Grant{Text: "ALTER USER " + a.sql() + word + roles})
}

var grantPassword = regexp.MustCompile(` IDENTIFIED (BY PASSWORD|VIA|WITH) .*?( REQUIRE | WITH GRANT OPTION| WITH MAX_|$)`)

// ParseGrant reads a line of SHOW GRANTS.
func ParseGrant(line string) Grant {
	g := Grant{Text: line}
	if i := unquotedIndex(line, " IDENTIFIED "); i >= 0 {
		g.Text = line[:i] + grantPassword.ReplaceAllString(line[i:], "$2")
	}
	on, to := unquotedIndex(g.Text, " ON "), unquotedIndex(g.Text, " TO ")
	switch {
	case on > 0 && !strings.HasPrefix(line, "GRANT PROXY"):
		what := g.Text[on+len(" ON "):]
		for _, kind := range []string{"PROCEDURE ", "FUNCTION ", "PACKAGE BODY ", "PACKAGE ", "TABLE "} {
			what = strings.TrimPrefix(what, kind)
		}
		if strings.HasPrefix(what, "*") {
			g.Database = "*"
		} else if what != "" {
			g.Database = bare(what[:skip(what, 0)])
			if rest := what[skip(what, 0):]; !strings.HasPrefix(rest, ".*") {
				// A name of one database, no pattern: as a pattern it must mean itself.
				g.Database = strings.NewReplacer("_", `\_`, "%", `\%`).Replace(g.Database)
			}
		}
	case on < 0 && to > 0 && strings.HasPrefix(line, "GRANT "):
		who := g.Text[len("GRANT "):to]
		i := skip(who, 0)
		g.Role = bare(who[:i])
		if i < len(who) && who[i] == '@' { // MySQL's roles are accounts
			g.Role += "@" + bare(who[i+1:skip(who, i+1)])
		}
	}
	return g
}

// bare is a quoted name without its quotes.
func bare(quoted string) string {
	if len(quoted) < 2 {
		return quoted
	}
	q := quoted[:1]
	return strings.ReplaceAll(quoted[1:len(quoted)-1], q+q, q)
}

func unquotedIndex(s, sub string) int {
	for i := 0; i < len(s); i = skip(s, i) {
		if strings.HasPrefix(s[i:], sub) {
			return i
		}
	}
	return -1
}

func (g Grant) onAny(databases []string) bool {
	return g.Database != "" && g.Database != "*" && slices.ContainsFunc(databases, func(d string) bool { return like(g.Database, d) })
}

// like is SQL's LIKE with backslash as escape.
func like(pattern, s string) bool {
	var re strings.Builder
	re.WriteString("(?s)^")
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			re.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		case c == '%':
			re.WriteString(".*")
		case c == '_':
			re.WriteString(".")
		default:
			re.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	ok, err := regexp.MatchString(re.String()+"$", s)
	return err == nil && ok
}

var nativeVerifier = regexp.MustCompile(`\*[0-9A-F]{40}`)

// For is the statement that makes the account on a server of another version
// or flavour, with the same password; an error tells why there is none.
func (a Account) For(from, to Version) (string, error) {
	if a.Role {
		if !to.MariaDB {
			return "CREATE ROLE " + a.sql(), nil
		}
		return a.Create, nil
	}
	if from.MariaDB == to.MariaDB && !to.before(from) {
		return a.Create, nil
	}
	verifier := nativeVerifier.FindString(a.Create)
	switch {
	case a.Plugin == "mysql_native_password" && verifier != "" && to.MariaDB:
		return "CREATE USER " + a.sql() + " IDENTIFIED VIA mysql_native_password USING '" + verifier + "'", nil
	case a.Plugin == "mysql_native_password" && verifier != "":
		return "CREATE USER " + a.sql() + " IDENTIFIED WITH 'mysql_native_password' AS '" + verifier + "'", nil
	case from.MariaDB == to.MariaDB:
		return a.Create, nil
	}
	return "", fmt.Errorf("account %s proves itself by %s, which %s cannot take over from %s: make it there with a new password", a, a.Plugin, to, from)
}

// Plugins lists the ways in which accounts can prove who they are.
func Plugins(ctx context.Context, q Queryer) ([]string, error) {
	return strs(ctx, q, "SELECT plugin_name FROM information_schema.plugins WHERE plugin_type = 'AUTHENTICATION' AND plugin_status = 'ACTIVE'")
}

// splitAccount reads user@host; the host may hold no @.
func splitAccount(a string) Account {
	at := strings.LastIndex(a, "@")
	if at < 0 {
		return Account{User: a, Host: "%"}
	}
	return Account{User: a[:at], Host: a[at+1:]}
}

// Unlocked tells which of the accounts (user@host) may log in. One that does
// not exist is an error.
func (d *DB) Unlocked(ctx context.Context, accounts []string) ([]string, error) {
	var free []string
	for _, a := range accounts {
		made, err := strs(ctx, d, "SHOW CREATE USER "+splitAccount(a).sql())
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", a, err)
		}
		if !strings.Contains(unquoted(made[0]), "ACCOUNT LOCK") {
			free = append(free, a)
		}
	}
	return free, nil
}

// LockAccounts lets accounts (user@host) not log in any more, or again.
// Sessions that there are go on.
func (d *DB) LockAccounts(ctx context.Context, accounts []string, lock bool) error {
	word := map[bool]string{true: " ACCOUNT LOCK", false: " ACCOUNT UNLOCK"}[lock]
	if len(accounts) == 0 {
		return nil
	}
	return d.whileSuper(ctx, func() error {
		for _, a := range accounts {
			if _, err := d.ExecContext(ctx, "ALTER USER "+splitAccount(a).sql()+word); err != nil {
				return fmt.Errorf("account %s: %w", a, err)
			}
		}
		return nil
	})
}

package mysql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Survey is what there is to copy and what stands in its way. Looking changes
// nothing.
type Survey struct {
	From, To   Version
	Databases  []string
	Tables     []*Table
	Stored     []Stored
	Accounts   []Account
	Rows       int64           // the server's estimate
	Bytes      int64           // the same
	Holds      map[string]int  // of databases that the target has: how many objects are in them
	Known      map[string]bool // collations of the target
	Users      map[string]bool // accounts of the target, user@host
	Plugins    []string        // of the target
	Engines    []string        // the same
	Rights     map[string]bool // the same: privileges that it knows, in upper case; nil: not told
	Issues     []Issue
	left       []Account // with rights on the databases, where accounts are not copied
	NoAccounts string    // why the accounts could not be read
}

// Issue is something that stands in the way, or that people should know.
type Issue struct {
	Block bool
	Key   string // what it is about, the same each time
	Text  string
	Fix   string
}

func (s *Survey) warn(key, fix, text string, args ...any) {
	s.Issues = append(s.Issues, Issue{false, key, fmt.Sprintf(text, args...), fix})
}

func (s *Survey) block(key, fix, text string, args ...any) {
	s.Issues = append(s.Issues, Issue{true, key, fmt.Sprintf(text, args...), fix})
}

// Blocked is the first issue that blocks, as an error; nil when none does.
func (s *Survey) Blocked() error {
	var all []string
	for _, i := range s.Issues {
		if i.Block {
			all = append(all, i.Text+" ("+i.Fix+")")
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%s; nothing was changed", strings.Join(all, "; "))
}

// Survey looks at both servers.
func (c *Copy) Survey(ctx context.Context) (*Survey, error) {
	from, err := c.From.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	defer from.Close()
	to, err := c.To.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	defer to.Close()
	return c.survey(ctx, from, to)
}

func (c *Copy) survey(ctx context.Context, from, to *DB) (*Survey, error) {
	s := &Survey{From: from.Version, To: to.Version, Databases: c.Databases, Holds: map[string]int{}, Known: map[string]bool{}, Users: map[string]bool{}}
	if err := s.source(ctx, from, c); err != nil {
		return nil, fmt.Errorf("source %s: %w", c.From, err)
	}
	if err := s.target(ctx, to); err != nil {
		return nil, fmt.Errorf("target %s: %w", c.To, err)
	}
	for _, judge := range []func(context.Context, *DB, *DB, *Copy) error{s.judgeServers, s.judgePrivileges, s.judgeContent, s.judgeFlavour, s.judgeKeys} {
		if err := judge(ctx, from, to, c); err != nil {
			return nil, err
		}
	}
	s.judgeAccounts(c)
	s.judgeTarget(c)
	return s, nil
}

func (s *Survey) source(ctx context.Context, from *DB, c *Copy) (err error) {
	there, err := Databases(ctx, from)
	if err != nil {
		return err
	}
	if len(s.Databases) == 0 {
		s.Databases = there
	}
	for _, d := range s.Databases {
		if !slices.Contains(there, d) {
			return fmt.Errorf("database %q is not there, or %s may not see it", d, c.From.User)
		}
	}
	if len(s.Databases) == 0 {
		return fmt.Errorf("there is no database that %s may see", c.From.User)
	}
	if s.Tables, err = Tables(ctx, from, s.Databases); err != nil {
		return err
	}
	if s.Stored, err = StoredObjects(ctx, from, s.Databases); err != nil {
		return err
	}
	for _, t := range s.Tables {
		s.Rows += t.Rows
		s.Bytes += t.Bytes
	}
	var definers []string
	for _, o := range s.Stored {
		definers = append(definers, o.Definer)
	}
	if !c.Accounts { // a login that may not read them cannot be told what is missing
		s.left, _ = Accounts(ctx, from, s.Databases, nil)
	} else {
		if s.Accounts, err = Accounts(ctx, from, s.Databases, definers); Number(err) != 0 {
			s.NoAccounts, err = err.Error(), nil
		}
	}
	return err
}

func (s *Survey) target(ctx context.Context, to *DB) error {
	rows, err := table(ctx, to, `SELECT s.schema_name, (SELECT COUNT(*) FROM information_schema.tables t WHERE t.table_schema = s.schema_name)
		+ (SELECT COUNT(*) FROM information_schema.routines r WHERE r.routine_schema = s.schema_name)
		+ (SELECT COUNT(*) FROM information_schema.events e WHERE e.event_schema = s.schema_name)
		FROM information_schema.schemata s WHERE s.schema_name IN `+in(len(s.Databases)), anys(s.Databases)...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		n, _ := strconv.Atoi(r[1].String)
		s.Holds[r[0].String] = n
	}
	known, err := strs(ctx, to, "SELECT collation_name FROM information_schema.collations")
	if err != nil {
		return err
	}
	// MariaDB has uca1400 for every charset under one name.
	full, _ := strs(ctx, to, "SELECT full_collation_name FROM information_schema.collation_character_set_applicability")
	for _, k := range append(known, full...) {
		s.Known[k] = true
	}
	if s.Plugins, err = Plugins(ctx, to); err != nil {
		return err
	}
	if s.Engines, err = strs(ctx, to, "SELECT LOWER(engine) FROM information_schema.engines WHERE support IN ('YES', 'DEFAULT')"); err != nil {
		return err
	}
	if s.Rights, err = rights(ctx, to); err != nil {
		return err
	}
	users, err := table(ctx, to, "SELECT User, Host FROM mysql.user")
	if err != nil {
		s.Users = nil // not allowed to know
		return nil
	}
	for _, u := range users {
		name := u[0].String
		if u[1].String != "" {
			name += "@" + u[1].String
		}
		s.Users[name] = true
	}
	return nil
}

func vars(ctx context.Context, q Queryer) (map[string]string, error) {
	rows, err := table(ctx, q, `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('local_infile', 'lower_case_table_names', 'sql_mode', 'max_allowed_packet', 'event_scheduler', 'read_only', 'partial_revokes')`)
	all := map[string]string{}
	for _, r := range rows {
		all[r[0].String] = r[1].String
	}
	return all, err
}

func (s *Survey) judgeServers(ctx context.Context, from, to *DB, c *Copy) error {
	a, err := vars(ctx, from)
	if err != nil {
		return err
	}
	b, err := vars(ctx, to)
	if err != nil {
		return err
	}
	switch {
	case s.From.MariaDB != s.To.MariaDB:
		s.warn("version", "rehearse it; what the other flavour does not know is named by the server when it is made", "from %s to %s is a change of flavour", s.From, s.To)
	case s.To.before(s.From):
		s.warn("version", "rehearse it, or install the newer line on the target", "the target (%s) is older than the source (%s)", s.To, s.From)
	}
	if b["partial_revokes"] != "ON" && slices.ContainsFunc(s.Accounts, Account.partly) {
		s.block("partial_revokes", "SET PERSIST partial_revokes = ON there, or give these accounts their rights by database first", "accounts have rights on everything but some databases, which the target does not know (partial_revokes): %s", list(partly(s.Accounts)))
	}
	if b["local_infile"] != "ON" {
		s.block("local_infile", "SET GLOBAL local_infile = ON there, and OFF after", "the target does not take LOAD DATA LOCAL: local_infile is off")
	}
	if b["read_only"] == "ON" && len(s.Databases) > 0 {
		s.warn("read_only", "make sure that it is the right server, and that belay's login may write", "the target is read_only")
	}
	if a["lower_case_table_names"] != b["lower_case_table_names"] {
		seen := map[string]*Table{}
		for _, t := range s.Tables {
			low := strings.ToLower(t.String())
			if o := seen[low]; o != nil && b["lower_case_table_names"] != "0" {
				s.block("lower_case_table_names", "rename one of them", "the target takes %s and %s for one table (lower_case_table_names=%s)", o, t, b["lower_case_table_names"])
			}
			seen[low] = t
		}
		s.warn("lower_case_table_names", "see that the application writes names in one way", "lower_case_table_names is %s at the source and %s at the target", a["lower_case_table_names"], b["lower_case_table_names"])
	}
	pa, _ := strconv.ParseInt(a["max_allowed_packet"], 10, 64)
	pb, _ := strconv.ParseInt(b["max_allowed_packet"], 10, 64)
	if pb < pa {
		s.warn("max_allowed_packet", fmt.Sprintf("SET GLOBAL max_allowed_packet = %d there", pa), "the target takes packets of %d bytes, the source of %d: bigger values would not be accepted", pb, pa)
	}
	if a["sql_mode"] != b["sql_mode"] {
		s.warn("sql_mode", "set it alike, if the application does not set its own", "sql_mode differs: %s at the source, %s at the target", a["sql_mode"], b["sql_mode"])
	}
	for _, o := range s.Stored {
		if o.Kind == Event && b["event_scheduler"] == "ON" && !c.EventsOff && !strings.Contains(unquoted(o.Text), " DISABLE") {
			s.warn("event_scheduler", "say events: disabled, and enable them at the cutover", "%s would begin to run on the target as soon as it is copied", o)
			break
		}
	}
	return nil
}

func (s *Survey) judgePrivileges(ctx context.Context, from, to *DB, c *Copy) error {
	if !c.Frozen {
		may, err := privileged(ctx, from, "RELOAD")
		if err != nil {
			return err
		}
		if !may {
			s.block("reload", "GRANT RELOAD ON *.* to it, or stop the writers before and say frozen: true", "%s lacks RELOAD at the source, without which the source cannot be held for a moment", c.From.User)
		}
	}
	if s.NoAccounts != "" {
		s.block("accounts", "GRANT SELECT ON mysql.* to it, or say accounts: none", "%s may not read the accounts of the source: %s", c.From.User, s.NoAccounts)
	}
	may, err := privileged(ctx, to, "CREATE")
	if err != nil {
		return err
	}
	if !may {
		s.warn("privileges", "GRANT ALL ON *.* to it for the time of the move", "%s has no global CREATE at the target", c.To.User)
	}
	return nil
}

// privileged tells whether the login has a global privilege.
func privileged(ctx context.Context, q Queryer, what string) (bool, error) {
	lines, err := strs(ctx, q, "SHOW GRANTS")
	if err != nil {
		return false, err
	}
	for _, l := range lines {
		g := ParseGrant(l)
		head := strings.TrimPrefix(g.Text[:max(0, unquotedIndex(g.Text, " ON "))], "GRANT ")
		head = "," + strings.ReplaceAll(head, ", ", ",") + "," // MySQL sets no spaces between its dynamic ones
		if g.Database == "*" && (head == ",ALL PRIVILEGES," || strings.Contains(head, ","+what+",")) {
			return true, nil
		}
	}
	return false, nil
}

func (s *Survey) judgeContent(ctx context.Context, from, _ *DB, c *Copy) error {
	used := map[string][]string{}
	rows, err := table(ctx, from, "SELECT schema_name, default_collation_name FROM information_schema.schemata WHERE schema_name IN "+in(len(s.Databases)), anys(s.Databases)...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		used[r[1].String] = append(used[r[1].String], "database "+r[0].String)
	}
	var engines, versioned []string
	for _, t := range s.Tables {
		used[t.Collation] = append(used[t.Collation], "table "+t.String())
		for _, col := range t.Columns {
			if col.Collation != "" && col.Collation != t.Collation {
				used[col.Collation] = append(used[col.Collation], t.String()+"."+col.Name)
			}
		}
		if !strings.EqualFold(t.Engine, "InnoDB") {
			engines = append(engines, t.String()+" ("+t.Engine+")")
		}
		if t.Versioned {
			versioned = append(versioned, t.String())
		}
	}
	for _, k := range slices.Sorted(maps.Keys(used)) {
		to := k
		if m := c.Collations[k]; m != "" {
			to = m
		}
		if to != "" && !s.Known[to] {
			place := "utf8mb4_unicode_ci"
			if strings.HasSuffix(k, "_bin") {
				place = "utf8mb4_bin"
			}
			s.block("collation "+k, fmt.Sprintf("say which one takes its place: collations: {%s: %s}; unique keys may then take different words for equal", k, place),
				"the target has no collation %s, which %s uses", to, strings.Join(used[k][:1], ", "))
		}
	}
	if len(engines) > 0 && !c.Frozen {
		s.warn("engine", "stop what writes to them before, and say frozen: true", "not all tables are InnoDB's, and a snapshot does not cover the others: %s", list(engines))
	}
	if len(versioned) > 0 && s.To.MariaDB {
		s.warn("versioned", "copy it by mysql.dump if it counts", "the history of system-versioned tables is not copied, only what is now: %s", list(versioned))
	}
	return nil
}

// list is the beginning of a list for people.
func list(all []string) string {
	if len(all) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:5], ", "), len(all)-5)
	}
	return strings.Join(all, ", ")
}

func (s *Survey) judgeAccounts(c *Copy) {
	copied := map[string]bool{}
	var hosts []string
	var unknown []string
	for _, a := range s.Accounts {
		copied[a.String()] = true
		for _, g := range a.Grants {
			if _, left := g.known(s.Rights); len(left) > 0 {
				unknown = append(unknown, fmt.Sprintf("%s (%s)", a, strings.Join(left, ", ")))
			}
		}
		if s.Users[a.String()] {
			continue
		}
		if _, err := a.For(s.From, s.To); err != nil {
			s.block("account "+a.String(), "make it on the target with a new password first", "%s", err)
		} else if a.Plugin != "" && !a.Role && !slices.Contains(s.Plugins, a.Plugin) {
			s.block("account "+a.String(), "load the plugin there, or make the account with another way to prove itself first", "the target lacks the plugin %s, by which account %s proves itself", a.Plugin, a)
		}
		if !a.Role && a.Host != "%" && a.Host != "localhost" {
			hosts = append(hosts, a.String())
		}
	}
	if len(unknown) > 0 {
		s.warn("rights", "see what takes their place there, if these accounts need it", "the target does not know these rights, and the accounts come without them: %s", list(unknown))
	}
	var left []string
	for _, a := range s.left {
		if s.Users != nil && !a.Role && !s.Users[a.String()] {
			left = append(left, a.String())
		}
	}
	if len(left) > 0 {
		s.warn("accounts left", "say accounts: copy, or see that they are made before anybody is sent there", "accounts with rights on the databases that the target lacks, and that do not come along: %s", list(left))
	}
	if len(hosts) > 0 {
		s.warn("account hosts", "see that the application comes to the target from an address that they name", "accounts that are only let in from some addresses: %s", list(hosts))
	}
	missing := map[string][]string{}
	for _, o := range s.Stored {
		d := o.Definer
		if to := c.Definers[d]; to != "" {
			d = to
		}
		if d != "" && s.Users != nil && !copied[d] && !s.Users[d] {
			missing[d] = append(missing[d], o.String())
		}
	}
	for _, d := range slices.Sorted(maps.Keys(missing)) {
		s.block("definer "+d, fmt.Sprintf("say accounts: copy, make the account, or name another: definers: {%q: …}", d), "the target has no account %s, as which these run: %s", d, list(missing[d]))
	}
}

func (s *Survey) judgeTarget(c *Copy) {
	for _, d := range slices.Sorted(maps.Keys(s.Holds)) {
		if s.Holds[d] > 0 && !c.State.ours(d) {
			s.block("database "+d, "is it the right server? Drop or rename that database by hand if it may go", "database %q of the target is not empty: it has %d objects that this step did not make", d, s.Holds[d])
		}
	}
}

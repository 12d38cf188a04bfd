package draft

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"belay/checks/inspect"
	"belay/remote"
)

// way is how a database comes along.
type way struct {
	follow  bool // kept equal while the old one serves, else copied while it is frozen
	reverse bool // and after the switch the old one is kept equal, so that a rollback loses nothing
	why     string
}

// wayOf chooses: copying is the simplest, and right where it fits into the time
// that people can be without it. Following needs a way between the servers.
func (d *draft) wayOf(it Item) way {
	_, took := Guess(d.items)
	switch {
	case d.Freeze == 0 || took <= d.Freeze || it.Name == "redis":
		return way{}
	case !reachable(it):
		return way{why: fmt.Sprintf("A copy takes longer than people can be without it, but %s listens on 127.0.0.1 only, so that the new server cannot follow it. Let it listen where %s reaches it, and draft again.", it.Title(), d.New.Name)}
	case d.Clients == "proxy":
		return way{follow: true, why: "The old server stops at the end, so that its port is handed on; it cannot be kept equal as well. With clients that find the new server by its name it could, and a rollback would lose nothing."}
	case !reachable(d.there(it)):
		return way{follow: true, why: fmt.Sprintf("%s on %s listens on 127.0.0.1 only: the old server cannot follow it after the switch, and a rollback loses what was written since.", it.Name, d.New.Name)}
	}
	return way{follow: true, reverse: true, why: "The old server follows the new one until the close, so that a rollback loses nothing."}
}

// reachable tells a server that others than its own host can connect to.
func reachable(it Item) bool {
	if it.Database == nil {
		return false
	}
	for _, p := range it.Programs {
		if slices.ContainsFunc(p.Listens, func(l inspect.Listen) bool { return l.Port == it.Database.Port && !l.Loopback() }) {
			return true
		}
	}
	return false
}

// there is the server of the same engine on the new host: that on the same
// port, or the first one, unless several would go into it. None has no Database.
func (d *draft) there(it Item) Item {
	same := func(o Item) bool { return o.Kind == Database && o.Name == it.Name }
	var all []Item
	for _, other := range Items(d.new) {
		if same(other) {
			all = append(all, other)
		}
	}
	if i := slices.IndexFunc(all, func(o Item) bool { return o.Database.Port == it.Database.Port }); i >= 0 {
		return all[i]
	}
	if several := slices.IndexFunc(d.items, func(o Item) bool { return same(o) && o.Key() != it.Key() }) >= 0; several || len(all) == 0 {
		return Item{}
	}
	return all[0]
}

// dataOf names the database server of either host that has its data in, or
// around, a directory; "" for none. Its databases go by steps of their own:
// the files of a server that runs are no copy, and no place for one.
func (d *draft) dataOf(dir string) string {
	for _, p := range slices.Concat(d.old.Programs, d.new.Programs) {
		dbs := databases(p)
		if len(dbs) == 0 {
			continue
		}
		at := []string{}
		for _, db := range p.Databases {
			at = append(at, db.Dir)
		}
		for _, pr := range p.Processes { // a server works in it, where nobody may ask it
			at = append(at, pr.Dir)
		}
		for _, data := range at {
			if data = path.Clean(data); under(data) != "" && (data == dir || strings.HasPrefix(data, dir+"/") || strings.HasPrefix(dir, data+"/")) {
				return dbs[0].Name
			}
		}
	}
	return ""
}

// pair is a database server on both hosts, as the steps write it.
type pair struct {
	old, now string // host:port as each host sees its own
	port     string // of now
	was, is  string // the secrets
	user     string
}

func (d *draft) pairOf(it Item) pair {
	port := it.Database.Port
	if other := d.there(it).Database; other != nil {
		port = other.Port // where there is none yet, the assessment asks for it
	}
	return pair{
		old: fmt.Sprintf("127.0.0.1:%d", it.Database.Port), now: fmt.Sprintf("127.0.0.1:%d", port), port: strconv.Itoa(port),
		was: fmt.Sprintf("%s_%d_old", it.Name, it.Database.Port), is: fmt.Sprintf("%s_%d_new", it.Name, it.Database.Port),
		user: map[string]string{"postgresql": "postgres", "mysql": "root"}[it.Name],
	}
}

// ends are both sides of one database ("" for a whole server).
func (d *draft) ends(p pair, database string) (from, to raw) {
	end := func(host, addr, secret string) raw {
		text := fmt.Sprintf("{host: %s, addr: %q", quote(host), addr)
		if p.user != "" {
			text += ", user: " + p.user
		}
		text += fmt.Sprintf(", password: {secret: %s}", secret)
		if database != "" {
			text += ", database: " + quote(database)
		}
		return raw(text + "}")
	}
	return end(d.Old.Name, p.old, p.was), end(d.New.Name, p.now, p.is)
}

// moveDatabase brings a server's databases into the server of the same engine
// on the new host.
func (d *draft) moveDatabase(it Item) {
	p := d.pairOf(it)
	d.assess.line("  - tcp: {on: %s, addr: %s}", d.New.Name, p.now)
	for _, s := range [][2]string{{p.was, d.Old.Name}, {p.is, d.New.Name}} {
		d.secrets.line("  %s: {prompt: %s}", s[0], strings.Join(strings.Fields(fmt.Sprintf("password of %s in %s on %s", cmp.Or(p.user, "the default user"), it.Name, s[1])), " "))
	}
	w := d.wayOf(it)
	if w.follow {
		d.address("old_address", d.Old, "as "+d.New.Name+" reaches it")
	}
	if w.why != "" {
		d.cutover.note("  ", w.why)
	}
	switch it.Name {
	case "postgresql":
		for _, n := range it.names() {
			if n.Name == "postgres" {
				d.cutover.note("  ", fmt.Sprintf("%s has tables of people's own in the database postgres, which every server has: %s. It is copied into the one on %s, which must have none.", d.Old.Name, strings.Join(it.Database.Own, ", "), d.New.Name))
			}
			d.movePostgres(it, p, n, w)
		}
		if len(it.Database.Names) == 0 { // a server always has some: they could not be read
			d.cutover.line("  - step: %s", "Copy the databases of "+it.Title())
			d.cutover.line("    manual: %s", strings.Join(strings.Fields(fmt.Sprintf("belay could not read which databases %s on %s has, so this plan copies NONE of them. %s Draft it again where they can be read (as root, or %s), or copy them here by hand.",
				it.Title(), d.Old.Name, it.Database.Note, "as a login that may read them")), " "))
			d.cutover.line("    undo: {manual: %s}", fmt.Sprintf("Take back what was copied by hand to %s.", d.New.Name))
		}
	case "mysql":
		d.moveMySQL(it, p, w)
	case "redis":
		d.moveRedis(it, p)
	}
	d.soak.line("    - tcp: {on: %s, addr: %s, every: \"${{ look_every }}\"}", d.New.Name, p.now)
}

// reach is a port of the new host as the old one reaches it: by a variable, for
// a rehearsal takes place on other hosts.
func (d *draft) reach(port string) raw {
	d.address("new_address", *d.New, "as "+d.Old.Name+" reaches it")
	return raw(fmt.Sprintf(`"${{ new_address }}:%s"`, port))
}

// address names a variable for a host's address, once.
func (d *draft) address(name string, e End, says string) {
	at := e.at()
	if strings.Contains(at, ":") { // a port comes behind it
		at = "[" + at + "]"
	}
	line := fmt.Sprintf("  %s: %s   # %s\n", name, quote(at), says)
	if !strings.Contains(d.vars.String(), line) {
		d.vars.raw(line)
	}
}

func (d *draft) movePostgres(it Item, p pair, n inspect.Size, w way) {
	what := n.Name
	if it.Database.Port != 5432 {
		what += fmt.Sprintf(" on port %d", it.Database.Port)
	}
	from, to := d.ends(p, n.Name)
	if w.follow {
		d.prepare.line("  - step: %s", "Make the schema of "+what)
		d.prepare.line("    on: %s", d.New.Name)
		d.prepare.line("    postgres.copy: {from: %s, to: %s, schema_only: true}", from, to)
		d.prepare.line("  - step: %s", "Let the new database "+what+" follow the old one")
		d.prepare.line("    postgres.replicate: {from: %s, to: %s, source_addr: %s}", from, to, raw(fmt.Sprintf(`"${{ old_address }}:%d"`, it.Database.Port)))
	}
	d.cutover.line("  - step: %s", "Freeze the database "+what)
	d.cutover.line("    on: %s", d.Old.Name)
	d.cutover.line("    postgres.freeze: {addr: %s, user: postgres, password: {secret: %s}, database: %s}", p.old, p.was, n.Name)
	switch reverse := raw(""); {
	case w.follow:
		if w.reverse {
			reverse = raw(fmt.Sprintf(`, reverse: {addr: %s}`, d.reach(p.port)))
			d.closing.line("  - step: %s", "Let go of the old database "+what)
			d.closing.line("    postgres.detach: {from: %s, to: %s}", from, to)
		}
		d.cutover.line("  - step: %s", "Switch to the new database "+what)
		d.cutover.line("    postgres.switch: {from: %s, to: %s%s}", from, to, reverse)
	default:
		d.cutover.line("  - step: %s", "Copy the database "+what)
		d.cutover.line("    on: %s", d.New.Name)
		d.cutover.line("    postgres.copy: {from: %s, to: %s, frozen: true}", from, to)
	}
	d.pairs.line("        - name: %s", what)
	d.pairs.line("          postgres: {old: %s, new: %s}", from, to)
}

func (d *draft) moveMySQL(it Item, p pair, w way) {
	port := it.Database.Port
	from, to := d.ends(p, "")
	if w.follow {
		d.prepare.line("  - step: %s", fmt.Sprintf("Let the new MySQL on port %d follow the old one", port))
		d.prepare.line("    mysql.replicate: {from: %s, to: %s, source_addr: %s, accounts: copy}", from, to, raw(fmt.Sprintf(`"${{ old_address }}:%d"`, port)))
	}
	d.cutover.line("  - step: %s", fmt.Sprintf("Freeze MySQL on port %d", port))
	d.cutover.line("    on: %s", d.Old.Name)
	d.cutover.line("    mysql.freeze: {addr: %s, user: root, password: {secret: %s}}", p.old, p.was)
	switch reverse := raw(""); {
	case w.follow:
		if w.reverse {
			reverse = raw(fmt.Sprintf(`, reverse: %s`, d.reach(p.port)))
			d.closing.line("  - step: %s", fmt.Sprintf("Part from the old MySQL on port %d", port))
			d.closing.line("    mysql.part: {from: %s, to: %s}", from, to)
		}
		d.cutover.line("  - step: %s", fmt.Sprintf("Switch to the new MySQL on port %d", port))
		d.cutover.line("    mysql.switch: {from: %s, to: %s%s}", from, to, reverse)
	default:
		d.cutover.line("  - step: %s", fmt.Sprintf("Copy the databases of MySQL on port %d", port))
		d.cutover.line("    on: %s", d.New.Name)
		d.cutover.line("    mysql.copy: {from: %s, to: %s, accounts: copy, frozen: true}", from, to)
	}
	d.pairs.line("        - name: %s", fmt.Sprintf("mysql %d", port))
	d.pairs.line("          mysql: {old: %s, new: %s}", from, to)
}

func (d *draft) moveRedis(it Item, p pair) {
	from, to := d.ends(p, "")
	ends := raw(fmt.Sprintf("from: %s, to: %s, by: scan", from, to))
	d.prepare.note("  ", "by: scan needs no way from the new server to the old one; where there is one, `by: replication` with source_addr is faster.")
	d.prepare.line("  - step: %s", fmt.Sprintf("Copy the keys of Redis on port %d", it.Database.Port))
	d.prepare.line("    redis.copy: {%s}", ends)
	d.cutover.line("  - step: %s", fmt.Sprintf("Make the new Redis on port %s the master", p.port))
	d.cutover.line("    redis.switch: {%s}", ends)
	d.pairs.line("        - name: %s", fmt.Sprintf("redis %d", it.Database.Port))
	d.pairs.line("          redis: {old: %s, new: %s}", from, to)
	d.pairs.line("          ignore: [{kind: user, why: %s}]", "the new server keeps its own logins")
}

// toMove is what the databases' ways are chosen by, for people.
func (d *draft) toMove() string {
	n, took := Guess(d.items)
	if d.Freeze == 0 || n == 0 {
		return ""
	}
	text := fmt.Sprintf("People can be without it for %s. The databases have %s: a guess is %s for their copies; a rehearsal will know.",
		Length(d.Freeze), remote.FormatBytes(n), Length(took))
	if took > d.Freeze {
		text += " That is too long: the new side follows the old one before the cutover, which then takes seconds, where a way between the servers allows it."
	}
	return text
}

package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/remote/ssh"
	"belay/steps/mysql"
)

const mysqlShop = `CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE DATABASE other; CREATE TABLE other.t (n int AUTO_INCREMENT PRIMARY KEY); USE shop;
	CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, writer int NOT NULL, note varchar(80), KEY (writer));
	CREATE TABLE items (id bigint AUTO_INCREMENT PRIMARY KEY, o bigint, CONSTRAINT f FOREIGN KEY (o) REFERENCES orders (id) ON DELETE CASCADE);
	CREATE TABLE audit (n bigint AUTO_INCREMENT PRIMARY KEY, o bigint); CREATE TRIGGER tr AFTER INSERT ON orders FOR EACH ROW INSERT INTO audit (o) VALUES (NEW.id);
	CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL); INSERT INTO counter VALUES (1, 0); CREATE TABLE keyless (a int, b varchar(20));
	CREATE SEQUENCE tickets CACHE 10; CREATE VIEW v AS SELECT id FROM orders; CREATE EVENT tick ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DO INSERT INTO keyless VALUES (1, 'tick');
	INSERT INTO orders (writer, note) SELECT 0, REPEAT('x', 50) FROM seq_1_to_5000; INSERT INTO items (o) SELECT id FROM orders; INSERT INTO keyless VALUES (1, 'a'), (1, 'a');
	CREATE USER app@'%' IDENTIFIED BY 'pw'; GRANT ALL ON shop.* TO app@'%'; GRANT ALL ON other.* TO app@'%'`

// mysqlOwnShop is mysqlShop in MySQL's words.
var mysqlOwnShop = strings.NewReplacer("CREATE SEQUENCE tickets CACHE 10;", "SET cte_max_recursion_depth = 5000;",
	"SELECT 0, REPEAT('x', 50) FROM seq_1_to_5000", "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 5000) SELECT 0, REPEAT('x', 50) FROM s").Replace(mysqlShop)

// newMySQLMove is an old server with a shop, and a new one that can follow it;
// a and b are settings of them.
func newMySQLMove(t *testing.T, start mysqlStart, a, b []string) *mysqlBox {
	t.Helper()
	o := func(id string, more []string) remotetest.MySQLOptions {
		return remotetest.MySQLOptions{Password: "top " + id, Settings: append([]string{"--log-bin=bin", "--loose-binlog-format=ROW", "--server-id=" + id, "--relay-log=relay",
			"--loose-gtid-mode=ON", "--loose-enforce-gtid-consistency=ON", "--loose-slave-net-timeout=4", "--loose-replica-net-timeout=4"}, more...)}
	}
	box := newMySQLBoxOf(t, start, o("1", a), o("2", b))
	shop := mysqlShop
	if box.a.Programs != "" {
		shop = mysqlOwnShop
	}
	box.a.Exec("", shop)
	return box
}

func (b *mysqlBox) pair() mysqlPair {
	return mysqlPair{From: mysqlStoreOf(b.a, "a"), To: mysqlStoreOf(b.b, "b")}
}

func (b *mysqlBox) replicate() *mysqlReplicate {
	return &mysqlReplicate{mysqlPair: b.pair(), Databases: []string{"shop"}, SourceAddr: b.a.Addr, Accounts: "copy", ReadOnly: true, Lag: remote.Duration(5 * time.Second), LockWait: 10 * time.Second, Lanes: 2, PartSize: 1 << 20}
}

// mine is the surroundings of another step of the same run.
func (b *mysqlBox) mine(id string) Env {
	e := b.e
	e.ID, e.Memory = "run."+id, MapMemory{}
	return e
}

// leftovers are what a replication must not leave behind.
func (b *mysqlBox) leftovers(t *testing.T) {
	t.Helper()
	for name, m := range map[string]*remotetest.MySQL{"old": b.a, "new": b.b} {
		got := append(m.Ask("", "SELECT User FROM mysql.user WHERE User LIKE 'belay\\_%'"), m.Ask("", "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'belay%'")...)
		status := "SHOW ALL SLAVES STATUS"
		if m.Programs != "" {
			status = "SHOW REPLICA STATUS"
		}
		if m.Programs != "" {
			got = append(got, m.Ask("", "SELECT variable_name FROM performance_schema.persisted_variables")...)
		}
		if got = append(got, m.Ask("", status)...); len(got) > 0 {
			t.Errorf("left on the %s server: %q", name, got)
		}
	}
}

// same tells what differs.
func (b *mysqlBox) same(t *testing.T) {
	t.Helper()
	for _, table := range []string{"orders", "items", "audit", "counter", "keyless"} {
		q := "CHECKSUM TABLE " + table
		if d := cmp.Diff(b.a.Ask("shop", "SELECT COUNT(*) FROM "+table), b.b.Ask("shop", "SELECT COUNT(*) FROM "+table)); d != "" {
			t.Errorf("rows of %s:\n%s", table, d)
		}
		if d := cmp.Diff(mysqlSecond(t, b.a, q), mysqlSecond(t, b.b, q)); d != "" {
			t.Errorf("%s:\n%s", table, d)
		}
	}
}

// mysqlSecond is the second column of a query's first row.
func mysqlSecond(t *testing.T, m *remotetest.MySQL, q string) string {
	t.Helper()
	db := mysqlAs(t, m, "root", "")
	defer db.Close()
	if _, err := db.Exec("USE shop"); err != nil {
		t.Fatal(err)
	}
	var name, sum string
	if err := db.QueryRow(q).Scan(&name, &sum); err != nil {
		t.Fatal(err)
	}
	return sum
}

// mysqlAs logs in past belay; root by the socket.
func mysqlAs(t *testing.T, m *remotetest.MySQL, user, password string) *mysql.DB {
	t.Helper()
	addr := m.Addr
	if user == "root" {
		addr = m.Socket
	}
	db, err := mysql.Server{Host: remote.Local("x"), Addr: addr, User: user, Password: secret.New(password)}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return db
}

// mysqlWriters write until they are stopped, and know what was acknowledged.
type mysqlWriters struct {
	over  atomic.Bool
	all   sync.WaitGroup
	acked [4][]int64
	total atomic.Int64
	ups   atomic.Int64 // updates acknowledged
	last  atomic.Value // error: why a write was refused, the latest
}

func (w *mysqlWriters) start(m *remotetest.MySQL) {
	s := mysql.Server{Host: remote.Local("x"), Addr: m.Addr, User: "app", Password: secret.New("pw")}
	next := "NEXTVAL(shop.tickets)"
	if m.Programs != "" {
		next = "UUID()" // MySQL has no sequences
	}
	for i := range w.acked {
		w.all.Go(func() {
			for !w.over.Load() {
				db, err := s.Open(context.Background())
				if err == nil {
					db.SetMaxOpenConns(1)
				}
				for n := 0; err == nil && !w.over.Load(); n++ {
					switch {
					case n%7 == 6:
						_, err = db.ExecContext(context.Background(), "INSERT INTO other.t VALUES ()")
					case n%5 == 4:
						if _, err = db.ExecContext(context.Background(), "UPDATE shop.counter SET n = n + 1"); err == nil {
							w.ups.Add(1)
						}
					default:
						res, ierr := db.ExecContext(context.Background(), "INSERT INTO shop.orders (writer, note) VALUES (?, CONCAT('live ', "+next+"))", i+1)
						if err = ierr; err == nil {
							id, _ := res.LastInsertId()
							w.acked[i] = append(w.acked[i], id)
						}
					}
					if err == nil {
						w.total.Add(1)
					}
					time.Sleep(4 * time.Millisecond) // as fast as can be, they would outrun the one thread that applies
				}
				if err != nil {
					w.last.Store(fmt.Errorf("writer %d: %w", i, err))
				}
				if db != nil {
					db.Close()
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
}

// reach waits until so many writes were acknowledged.
func (w *mysqlWriters) reach(t *testing.T, n int64) {
	t.Helper()
	for until := time.Now().Add(2 * time.Minute); w.total.Load() < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d of %d writes were acknowledged in two minutes; the latest refusal: %v", w.total.Load(), n, w.last.Load())
		}
	}
}

func (w *mysqlWriters) stop() []int64 {
	w.over.Store(true)
	w.all.Wait()
	return slices.Sorted(slices.Values(slices.Concat(w.acked[:]...)))
}

// missing counts the ids that a server has not got.
func (w *mysqlWriters) missing(m *remotetest.MySQL, acked []int64) int {
	there := map[string]bool{}
	for _, id := range m.Ask("shop", "SELECT id FROM orders") {
		there[id] = true
	}
	n := 0
	for _, id := range acked {
		if !there[fmt.Sprint(id)] {
			n++
		}
	}
	return n
}

// TestMySQLReplicateLosesNothing moves a database under live writers, through
// a real sshd: not one acknowledged write is missing after the switch, nor
// after the way back.
func TestMySQLReplicateLosesNothing(t *testing.T) {
	eachMySQL(t, losesNothing)
}

func losesNothing(t *testing.T, start mysqlStart) {
	box := newMySQLMove(t, start, []string{"--general-log", "--general-log-file=general"}, []string{"--log-slave-updates", "--loose-gtid-strict-mode=ON", "--general-log", "--general-log-file=general",
		"--loose-sql-generate-invisible-primary-key=ON", "--loose-sql-require-primary-key=ON"})
	sshd := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	n := ssh.NewNetwork(ssh.Options{Config: sshd.Config, Home: sshd.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	h, err := n.Open("server", ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	box.e.Host, box.e.Hosts = h, remote.Hosts{"db": h}
	var w mysqlWriters
	w.start(box.a)
	defer w.stop()
	w.reach(t, 20)
	began := time.Now()
	r := box.replicate()
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	if todo, err := r.Pending(t.Context(), mysqlLooking(box.e)); err != nil || len(todo) < 2 || todo[0].Rows == 0 {
		t.Fatalf("%v, %v", todo, err)
	}
	for range 2 { // again, as after a crash
		if err := r.Apply(t.Context(), box.e); err != nil {
			t.Fatalf("%v\n%s\n%s", err, box.log, box.b.Log())
		}
		if err := r.Verify(t.Context(), mysqlLooking(box.e)); err != nil {
			t.Error(err)
		}
	}
	// DDL comes along, also from a session in another database; other databases do not.
	box.a.Exec("other", "ALTER TABLE shop.counter ADD COLUMN more int DEFAULT 5; CREATE TABLE more (n int); CREATE TABLE shop.late (n int PRIMARY KEY)")
	if box.a.Programs != "" { // keys that MySQL makes by itself come along, and none are made on the way
		box.a.Exec("shop", "SET SESSION sql_generate_invisible_primary_key = ON; CREATE TABLE hidden (n int); INSERT INTO hidden VALUES (5), (6); SET SESSION sql_generate_invisible_primary_key = OFF; CREATE TABLE keyless2 (n int); INSERT INTO keyless2 VALUES (5)")
	}
	if text, err := r.Prove(t.Context(), box.e); err != nil || !strings.Contains(text, "transactions behind") {
		t.Errorf("%q, %v", text, err)
	}
	s := &mysqlSwitch{mysqlPair: box.pair(), Wait: remote.Duration(time.Minute), Open: true, Reverse: box.b.Addr, Grace: remote.Duration(time.Second)}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	es, ef := box.mine("switch"), box.mine("freeze")
	if err := s.Apply(t.Context(), es); err == nil || !strings.Contains(err.Error(), "the source is not frozen") {
		t.Errorf("%v", err)
	}
	rate := float64(w.total.Load()) / time.Since(began).Seconds()
	f := &mysqlFreeze{mysqlStore: mysqlStoreOf(box.a, "a"), Grace: remote.Duration(time.Second)}
	frozen := time.Now()
	if err := f.Apply(t.Context(), ef); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Apply(t.Context(), es); err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
	}
	took := time.Since(frozen)
	if err := s.Verify(t.Context(), mysqlLooking(es)); err != nil {
		t.Fatal(err)
	}
	acked := w.stop()
	if n := w.missing(box.b, acked); n > 0 || len(acked) == 0 {
		t.Errorf("%d of %d acknowledged writes are missing", n, len(acked))
	}
	if d := cmp.Diff([]string{fmt.Sprint(w.ups.Load())}, box.b.Ask("shop", "SELECT n FROM counter")); d != "" {
		t.Errorf("updates (-acknowledged +there):\n%s", d)
	}
	t.Logf("%d acknowledged writes at %.0f transactions a second, frozen for %s", len(acked), rate, took.Round(time.Millisecond))
	box.same(t)
	mysqlSwitchedShop(t, box)
	// Somebody writes to the new server, and it is rolled back: the old one has it all.
	var w2 mysqlWriters
	box.b.Exec("", "GRANT ALL ON shop.* TO app@'%'; CREATE DATABASE other; CREATE TABLE other.t (n int AUTO_INCREMENT PRIMARY KEY)")
	const eventOf = "SELECT status FROM information_schema.events"
	if got := box.a.Ask("", eventOf); len(got) != 1 || got[0] == "ENABLED" {
		t.Errorf("the event runs on both servers: %q", got)
	}
	if text, err := s.Prove(t.Context(), es); err != nil || !strings.Contains(text, "the old server is") {
		t.Errorf("the way back: %q, %v", text, err)
	}
	if _, ok, _, found, err := s.Proof(es); !ok || !found || err != nil {
		t.Errorf("proof of the way back: %v %v %v", ok, found, err)
	}
	if err := r.Undo(t.Context(), box.e); err == nil || !strings.Contains(err.Error(), "what is dropped here would be dropped there") {
		t.Errorf("the copy is undone while the old server follows: %v", err)
	}
	if box.b.Programs != "" { // and the other way
		box.b.Exec("shop", "SET SESSION sql_generate_invisible_primary_key = ON; CREATE TABLE back (n int); INSERT INTO back VALUES (8), (9)")
	}
	w2.start(box.b)
	defer w2.stop()
	w2.reach(t, 200)
	for range 2 {
		if err := s.Undo(t.Context(), es); err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
	}
	back := w2.stop()
	if n := w2.missing(box.a, append(acked, back...)); n > 0 || len(back) == 0 {
		t.Errorf("%d of %d acknowledged writes are missing after the rollback", n, len(acked)+len(back))
	}
	if d := cmp.Diff([]string{fmt.Sprint(w.ups.Load() + w2.ups.Load())}, box.a.Ask("shop", "SELECT n FROM counter")); d != "" {
		t.Errorf("updates after the rollback (-acknowledged +there):\n%s", d)
	}
	if box.a.Programs != "" {
		if d := cmp.Diff([]string{"1:8,2:9"}, box.a.Ask("shop", "SELECT GROUP_CONCAT(my_row_id, ':', n) FROM back")); d != "" {
			t.Errorf("invisible keys after the rollback:\n%s", d)
		}
	}
	if err := r.Undo(t.Context(), box.e); err != nil {
		t.Fatal(err)
	}
	if err := f.Undo(t.Context(), ef); err != nil {
		t.Fatal(err)
	}
	if got := box.a.Ask("", eventOf); len(got) != 1 || got[0] != "ENABLED" {
		t.Errorf("the old server's event after the rollback: %q", got)
	}
	box.leftovers(t)
	box.a.Exec("shop", "INSERT INTO late VALUES (1)")
	if got := box.b.Ask("", "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'shop%'"); len(got) != 1 || !strings.Contains(got[0], "_belay_aside_") {
		t.Errorf("what was written on the new server is not set aside: %q", got)
	}
	mysqlNoPasswords(t, box)
}

// mysqlSwitchedShop looks at what is more than rows.
func mysqlSwitchedShop(t *testing.T, box *mysqlBox) {
	t.Helper()
	all := map[string]string{
		"SELECT @@global.read_only + 0": "0",
		"SELECT CONCAT(status, ' ', definer, ' ', sql_mode = (SELECT @@global.sql_mode)) FROM information_schema.events":                                        "ENABLED root@localhost 1",
		"SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'other'":                                                                          "0",
		"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop' AND table_name = 'late'":                                                    "1",
		"SELECT COUNT(*) FROM mysql.user WHERE User = 'app'":                                                                                                    "1",
		"SELECT (SELECT next_not_cached_value FROM shop.tickets) > (SELECT MAX(CAST(SUBSTRING(note, 6) AS UNSIGNED)) FROM shop.orders WHERE note LIKE 'live%')": "1",
	}
	if box.b.Programs != "" {
		all["SELECT GROUP_CONCAT(my_row_id, ':', n) FROM shop.hidden"] = "1:5,2:6"
		all["SELECT GROUP_CONCAT(table_name) FROM information_schema.columns WHERE table_schema = 'shop' AND column_name = 'my_row_id'"] = "hidden"
	}
	for q, want := range all {
		if box.b.Programs != "" && strings.Contains(q, "shop.tickets") {
			continue
		}
		if d := cmp.Diff([]string{want}, box.b.Ask("", q)); d != "" {
			t.Errorf("%s:\n%s", q, d)
		}
	}
}

// mysqlNoPasswords looks for the passwords of belay's logins in what was logged.
func mysqlNoPasswords(t *testing.T, box *mysqlBox) {
	t.Helper()
	for _, m := range []*remotetest.MySQL{box.a, box.b} {
		general := mysqlFile(t, m.Dir+"/data/general")
		for _, word := range []string{"MASTER_PASSWORD", ".a1Z"} {
			if strings.Contains(general+m.Log()+box.log.String(), word) {
				t.Errorf("a log has %s", word)
			}
		}
	}
	if s := box.log.String(); strings.Contains(s, "top 1") || strings.Contains(s, "top 2") {
		t.Error("the step's log has a password")
	}
}

// TestMySQLReplicateOutlivesRestartsAndIsUndone: servers are killed while the
// target follows; aborted, nothing is left, with one side down or the other.
func TestMySQLReplicateOutlivesRestartsAndIsUndone(t *testing.T) {
	t.Parallel()
	eachMySQL(t, outlivesRestarts)
}

func outlivesRestarts(t *testing.T, start mysqlStart) {
	box := newMySQLMove(t, start, nil, nil)
	box.b.Exec("", "CREATE DATABASE other; CREATE TABLE other.t (n int AUTO_INCREMENT PRIMARY KEY)") // so the login is locked once it is used
	r := box.replicate()
	ctx, stop := context.WithCancelCause(t.Context())
	e := box.e
	e.Say = func(Progress) { stop(ErrDetach) } // belay goes away during the first copy
	if err := r.Apply(ctx, e); err == nil {
		t.Fatal("it was not cut off")
	}
	if err := r.Apply(t.Context(), box.e); err != nil {
		t.Fatalf("%v\n%s", err, box.log)
	}
	if got := box.a.Ask("", "SHOW CREATE USER "+box.a.Ask("", "SELECT User FROM mysql.user WHERE User LIKE 'belay\\_%'")[0]); !strings.Contains(got[0], "ACCOUNT LOCK") {
		t.Errorf("the login is not locked: %s", got[0])
	}
	box.a.Exec("shop", "INSERT INTO orders (writer) VALUES (7)")
	for _, m := range []*remotetest.MySQL{box.b, box.a} {
		if m == box.b {
			box.holdBack(t) // it has what it has not applied yet
		}
		m.Kill()
		box.other(t, m)
		m.Start()
		if m.Programs != "" && m == box.b {
			if got := m.Ask("", "SELECT @@global.skip_replica_start"); got[0] != "1" {
				t.Error("the target goes on by itself")
			}
		}
		box.a.Exec("", "INSERT INTO other.t VALUES (); INSERT INTO shop.orders (writer) VALUES (8)")
		if m == box.b { // held at a gate, it is let in again
			if text, err := r.Prove(t.Context(), box.e); err != nil {
				t.Errorf("%q, %v", text, err)
			}
			if text, ok, _, found, err := r.Proof(box.e); err != nil || !ok || !found || !strings.Contains(text, "transactions behind") {
				t.Errorf("%q, %v, %v", text, ok, err)
			}
		}
		if err := r.Apply(t.Context(), box.e); err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
		if err := r.Verify(t.Context(), box.e); err != nil {
			t.Error(err)
		}
	}
	if got := box.b.Ask("", "SELECT COUNT(*) FROM other.t"); got[0] != "0" {
		t.Errorf("%s rows of another database came along", got[0])
	}
	box.same(t)
	// Another run finds it, and keeps its hands off.
	other := box.mine("another")
	if err := r.Apply(t.Context(), other); err == nil || !strings.Contains(err.Error(), "of another run or step") {
		t.Errorf("%v", err)
	}
	if err := r.Undo(t.Context(), other); err != nil {
		t.Error(err)
	}
	// The target is gone: the login is dropped from the source all the same.
	box.b.Kill()
	if err := r.Undo(t.Context(), box.e); err == nil || !strings.Contains(err.Error(), "target: ") {
		t.Errorf("%v", err)
	}
	if got := box.a.Ask("", "SELECT User FROM mysql.user WHERE User LIKE 'belay\\_%'"); len(got) > 0 {
		t.Errorf("left on the old server: %q", got)
	}
	box.b.Start()
	for range 2 {
		if err := r.Undo(t.Context(), box.e); err != nil {
			t.Fatal(err)
		}
	}
	box.leftovers(t)
	if got := box.b.Ask("", "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'shop%'"); len(got) > 0 {
		t.Errorf("left on the new server: %q", got)
	}
	position := "SELECT CONCAT(@@global.read_only + 0, @@global.gtid_slave_pos)"
	if box.b.Programs != "" {
		position = "SELECT @@global.read_only" // what was applied stays applied
	}
	if got := box.b.Ask("", position); got[0] != "0" {
		t.Errorf("read_only and gtid_slave_pos of the new server: %q", got[0])
	}
	if got := box.a.Ask("shop", "SELECT COUNT(*) FROM orders"); got[0] != "5004" {
		t.Errorf("%s rows on the source", got[0])
	}
}

// holdBack lets the target get what it does not apply yet: rows of a database
// that it must not follow, too.
func (b *mysqlBox) holdBack(t *testing.T) {
	t.Helper()
	name := b.a.Ask("", "SELECT User FROM mysql.user WHERE User LIKE 'belay\\_%'")[0]
	stop, has := "STOP SLAVE '"+name+"' SQL_THREAD", "SELECT 1 FROM DUAL WHERE @@global.gtid_binlog_pos = ?"
	if b.b.Programs != "" {
		stop = "STOP REPLICA SQL_THREAD FOR CHANNEL '" + name + "'"
		has = "SELECT 1 FROM performance_schema.replication_connection_status WHERE GTID_SUBSET(?, CONCAT(received_transaction_set, ',', @@global.gtid_executed))"
	}
	b.b.Exec("", stop)
	b.a.Exec("", "INSERT INTO other.t VALUES (); INSERT INTO shop.orders (writer) VALUES (6)")
	if b.b.Programs == "" {
		time.Sleep(time.Second) // MariaDB throws away what it got, and gets it again
		return
	}
	at := strings.ReplaceAll(b.a.Ask("", "SELECT @@global.gtid_executed")[0], "\n", "")
	until(t, "the target has what the source wrote", func() bool { return len(b.b.Ask("", has, at)) == 1 })
}

// other writes to what the target must not follow, while m is down.
func (b *mysqlBox) other(_ *testing.T, m *remotetest.MySQL) {
	if m != b.a {
		b.a.Exec("", "INSERT INTO other.t VALUES ()")
	}
}

// TestMySQLReplicateRefuses: what stands in the way is told before, and by
// Apply before anything has changed.
func TestMySQLReplicateRefuses(t *testing.T) {
	t.Parallel()
	eachMySQL(t, refusesToReplicate)
}

func refusesToReplicate(t *testing.T, start mysqlStart) {
	box := newMySQLMove(t, start, []string{"--binlog-format=MIXED"}, []string{"--server-id=1", "--loose-gtid-strict-mode=ON"})
	box.a.Exec("shop", "CREATE TABLE old (a int) ENGINE=MyISAM")
	box.b.Exec("", "CREATE DATABASE mine")
	r := box.replicate()
	levels := map[string]checks.Level{}
	found, err := r.Needs("db")[0].Assess(t.Context(), checks.World{Hosts: box.e.Hosts, Secret: box.e.Secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		levels[strings.TrimPrefix(f.Key, "replicate ")] = f.Level
	}
	my := box.a.Programs != ""
	want := map[string]checks.Level{"source version": checks.Pass, "source log_bin": checks.Pass, "source binlog_format": checks.Block, "source binlog_row_image": checks.Pass, "source kept log": checks.Pass,
		"source rights": checks.Pass, "source tables": checks.Block, "source keys": checks.Warn, "target server_id": checks.Block, "target others": checks.Pass,
		"target gtid_strict_mode": checks.Block, "target read_only": checks.Warn, "target rights": checks.Pass, "target threads": checks.Warn}
	follow, forget := "CHANGE MASTER 'x' TO MASTER_HOST = '127.0.0.1'", "RESET SLAVE 'x' ALL; SET GLOBAL gtid_strict_mode = OFF"
	if my {
		delete(want, "target gtid_strict_mode")
		delete(want, "target threads")
		for _, key := range []string{"source gtid_mode", "target gtid_mode", "target server_uuid"} {
			want[key] = checks.Pass
		}
		box.b.Exec("", "CREATE DATABASE other; REVOKE PERSIST_RO_VARIABLES_ADMIN ON *.* FROM "+box.b.User+"@'%'")
		if err := r.Apply(t.Context(), box.mine("poor")); err == nil || !strings.Contains(err.Error(), "lacks PERSIST_RO_VARIABLES_ADMIN: a target that is started anew") {
			t.Errorf("%v", err)
		}
		box.b.Exec("", "DROP DATABASE other")
		follow, forget = "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1' FOR CHANNEL 'x'", "RESET REPLICA ALL FOR CHANNEL 'x'"
	}
	if d := cmp.Diff(want, levels); d != "" {
		t.Error(d)
	}
	box.b.Exec("", follow)
	if err := r.Apply(t.Context(), box.e); err == nil || !strings.Contains(err.Error(), "follows another server already") {
		t.Errorf("%v", err)
	}
	if err := r.Undo(t.Context(), box.e); err != nil {
		t.Error(err)
	}
	box.b.Exec("", forget+"; SET GLOBAL server_id = 2")
	box.a.Exec("", "DROP TABLE shop.old")
	r.SourceAddr = "127.0.0.1:1"
	err = func() error {
		ctx, stop := context.WithTimeout(t.Context(), 40*time.Second)
		defer stop()
		return r.Apply(ctx, box.e)
	}()
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	if err := r.Undo(t.Context(), box.e); err != nil {
		t.Error(err)
	}
	box.leftovers(t)
	if got := box.b.Ask("", "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'shop%'"); len(got) > 0 {
		t.Errorf("left on the new server: %q", got)
	}
}

// mysqlLooking is for Pending and Verify: no host can be written to by a command.
func mysqlLooking(e Env) Env {
	e.Hosts = remote.Hosts{"db": remote.ReadOnly(e.Hosts["db"])}
	return e
}

func mysqlFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mysqlDying is a memory at whose at-th Put belay dies: right before it, or
// right after it.
type mysqlDying struct {
	MapMemory
	at    int
	after bool
}

var errMySQLDied = errors.New("belay died")

func (m *mysqlDying) Put(key string, v any) error {
	m.at--
	if m.at != 0 || m.after {
		if err := m.MapMemory.Put(key, v); err != nil || m.at != 0 {
			return err
		}
	}
	return errMySQLDied
}

// TestMySQLReplicateKilled: belay is killed wherever it remembers something, of
// the replication, the switch or their undo; it goes on, and ends right.
func TestMySQLReplicateKilled(t *testing.T) {
	t.Parallel()
	eachMySQL(t, replicatesThoughKilled)
}

func replicatesThoughKilled(t *testing.T, start mysqlStart) {
	box := newMySQLMove(t, start, nil, nil)
	box.a.Exec("", "DROP DATABASE shop; DROP DATABASE other; CREATE DATABASE shop; CREATE TABLE shop.orders (id int AUTO_INCREMENT PRIMARY KEY); INSERT INTO shop.orders VALUES (1), (2)")
	r := box.replicate()
	r.Accounts = "none"
	s := &mysqlSwitch{mysqlPair: box.pair(), Wait: remote.Duration(time.Minute), Open: true, Reverse: box.b.Addr, Grace: remote.Duration(time.Second)}
	f := &mysqlFreeze{mysqlStore: mysqlStoreOf(box.a, "a"), Grace: remote.Duration(time.Second)}
	stride := 1
	if box.a.Programs != "" {
		stride = 5 // what is remembered is the same; so it meets both ways of dying, and all three ends
	}
	for at, over := 1, false; !over; at += stride {
		over = true
		er, es, ef := box.mine("replicate"), box.mine("switch"), box.mine("freeze")
		dying := func(e Env, do func(context.Context, Env) error) {
			t.Helper()
			m := e.Memory.(MapMemory)
			e.Memory = &mysqlDying{m, at, at%2 == 0}
			err := do(t.Context(), e)
			if errors.Is(err, errMySQLDied) {
				over = false
				e.Memory = m
				err = do(t.Context(), e)
			}
			if err != nil {
				t.Fatalf("killed at %d: %v\n%s", at, err, box.log)
			}
		}
		dying(er, r.Apply)
		box.a.Exec("", "INSERT INTO shop.orders VALUES ()")
		if err := f.Apply(t.Context(), ef); err != nil {
			t.Fatal(err)
		}
		if at%3 > 0 { // else the replication is aborted
			dying(es, s.Apply)
			if err := s.Verify(t.Context(), es); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(box.a.Ask("shop", "SELECT COUNT(*) FROM orders"), box.b.Ask("shop", "SELECT COUNT(*) FROM orders")); d != "" {
				t.Errorf("killed at %d:\n%s", at, d)
			}
			box.b.Exec("", "INSERT INTO shop.orders VALUES ()")
			before := box.b.Ask("shop", "SELECT COUNT(*) FROM orders")
			dying(es, s.Undo)
			if d := cmp.Diff(before, box.a.Ask("shop", "SELECT COUNT(*) FROM orders")); d != "" {
				t.Errorf("killed at %d, after the rollback:\n%s", at, d)
			}
		}
		dying(er, r.Undo)
		if err := f.Undo(t.Context(), ef); err != nil {
			t.Fatal(err)
		}
		box.leftovers(t)
		left := box.b.Ask("", "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'shop%'")
		if want := min(1, at%3); len(left) != want {
			t.Errorf("killed at %d: left on the new server: %q", at, left)
		}
		for _, d := range left {
			box.b.Exec("", "DROP DATABASE "+mysql.Ident(d))
		}
	}
}

// TestMySQLPart: the way back is ended on both servers.
func TestMySQLPart(t *testing.T) {
	t.Parallel()
	eachMySQL(t, parts)
}

func parts(t *testing.T, start mysqlStart) {
	box := newMySQLMove(t, start, nil, nil)
	r, f := box.replicate(), &mysqlFreeze{mysqlStore: mysqlStoreOf(box.a, "a"), Grace: remote.Duration(time.Second)}
	s := &mysqlSwitch{mysqlPair: box.pair(), Wait: remote.Duration(time.Minute), Open: true, Reverse: box.b.Addr, Grace: remote.Duration(time.Second)}
	for _, need := range s.Needs("db") {
		found, err := need.Assess(t.Context(), checks.World{Hosts: box.e.Hosts, Secret: box.e.Secret})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Level != checks.Pass {
				t.Errorf("%s: %s", f.Key, f.Text)
			}
		}
	}
	es, ep := box.mine("switch"), box.mine("part")
	for _, err := range []error{r.Apply(t.Context(), box.mine("replicate")), f.Apply(t.Context(), box.mine("freeze")), s.Apply(t.Context(), es)} {
		if err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
	}
	// The new server dies: the old one says what it has, and follows no more.
	box.b.Kill()
	if err := s.Undo(t.Context(), es); err == nil || !strings.Contains(err.Error(), "does not follow it now") {
		t.Errorf("%v", err)
	}
	box.b.Start()
	var lost *Disproof
	if _, err := s.Prove(t.Context(), es); err == nil || errors.As(err, &lost) && !strings.Contains(err.Error(), "would lose what it lacks") {
		t.Errorf("a way back that was ended is proved: %v", err)
	}
	p := &mysqlPart{box.pair()}
	if todo, err := p.Pending(t.Context(), ep); err != nil || len(todo) != 1 {
		t.Errorf("%v, %v", todo, err)
	}
	if err := p.Verify(t.Context(), ep); err == nil {
		t.Error("verified before")
	}
	// Without the old server, the new one is cleared all the same.
	box.a.Kill()
	if todo, err := p.Pending(t.Context(), ep); err != nil || len(todo) != 1 || !strings.Contains(todo[0].Text, "not both") {
		t.Errorf("%v, %v", todo, err)
	}
	if err := p.Apply(t.Context(), ep); err == nil || !strings.Contains(err.Error(), "gone for good") {
		t.Errorf("%v", err)
	}
	if got := box.b.Ask("", "SELECT User FROM mysql.user WHERE User LIKE 'belay%back'"); len(got) != 0 {
		t.Errorf("left on the new server: %q", got)
	}
	box.a.Start()
	for range 2 {
		if err := p.Apply(t.Context(), ep); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Verify(t.Context(), ep); err != nil {
		t.Error(err)
	}
	box.leftovers(t)
}

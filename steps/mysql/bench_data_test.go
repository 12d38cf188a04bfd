package mysql

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
	"belay/steps/compare"
)

// TestBenchData times copies of the same 500 MB between two servers of this
// machine, of MariaDB and of MySQL: belay's, and those that people use. It runs
// with BELAY_BENCH_DATA=1 only; BELAY_BENCH_DATA_MB is how much data there is. It
// judges that the copies are right, and prints how long they took.
func TestBenchData(t *testing.T) {
	if os.Getenv("BELAY_BENCH_DATA") != "1" {
		t.Skip("takes minutes; `make bench-data` runs it")
	}
	mb, err := strconv.Atoi(cmp.Or(os.Getenv("BELAY_BENCH_DATA_MB"), "500"))
	if err != nil {
		t.Fatal(err)
	}
	pool := "--innodb-buffer-pool-size=256M"
	t.Run("MariaDB", func(t *testing.T) {
		remotetest.Need(t, "mariadb-dump", "mariadb")
		o := remotetest.MySQLOptions{Settings: []string{pool, "--innodb-log-file-size=128M"}}
		b := &bench{t: t, a: remotetest.StartMariaDB(t, o), b: remotetest.StartMariaDB(t, o)}
		b.measure(mb, benchWay{"mariadb-dump | mariadb", b.piped("mariadb-dump", "mariadb")}, benchWay{"mydumper, myloader, 2 threads", b.mydumper})
	})
	t.Run("MySQL", func(t *testing.T) {
		o := remotetest.MySQLOptions{Settings: []string{pool, "--innodb-redo-log-capacity=256M"}}
		b := &bench{t: t, a: remotetest.StartMySQL(t, o), b: remotetest.StartMySQL(t, o)}
		b.measure(mb, benchWay{"mysqldump | mysql", b.piped(b.a.Programs+"/mysqldump", b.a.Programs+"/mysql")})
	})
}

// bench is two servers of a flavour, of which a has the data.
type bench struct {
	t       *testing.T
	a, b    *remotetest.MySQL
	skipped bool
}

type benchWay struct {
	name string
	do   func()
}

// measure copies by belay and by others, one after the other, again and again:
// a machine is not as fast at all times.
func (b *bench) measure(mb int, others ...benchWay) {
	benchFill(b.a, mb)
	fmt.Printf("%s: %s MB of rows and keys\n", b.a.Ask("", "SELECT VERSION()")[0],
		b.a.Ask("", "SELECT ROUND(SUM(data_length + index_length) / 1e6) FROM information_schema.tables WHERE table_schema = 'shop'")[0])
	ways := append([]benchWay{{"belay mysql.copy, lanes: 2", b.belay}}, others...)
	took := make([][]time.Duration, len(ways)+1)
	rounds := b.rounds()
	for range rounds {
		for i, w := range ways {
			took[i] = append(took[i], b.time(w))
			if i == 0 {
				took[len(ways)] = append(took[len(ways)], b.prints())
			}
		}
	}
	belay := middle(took[0])
	fmt.Printf("\nmedians of %d rounds\n%-36s %8.1f s\n%-36s %8.1f s, %.2f of the copy\n", rounds, ways[0].name, belay,
		"fingerprint of both sides", middle(took[len(ways)]), middle(took[len(ways)])/belay)
	for i, w := range others {
		if m := middle(took[i+1]); m > 0 {
			fmt.Printf("%-36s %8.1f s, belay is %.2f times as fast\n", w.name, m, m/belay)
		}
	}
	fmt.Println()
}

// rounds are how often each copy is made: BELAY_BENCH_DATA_ROUNDS, else 3.
func (b *bench) rounds() int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("BELAY_BENCH_DATA_ROUNDS"), "3"))
	if err != nil || n < 1 {
		b.t.Fatalf("BELAY_BENCH_DATA_ROUNDS is %q, and must be a number from 1 on", os.Getenv("BELAY_BENCH_DATA_ROUNDS"))
	}
	return n
}

// middle is the median, in seconds.
func middle(d []time.Duration) float64 {
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]).Seconds() / 2
}

// time empties the target, runs one copy, and checks that the rows are there.
func (b *bench) time(w benchWay) time.Duration {
	b.b.Exec("", "DROP DATABASE IF EXISTS shop")
	if b.b.Programs != "" {
		b.b.Exec("", "RESET BINARY LOGS AND GTIDS") // which MySQL keeps, unless told not to
	}
	b.skipped = false
	ca, cb, own := benchCPU(b.t, b.a), benchCPU(b.t, b.b), benchOwn()
	began := time.Now()
	w.do()
	took := time.Since(began)
	if b.skipped {
		fmt.Printf("%-36s not installed\n", w.name)
		return 0
	}
	fmt.Printf("%-36s %8.1f s; processor: %.1f s of the tool, %.1f s of the source, %.1f s of the target\n", w.name, took.Seconds(),
		benchOwn()-own, benchCPU(b.t, b.a)-ca, benchCPU(b.t, b.b)-cb)
	for _, ask := range []string{"SELECT COUNT(*) FROM shop.messages", "SELECT COUNT(*) FROM shop.part3", "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = 'shop'"} {
		if x, y := b.a.Ask("", ask)[0], b.b.Ask("", ask)[0]; x != y {
			b.t.Errorf("%s: %s: %s on the source, %s on the target", w.name, ask, x, y)
		}
	}
	return took
}

func (b *bench) belay() {
	var kept []byte
	c := copying(b.t, serverOf(b.a), serverOf(b.b), &kept, func(c *Copy) { c.Accounts, c.CountsOnly, c.Lanes, c.Chunk = false, true, 2, 64<<20 })
	if err := c.Run(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) run(name string, args ...string) {
	if out, err := exec.CommandContext(b.t.Context(), name, args...).CombinedOutput(); err != nil {
		b.t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

func (b *bench) piped(dump, client string) func() {
	return func() {
		b.run("bash", "-c", fmt.Sprintf("set -o pipefail; %s --no-defaults -uroot -S %s --single-transaction --quick --databases shop | %s --no-defaults -uroot -S %s", dump, b.a.Socket, client, b.b.Socket))
	}
}

func (b *bench) mydumper() {
	if b.skipped = remotetest.Find("mydumper") == "" || remotetest.Find("myloader") == ""; b.skipped {
		return
	}
	dir := filepath.Join(b.t.TempDir(), "dump")
	b.run("mydumper", "-u", "root", "-S", b.a.Socket, "-t", "2", "-r", "100000", "-B", "shop", "-o", dir)
	b.run("myloader", "-u", "root", "-S", b.b.Socket, "-t", "2", "-d", dir)
	_ = os.RemoveAll(dir) // of each round
}

// prints fingerprints both sides at the same time, and sees that they are equal.
func (b *bench) prints() time.Duration {
	sides := []*Side{sideOf(b.t, b.a), sideOf(b.t, b.b)}
	objects, err := sides[0].Objects(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	ca, cb := benchCPU(b.t, b.a), benchCPU(b.t, b.b)
	began := time.Now()
	var got [2]map[string]compare.Print
	var errs [2]error
	var both sync.WaitGroup
	for i, s := range sides {
		got[i] = map[string]compare.Print{}
		both.Go(func() {
			for _, o := range objects {
				if !o.Data || errs[i] != nil {
					continue
				}
				p, err := s.Prints(b.t.Context(), o.Name, 1)
				if errs[i] = err; err == nil {
					got[i][o.Name] = p[0]
				}
			}
		})
	}
	both.Wait()
	took := time.Since(began)
	fmt.Printf("%-36s %8.1f s; processor: %.1f s of the source, %.1f s of the target\n", "fingerprint of both sides", took.Seconds(), benchCPU(b.t, b.a)-ca, benchCPU(b.t, b.b)-cb)
	if err := errors.Join(errs[:]...); err != nil {
		b.t.Fatal(err)
	}
	if d := diff.Diff(got[0], got[1]); d != "" {
		b.t.Errorf("source and target (-source +target):\n%s", d)
	}
	for _, s := range sides {
		s.Close() // a snapshot would hold up the DROP DATABASE that follows
	}
	return took
}

// benchCPU is how many seconds of a processor a server has used so far.
func benchCPU(t testing.TB, m *remotetest.MySQL) float64 {
	pid, err := os.ReadFile(filepath.Join(m.Dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// benchOwn is the same of this process and the programs that it ran.
func benchOwn() float64 {
	var all float64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			all += time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
		}
	}
	return all
}

// benchFill makes one big table, a few of middle size, and text.
func benchFill(m *remotetest.MySQL, mb int) {
	// MySQL has no tables of numbers, and from 9.6 on no MD5.
	numbers := func(what string, n int) string {
		if m.Programs == "" {
			return "SELECT " + what + " FROM seq_1_to_" + strconv.Itoa(n)
		}
		return fmt.Sprintf("WITH RECURSIVE s (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM s WHERE seq < %d) SELECT %s FROM s", n, what)
	}
	set := ""
	if m.Programs != "" {
		set = fmt.Sprintf("SET cte_max_recursion_depth = %d; ", 2800*mb)
	}
	m.Exec("", "CREATE DATABASE shop CHARACTER SET utf8mb4")
	m.Exec("shop", "CREATE TABLE messages (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, room int NOT NULL, author int NOT NULL, at datetime NOT NULL, body text NOT NULL, price decimal(10,2), KEY (room, at), KEY (author))")
	m.Exec("shop", set+"INSERT INTO messages (room, author, at, body, price) "+numbers("seq % 500, seq % 7919, '2024-01-01' + INTERVAL seq SECOND, CONCAT(LEFT(SHA2(seq, 256), 32), REPEAT(CONCAT(' word', seq), 12), ' naïve 😀'), seq / 7", 2800*mb))
	for i := range 4 {
		m.Exec("shop", set+fmt.Sprintf("CREATE TABLE part%d (id int NOT NULL PRIMARY KEY, hash char(32) NOT NULL, n double, KEY (hash)) AS ", i)+numbers("seq AS id, LEFT(SHA2(seq, 256), 32) AS hash, seq / 3 AS n", 1000*mb))
	}
	m.Exec("shop", "ANALYZE TABLE messages, part0, part1, part2, part3")
}

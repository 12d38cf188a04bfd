package mysql

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
	"belay/steps/compare"
)

// TestBenchData copies the same 500 MB by belay, by mariadb-dump | mariadb, and
// by mydumper and myloader where they are installed, and prints the times and
// their ratios. It runs with BELAY_BENCH_DATA=1 only.
func TestBenchData(t *testing.T) {
	if os.Getenv("BELAY_BENCH_DATA") != "1" {
		t.Skip("takes minutes; BELAY_BENCH_DATA=1 runs it")
	}
	remotetest.Need(t, "mariadb-dump", "mariadb")
	o := remotetest.MariaDBOptions{Settings: []string{"--innodb-buffer-pool-size=256M", "--innodb-log-file-size=128M"}}
	a, b := remotetest.StartMariaDB(t, o), remotetest.StartMariaDB(t, o)
	mb := 500
	if v := os.Getenv("BELAY_BENCH_DATA_MB"); v != "" {
		var err error
		if mb, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	benchFill(a, mb)
	t.Logf("%s MB of rows and keys", a.Ask("", "SELECT ROUND(SUM(data_length + index_length) / 1e6) FROM information_schema.tables WHERE table_schema = 'shop'")[0])
	clear := func() { b.Exec("", "DROP DATABASE IF EXISTS shop") }
	took := map[string]time.Duration{}
	measure := func(name string, do func() error) {
		t.Helper()
		clear()
		ca, cb, own := benchCPU(t, a), benchCPU(t, b), benchOwn()
		begin := time.Now()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		took[name] = time.Since(begin)
		t.Logf("%-24s %6.1f s; of the processors: source %.1f s, target %.1f s, between them %.1f s", name, took[name].Seconds(), benchCPU(t, a)-ca, benchCPU(t, b)-cb, benchOwn()-own)
	}
	var copied *Copy
	measure("belay", func() error {
		var kept []byte
		copied = copying(t, serverOf(a), serverOf(b), &kept, func(c *Copy) { c.Accounts, c.CountsOnly, c.Lanes, c.Chunk = false, true, 2, 64<<20 })
		return copied.Run(t.Context())
	})
	benchPrints(t, a, b, took)
	measure("mariadb-dump | mariadb", func() error {
		return exec.Command("sh", "-c", fmt.Sprintf("mariadb-dump -uroot -S %s --single-transaction --quick --databases shop | mariadb -uroot -S %s", a.Socket, b.Socket)).Run()
	})
	if remotetest.Find("mydumper") != "" && remotetest.Find("myloader") != "" {
		dir := filepath.Join(t.TempDir(), "dump")
		measure("mydumper, myloader", func() error {
			if out, err := exec.Command("mydumper", "-u", "root", "-S", a.Socket, "-t", "2", "-r", "100000", "-B", "shop", "-o", dir).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			out, err := exec.Command("myloader", "-u", "root", "-S", b.Socket, "-t", "2", "-d", dir).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		t.Logf("belay is %.2f × mydumper and myloader", took["mydumper, myloader"].Seconds()/took["belay"].Seconds())
	}
	t.Logf("belay is %.2f × mariadb-dump | mariadb", took["mariadb-dump | mariadb"].Seconds()/took["belay"].Seconds())
}

// benchPrints fingerprints both sides at the same time, and sees that they are equal.
func benchPrints(t *testing.T, a, b *remotetest.MariaDB, took map[string]time.Duration) {
	t.Helper()
	sides := []*Side{sideOf(t, a), sideOf(t, b)}
	objects, err := sides[0].Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ca, cb := benchCPU(t, a), benchCPU(t, b)
	begin := time.Now()
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
				p, err := s.Prints(t.Context(), o.Name, 1)
				if errs[i] = err; err == nil {
					got[i][o.Name] = p[0]
				}
			}
		})
	}
	both.Wait()
	took["fingerprint"] = time.Since(begin)
	t.Logf("%-24s %6.1f s, both sides at once, %.2f of the copy; of the processors: source %.1f s, target %.1f s", "fingerprint", took["fingerprint"].Seconds(),
		took["fingerprint"].Seconds()/took["belay"].Seconds(), benchCPU(t, a)-ca, benchCPU(t, b)-cb)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got[0], got[1]); d != "" {
		t.Errorf("source and target (-source +target):\n%s", d)
	}
	for _, s := range sides {
		s.Close() // a snapshot would hold up the DROP DATABASE that follows
	}
}

// benchCPU is how many seconds of a processor a server has used so far.
func benchCPU(t *testing.T, m *remotetest.MariaDB) float64 {
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
func benchFill(m *remotetest.MariaDB, mb int) {
	m.Exec("", "CREATE DATABASE shop CHARACTER SET utf8mb4")
	m.Exec("shop", "CREATE TABLE messages (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, room int NOT NULL, author int NOT NULL, at datetime NOT NULL, body text NOT NULL, price decimal(10,2), KEY (room, at), KEY (author))")
	m.Exec("shop", "INSERT INTO messages (room, author, at, body, price) SELECT seq % 500, seq % 7919, '2024-01-01' + INTERVAL seq SECOND, CONCAT(MD5(seq), REPEAT(CONCAT(' word', seq), 12), ' naïve 😀'), seq / 7 FROM seq_1_to_"+strconv.Itoa(2800*mb))
	for i := range 4 {
		m.Exec("shop", fmt.Sprintf("CREATE TABLE part%d (id int NOT NULL PRIMARY KEY, hash char(32) NOT NULL, n double, KEY (hash)) AS SELECT seq AS id, MD5(seq) AS hash, seq / 3 AS n FROM seq_1_to_%d", i, 1000*mb))
	}
}

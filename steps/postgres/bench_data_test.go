package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"belay/remote/remotetest"
)

// BenchmarkDataPostgres times copies of the same data between two servers of this
// machine: belay's, and those that people use. It runs with BELAY_BENCH_DATA=1
// only; BELAY_BENCH_DATA_MB is how much data there is (default 1100). It judges
// that the copies are right, and prints how long they took.
func BenchmarkDataPostgres(t *testing.B) {
	if os.Getenv("BELAY_BENCH_DATA") != "1" {
		t.Skip("takes minutes; `make bench-data` runs it")
	}
	remotetest.Need(t, "pg_dump", "pg_restore", "psql")
	mb := 1100
	if s := os.Getenv("BELAY_BENCH_DATA_MB"); s != "" {
		var err error
		if mb, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	settings := []string{"max_wal_size = 4GB", "shared_buffers = 512MB", "fsync = on", "autovacuum = off"}
	b := &bench{
		t: t, from: remotetest.StartPostgres(t, remotetest.PostgresOptions{Settings: settings}),
		to: remotetest.StartPostgres(t, remotetest.PostgresOptions{Settings: settings}),
	}
	b.fill(mb)
	ways := []struct {
		name string
		do   func()
	}{
		{fmt.Sprintf("belay postgres.copy, jobs: %d", b.jobs()), b.belay},
		{"pg_dump | psql", b.piped},
		{"pg_dump -Fd -j2, pg_restore -j2", b.directory},
		{"pgcopydb clone, 2 and 2 jobs", b.pgcopydb},
	}
	// One after the other, again and again: a machine is not as fast at all times.
	took := make([][]time.Duration, len(ways)+1)
	for range b.rounds() {
		for i, w := range ways {
			took[i] = append(took[i], b.time(w.name, w.do))
			if i == 0 {
				took[len(ways)] = append(took[len(ways)], b.fingerprints())
			}
		}
	}
	belay := middle(took[0])
	fmt.Printf("\nmedians of %d rounds\n%-36s %8.1f s\n%-36s %8.1f s, %.2f of the copy\n", b.rounds(), ways[0].name, belay,
		"fingerprint of both sides", middle(took[len(ways)]), middle(took[len(ways)])/belay)
	for i, w := range ways[1:] {
		if m := middle(took[i+1]); m > 0 {
			fmt.Printf("%-36s %8.1f s, belay is %.2f times as fast\n", w.name, m, m/belay)
		}
	}
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

type bench struct {
	t        testing.TB
	from, to *remotetest.Postgres
	skipped  bool
}

// fill makes two thirds as pgbench does, narrow rows of numbers and a filler,
// and a third of wide rows of many types.
func (b *bench) fill(mb int) {
	b.from.Exec("postgres", "create database shop")
	accounts, wide := mb*2/3*7600, mb/3*1150
	b.from.Exec("shop", fmt.Sprintf(`
		create table pgbench_branches (bid int primary key, bbalance int, filler char(88));
		insert into pgbench_branches select g, 0, '' from generate_series(1, %[1]d) g;
		create table pgbench_accounts (aid int not null, bid int, abalance int, filler char(84));
		insert into pgbench_accounts select g, 1 + g %% %[1]d, 0, '' from generate_series(1, %[2]d) g;
		alter table pgbench_accounts add primary key (aid);
		alter table pgbench_accounts add foreign key (bid) references pgbench_branches;
		create table wide (id bigint generated always as identity, u uuid, at timestamptz, n numeric(12,4), f float8, tags text[], j jsonb, body text, b bytea, ok boolean);
		insert into wide (u, at, n, f, tags, j, body, b, ok) select md5(g::text)::uuid, '2026-01-01'::timestamptz + g * interval '1 s', g / 7.0, sqrt(g), array['a' || g %% 7, 'b'],
			jsonb_build_object('k', g, 'v', md5(g::text)), repeat(md5(g::text), 16), decode(md5(g::text), 'hex'), g %% 2 = 0 from generate_series(1, %[3]d) g;
		alter table wide add primary key (id); create index on wide (at); create index on wide (u);`, max(accounts/100000, 1), accounts, wide))
	b.from.Exec("shop", "vacuum analyze")
	b.from.Exec("shop", "checkpoint")
	fmt.Printf("%s of data, indexes and all; %d rows\n", b.from.Ask("shop", "select pg_size_pretty(pg_database_size('shop'))")[0], accounts+wide)
}

// time empties the target, runs one copy, and checks that the rows are there.
func (b *bench) time(name string, do func()) time.Duration {
	b.to.Exec("postgres", "drop database if exists shop with (force)")
	b.to.Exec("postgres", "create database shop")
	b.to.Exec("shop", "checkpoint")
	b.skipped = false
	began, before := time.Now(), b.cpu()
	do()
	took := time.Since(began)
	if b.skipped {
		fmt.Printf("%-36s not installed\n", name)
		return 0
	}
	time.Sleep(200 * time.Millisecond) // what a session used is known at its end
	used := b.cpu()
	fmt.Printf("%-36s %8.1f s; processor: %.1f s of the tool, %.1f s of the source, %.1f s of the target\n", name, took.Seconds(),
		used[0]-before[0], used[1]-before[1], used[2]-before[2])
	for _, ask := range []string{"select count(*) from pgbench_accounts", "select count(*) from wide", "select count(*) from pg_index where indrelid >= 16384 and indisvalid"} {
		if a, z := b.from.Ask("shop", ask)[0], b.to.Ask("shop", ask)[0]; a != z {
			b.t.Errorf("%s: %s: %s on the source, %s on the target", name, ask, a, z)
		}
	}
	return took
}

// cpu is how many seconds of processor the tool, the source and the target have
// used so far; of the servers, in sessions that have ended.
func (b *bench) cpu() (used [3]float64) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.t.Fatal(err)
		}
		used[0] += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	for i, p := range []*remotetest.Postgres{b.from, b.to} {
		pid, err := os.ReadFile(filepath.Join(p.Dir, "data", "postmaster.pid"))
		if err != nil {
			b.t.Fatal(err)
		}
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(strings.SplitN(string(pid), "\n", 2)[0]) + "/stat")
		if err != nil {
			b.t.Fatal(err)
		}
		// Behind the name, which is in brackets: cutime and cstime are fields 16 and 17 (proc(5)), in hundredths.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[13:15] {
			n, _ := strconv.ParseFloat(f, 64)
			used[1+i] += n / 100
		}
	}
	return used
}

// jobs are as many as the step would choose, for two servers of this machine.
func (b *bench) jobs() int { return JobsFor(runtime.NumCPU(), runtime.NumCPU(), true) }

// free is the memory that nobody uses.
func (b *bench) free() int64 {
	var i syscall.Sysinfo_t
	if err := syscall.Sysinfo(&i); err != nil {
		b.t.Fatal(err)
	}
	return int64(i.Freeram) * int64(i.Unit)
}

func (b *bench) belay() {
	c := Copy{From: serverOf(b.from, "shop"), To: serverOf(b.to, "shop"), ID: "bench", Split: 512 << 20, Owners: true,
		Jobs: b.jobs(), Crowded: Crowded(b.jobs(), runtime.NumCPU(), true), Sort: SortFor(b.jobs(), b.free()),
		Log: b.t.Logf, Say: func(Progress) {}}
	if _, err := c.Run(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	if err := c.Finish(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// fingerprints compares the copy that was just made.
func (b *bench) fingerprints() time.Duration {
	began := time.Now()
	var sums [2]string
	done := make(chan error, 2)
	for i, p := range []*remotetest.Postgres{b.from, b.to} {
		go func() {
			done <- func() error {
				s, err := NewSide(b.t.Context(), serverOf(p, "shop"), SideOptions{Sessions: 2, Owners: true})
				if err != nil {
					return err
				}
				defer s.Close()
				all, err := s.Objects(b.t.Context())
				for _, o := range all {
					if err == nil && o.Data {
						print, e := s.Prints(b.t.Context(), o.Name, 1)
						err = e
						sums[i] += fmt.Sprint(o.Name, print, " ")
					}
				}
				return err
			}()
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			b.t.Fatal(err)
		}
	}
	if sums[0] != sums[1] {
		b.t.Errorf("the sides differ:\n%s\n%s", sums[0], sums[1])
	}
	took := time.Since(began)
	fmt.Printf("%-36s %8.1f s\n", "fingerprint of both sides", took.Seconds())
	return took
}

func (b *bench) sh(script string, args ...string) {
	b.t.Helper()
	c := exec.CommandContext(b.t.Context(), "bash", append([]string{"-c", "set -o pipefail; PATH=" + filepath.Dir(remotetest.Find("postgres")) + ":$PATH; " + script, "bench"}, args...)...)
	if out, err := c.CombinedOutput(); err != nil && b.t.Context().Err() != context.Canceled {
		b.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func (b *bench) piped() {
	b.sh(`pg_dump "$1" | psql -qX -v ON_ERROR_STOP=1 "$2" >/dev/null; psql -qXc analyze "$2"`, b.from.URL("shop"), b.to.URL("shop"))
}

func (b *bench) directory() {
	b.sh(`pg_dump -Fd -j2 -f "$3" "$1" && pg_restore -j2 -d "$2" "$3"; psql -qXc analyze "$2"`, b.from.URL("shop"), b.to.URL("shop"), filepath.Join(b.t.TempDir(), "dump"))
}

func (b *bench) pgcopydb() {
	if b.skipped = remotetest.Find("pgcopydb") == ""; b.skipped {
		return
	}
	b.sh(`pgcopydb clone --source "$1" --target "$2" --dir "$3" --table-jobs 2 --index-jobs 2 --split-tables-larger-than 256MB --no-role-passwords 2>&1 ||
		pgcopydb clone --source "$1" --target "$2" --dir "$3.again" --table-jobs 2 --index-jobs 2`, b.from.URL("shop"), b.to.URL("shop"), filepath.Join(b.t.TempDir(), "pgcopydb"))
}

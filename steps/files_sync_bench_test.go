package steps

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/ssh"
)

// BenchmarkDataFiles copies the same trees by files.sync, by each of its roads,
// through a real sshd on either side, and by rsync and tar over ssh from one host
// to the other, and prints how long each took and the ratio: 10 000 small files and
// some large ones, whole and then as a delta; a file of 200 MB of which one
// block changed. Run with BELAY_BENCH_DATA=1.
func BenchmarkDataFiles(b *testing.B) {
	if os.Getenv("BELAY_BENCH_DATA") != "1" {
		b.Skip("a measurement, run by BELAY_BENCH_DATA=1")
	}
	remotetest.Need(b, "rsync", "ssh")
	d := remotetest.StartSSHD(b, remotetest.SSHDOptions{})
	n := ssh.NewNetwork(ssh.Options{Config: d.Config, Home: d.Home, Agent: "none"})
	b.Cleanup(func() { n.Close() })
	e := newFileEnv(nil)
	e.Host, e.Hosts = remote.Host{}, remote.Hosts{}
	for _, name := range []string{"old", "new"} {
		h, err := n.Open(d.Name, ssh.Spec{})
		if err != nil {
			b.Fatal(err)
		}
		h.Name = name
		e.Hosts[name] = h
	}
	sent := &sentRunner{Runner: e.Hosts["old"].Runner}
	h := e.Hosts["old"]
	h.Runner = sent
	e.Hosts["old"] = h
	for name, one := range map[string]func(*filesBench){"trees": (*filesBench).trees, "large": (*filesBench).large} {
		b.Run(name, func(b *testing.B) {
			bench := &filesBench{b: b, e: e, d: d, sent: sent, kept: map[string]MapMemory{}}
			for range b.N {
				one(bench)
			}
		})
	}
}

type filesBench struct {
	b    *testing.B
	e    *fileEnv
	d    *remotetest.SSHD
	sent *sentRunner
	kept map[string]MapMemory
}

var filesBenchRoads = []string{"auto", "tar", "rsync"}

func (f *filesBench) trees() {
	dir := f.b.TempDir()
	size := filesSyncBenchTree(f.b, dir+"/a")
	f.pass("10 000 small files and 6 large ones, whole", dir, size)
	for i := range 200 {
		fileWrite(f.b, fmt.Sprintf("%s/a/d%d/f%d", dir, i%50, i), "changed", 0o600)
	}
	f.pass("the same, 200 small files changed", dir, size)
	begun := time.Now()
	e := f.e.Env
	e.ID, e.Memory = "run1.auto", f.memory(dir, "auto")
	if err := f.step(dir, "auto").Verify(f.b.Context(), e); err != nil {
		f.b.Fatal(err)
	}
	f.b.Logf("files.sync: every file read on both sides in %.2f s", time.Since(begun).Seconds())
}

func (f *filesBench) large() {
	dir := f.b.TempDir()
	const size = 200 << 20
	text := []byte(filesRandom(size))
	fileWrite(f.b, dir+"/a/large", string(text), 0o644)
	f.pass("a file of 200 MB, whole", dir, size)
	copy(text[size/2:], "one block changed")
	fileWrite(f.b, dir+"/a/large", string(text), 0o644)
	f.pass("the same, one block changed", dir, size)
}

func (f *filesBench) step(dir, by string) *filesSync {
	s := filesSyncStep(dir+"/a", dir+"/"+by)
	s.By = by
	return s
}

// pass takes one tree over by every road, each to a copy of its own.
func (f *filesBench) pass(what, dir string, size int64) {
	begun := time.Now()
	c := exec.Command("rsync", "-aHAX", "--numeric-ids", "--delete", "-e", "ssh -F "+f.d.Config, dir+"/a/", f.d.Name+":"+dir+"/peer")
	if out, err := c.CombinedOutput(); err != nil {
		f.b.Fatalf("rsync: %v\n%s", err, out)
	}
	theirs := time.Since(begun)
	begun = time.Now()
	c = exec.Command("sh", "-c", `rm -rf "$4"; mkdir "$4" && tar -C "$1" -cf - . | ssh -F "$2" "$3" tar -C "$4" -xpf -`, "sh", dir+"/a", f.d.Config, f.d.Name, dir+"/pipe")
	if out, err := c.CombinedOutput(); err != nil {
		f.b.Fatalf("tar: %v\n%s", err, out)
	}
	f.b.Logf("%s: tar | ssh tar, of all of it, %.2f s", what, time.Since(begun).Seconds())
	for _, by := range filesBenchRoads {
		f.sent.n.Store(0)
		e := f.e.Env
		e.ID, e.Memory = "run1."+by, f.memory(dir, by)
		begun := time.Now()
		if err := f.step(dir, by).Apply(f.b.Context(), e); err != nil {
			f.b.Fatal(err)
		}
		ours := time.Since(begun)
		f.b.Logf("files.sync, %s (%d MB): belay by %s %.2f s, %s sent; rsync over ssh %.2f s: %.2f times as fast as rsync",
			what, size>>20, by, ours.Seconds(), remote.FormatBytes(f.sent.n.Load()), theirs.Seconds(), theirs.Seconds()/ours.Seconds())
	}
}

// memory is one step's, so that its second pass is a further attempt.
func (f *filesBench) memory(dir, by string) MapMemory {
	if f.kept[dir+by] == nil {
		f.kept[dir+by] = MapMemory{}
	}
	return f.kept[dir+by]
}

// filesSyncBenchTree writes 10 000 small files and a few large ones.
func filesSyncBenchTree(t testing.TB, dir string) (bytes int64) {
	t.Helper()
	r := rand.NewChaCha8([32]byte{1})
	put := func(name string, size int) {
		b := make([]byte, size)
		_, _ = r.Read(b) // never fails
		fileWrite(t, dir+"/"+name, string(b), 0o644)
		bytes += int64(size)
	}
	for i := range 10_000 {
		put(fmt.Sprintf("d%d/f%d", i%50, i), 4<<10)
	}
	for i := range 6 {
		put(fmt.Sprintf("large%d", i), 64<<20)
	}
	return bytes
}

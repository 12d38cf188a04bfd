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

// TestBenchFilesSync copies the same tree by files.sync, through a real sshd on
// either side, and by rsync over ssh, first whole and then as a delta, and
// prints how long each took and the ratio. Run with BELAY_BENCH_DATA=1.
func TestBenchFilesSync(t *testing.T) {
	if os.Getenv("BELAY_BENCH_DATA") != "1" {
		t.Skip("a measurement, run by BELAY_BENCH_DATA=1")
	}
	remotetest.Need(t, "rsync", "ssh")
	d := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	n := ssh.NewNetwork(ssh.Options{Config: d.Config, Home: d.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	e := newFileEnv(nil)
	e.Host, e.Hosts = remote.Host{}, remote.Hosts{}
	for _, name := range []string{"old", "new"} {
		h, err := n.Open(d.Name, ssh.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		h.Name = name
		e.Hosts[name] = h
	}
	dir := t.TempDir()
	bytes := filesSyncBenchTree(t, dir+"/a")
	s := filesSyncStep(dir+"/a", dir+"/belay")
	byRsync := func() {
		c := exec.Command("rsync", "-aHX", "--numeric-ids", "--delete", "-e", "ssh -F "+d.Config, dir+"/a/", d.Name+":"+dir+"/rsync")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("rsync: %v\n%s", err, out)
		}
	}
	for _, pass := range []string{"whole", "delta"} {
		if pass == "delta" {
			for i := range 200 {
				fileWrite(t, fmt.Sprintf("%s/a/d%d/f%d", dir, i%50, i), "changed", 0o600)
			}
		}
		begun := time.Now()
		e.apply(t, s)
		ours := time.Since(begun)
		begun = time.Now()
		byRsync()
		theirs := time.Since(begun)
		t.Logf("files.sync, %s: %d MB: belay %.2f s, rsync %.2f s: %.2f times as fast as rsync",
			pass, bytes>>20, ours.Seconds(), theirs.Seconds(), theirs.Seconds()/ours.Seconds())
	}
	begun := time.Now()
	e.verify(t, s)
	t.Logf("files.sync: every file read on both sides in %.2f s", time.Since(begun).Seconds())
}

// filesSyncBenchTree writes 10 000 small files and a few large ones.
func filesSyncBenchTree(t *testing.T, dir string) (bytes int64) {
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

package steps

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
)

// dockerTree fills a directory with everything that gets lost on bad copies.
func dockerTree(t *testing.T, dir string) {
	t.Helper()
	fileWrite(t, dir+"/sub/deep/plain", "plain", 0o640)
	fileWrite(t, dir+"/setuid", "x", 0o4755)
	fileWrite(t, dir+"/a \"b' $c\nd\\ ü\xff", "odd name", 0o600)
	fileWrite(t, dir+"/-rf", "dash", 0o600)
	fileWrite(t, dir+"/hard/one", "linked", 0o644)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Link(dir+"/hard/one", dir+"/two"))
	must(os.Chown(dir+"/sub/deep/plain", 1234, 5678))
	must(os.Symlink("loop-b", dir+"/loop-a"))
	must(os.Symlink("loop-a", dir+"/loop-b"))
	must(os.Symlink("/etc/passwd", dir+"/out"))
	must(os.Symlink("../../../../etc", dir+"/up"))
	must(syscall.Mkfifo(dir+"/fifo", 0o622))
	must(unix.Setxattr(dir+"/setuid", "user.origin", []byte("here\x00there"), 0))
	// CAP_NET_BIND_SERVICE, as setcap writes it (linux/capability.h, vfs_cap_data).
	must(unix.Setxattr(dir+"/two", "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0))
	at := time.Unix(1700000000, 123456789)
	must(os.Chtimes(dir+"/hard/one", at, at))
	must(os.Chmod(dir+"/sub/deep", 0o550))
	must(os.Chtimes(dir+"/sub", at, at))
	must(os.Chown(dir, 33, 33))
	must(os.Chmod(dir, 0o1770))
}

// dockerSnapshot is fileSnapshot with times, links and extended attributes.
func dockerSnapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := fileSnapshot(t, dir, nil)
	inodes := map[uint64]string{}
	for _, rel := range slices.Sorted(maps.Keys(all)) {
		p := filepath.Join(dir, rel)
		st, err := os.Lstat(p)
		if err != nil {
			t.Fatal(err)
		}
		sys := st.Sys().(*syscall.Stat_t)
		all[rel] += fmt.Sprintf(" at %d", st.ModTime().UnixNano())
		if !st.IsDir() && sys.Nlink > 1 {
			if first := inodes[sys.Ino]; first != "" {
				all[rel] += " = " + first
			}
			inodes[sys.Ino] = rel
		}
		for _, name := range []string{"user.origin", "security.capability"} {
			b := make([]byte, 256)
			if n, err := unix.Lgetxattr(p, name, b); err == nil {
				all[rel] += fmt.Sprintf(" %s=%q", name, b[:n])
			}
		}
	}
	return all
}

func (b *dockerBox) data(volume string) string { return b.d.Data + "/volumes/" + volume + "/_data" }

// dockerVolumes is every volume of an engine with its labels and its data, and
// whatever else lies in their directories.
func dockerVolumes(t *testing.T, b *dockerBox) string {
	t.Helper()
	var s strings.Builder
	for _, name := range strings.Fields(b.d.Docker("volume", "ls", "-q")) {
		fmt.Fprintln(&s, b.d.Docker("volume", "inspect", "--format", "{{.Name}} {{json .Labels}}", name))
		tree := dockerSnapshot(t, b.data(name))
		for _, k := range slices.Sorted(maps.Keys(tree)) {
			fmt.Fprintf(&s, "  %q %q\n", k, tree[k])
		}
		all, err := os.ReadDir(filepath.Dir(b.data(name)))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&s, all)
	}
	return s.String()
}

func TestDockerVolume(t *testing.T) {
	b := newDockerBox(t, "box")
	far := &dockerBox{d: remotetest.StartDockerd(t)}
	far.host = remote.Host{Name: "old", Addr: "old", Runner: far, Dialer: far}
	far.d.Docker("volume", "create", "--label", "com.docker.compose.project=chat", "--label", "com.docker.compose.volume=data",
		"--label", "com.docker.compose.config-hash=abc", "chat_data")
	dockerTree(t, far.data("chat_data"))
	want := dockerSnapshot(t, far.data("chat_data"))
	others := []remote.Host{far.host}
	state := func() string { return dockerVolumes(t, b) }
	same := func() {
		t.Helper()
		if d := cmp.Diff(want, dockerSnapshot(t, b.data("chat_data"))); d != "" {
			t.Error(d)
		}
	}
	from := func() *dockerVolume { return &dockerVolume{Volume: "chat_data", From: "old"} }
	t.Run("copy to nothing", func(t *testing.T) {
		dockerEachCut(t, b, others, func() Step { return from() }, state, func() {
			same()
			labels := b.d.Docker("volume", "inspect", "--format", "{{json .Labels}}", "chat_data")
			if !strings.Contains(labels, `"com.docker.compose.project":"chat"`) || !strings.Contains(labels, `"com.docker.compose.volume":"data"`) {
				t.Errorf("labels: %s", labels)
			}
		})
	})
	t.Run("copy over data", func(t *testing.T) {
		b.d.Docker("volume", "create", "chat_data")
		fileWrite(t, b.data("chat_data")+"/mine", "mine", 0o600)
		if err := from().Apply(t.Context(), dockerEnv(b, others...).Env); err == nil || !strings.Contains(err.Error(), "is not empty; nothing was changed") {
			t.Errorf("copied over somebody's data: %v", err)
		}
		dockerEachCut(t, b, others, func() Step {
			s := from()
			s.Replace = true
			return s
		}, state, same)
		b.d.Docker("volume", "rm", "chat_data")
	})
	t.Run("writers", func(t *testing.T) { dockerVolumeWriters(t, b, far, from) })
	t.Run("written to since", func(t *testing.T) { dockerVolumeSince(t, b, others, from()) })
	t.Run("archive and restore", func(t *testing.T) { dockerVolumeArchive(t, b, far, want) })
	t.Run("large", func(t *testing.T) { dockerVolumeLarge(t, b, far) })
}

func dockerVolumeWriters(t *testing.T, b, far *dockerBox, from func() *dockerVolume) {
	for _, x := range []*dockerBox{b, far} {
		x.d.Busybox("app", "x")
		x.d.Docker("run", "-d", "--network", "none", "--name", "writer", "-v", "chat_data:/v", "app")
		x.d.Docker("run", "-d", "--network", "none", "--name", "reader", "-v", "chat_data:/v:ro", "app")
	}
	e := dockerEnv(b, far.host)
	s := from()
	if c := e.pending(t, s); len(c) != 1 || strings.Count(c[0].Text, "must be stopped before: writer") != 2 || strings.Contains(c[0].Text, "reader") {
		t.Errorf("pending: %+v", c)
	}
	refused := func(s *dockerVolume, word string) {
		t.Helper()
		if err := s.Apply(t.Context(), dockerEnv(b, far.host).Env); err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("want a refusal with %q, got %v", word, err)
		}
	}
	refused(s, "on old is written to by writer")
	far.d.Docker("stop", "-t", "20", "writer")
	refused(s, "on box is in use by writer")
	b.d.Docker("rm", "-f", "writer")
	b.d.Docker("rm", "-f", "reader")
	far.d.Docker("start", "writer")
	s.Live = "only a first pass"
	e.apply(t, s)
	e.verify(t, s)
	b.d.Docker("run", "-d", "--network", "none", "--name", "writer", "-v", "chat_data:/v", "app")
	if err := s.Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "left as it is") {
		t.Errorf("undo below a running container: %v", err)
	}
	b.d.Docker("rm", "-f", "writer")
	e.undo(t, s)
	for _, name := range []string{"writer", "reader"} {
		far.d.Docker("rm", "-f", name)
	}
	if f := dockerAssess(t, e, from().Needs("box")[1:2]); !strings.HasPrefix(f, "pass: volume chat_data on box") {
		t.Error(f)
	}
	if f := dockerAssess(t, e, []checks.Check{(&dockerVolume{Volume: "chat_data", From: "nowhere"}).Needs("box")[1]}); !strings.HasPrefix(f, "block: ") {
		t.Error(f)
	}
}

// dockerVolumeSince writes to the new volume before the way back: that is not
// thrown away.
func dockerVolumeSince(t *testing.T, b *dockerBox, others []remote.Host, s *dockerVolume) {
	e := dockerEnv(b, others...)
	e.apply(t, s)
	fileWrite(t, b.data("chat_data")+"/written-since", "precious", 0o600)
	e.undo(t, s)
	kept, err := filepath.Glob(filepath.Dir(b.data("chat_data")) + "/_belay-after-*/written-since")
	if err != nil || len(kept) != 1 || !strings.Contains(e.log.String(), "was written to since") {
		t.Errorf("kept %v, %v, log:\n%s", kept, err, e.log.String())
	}
	b.d.Docker("volume", "rm", "chat_data")

	// What it kept was deleted by somebody: that is no way back, and it is said.
	b.d.Docker("volume", "create", "chat_data")
	fileWrite(t, b.data("chat_data")+"/theirs", "was there", 0o600)
	e = dockerEnv(b, others...)
	over := *s
	over.Replace = true
	e.apply(t, &over)
	aside, _ := filepath.Glob(filepath.Dir(b.data("chat_data")) + "/_belay-before-*")
	if len(aside) != 1 || os.RemoveAll(aside[0]) != nil {
		t.Fatalf("kept: %v", aside)
	}
	for range 2 {
		if err := over.Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "somebody has removed that") {
			t.Errorf("undo without what it kept: %v", err)
		}
	}
	b.d.Docker("volume", "rm", "chat_data")

	// A step that broke off before it filled the volume, which somebody else has
	// written to since.
	e = dockerEnv(b, others...)
	b.d.Docker("volume", "create", "--label", dockerMadeBy+"="+e.ID, "chat_data")
	if err := e.Memory.Put(dockerFilledKey, dockerFilled{Begun: true, Made: true, Data: b.data("chat_data")}); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, b.data("chat_data")+"/others", "precious", 0o600)
	e.undo(t, s)
	if b, err := os.ReadFile(b.data("chat_data") + "/others"); string(b) != "precious" || !strings.Contains(e.log.String(), "somebody else's") {
		t.Errorf("%q, %v, log:\n%s", b, err, e.log.String())
	}
	b.d.Docker("volume", "rm", "chat_data")
}

func dockerVolumeArchive(t *testing.T, b, far *dockerBox, want map[string]string) {
	file := t.TempDir() + "/v o l.tar.gz"
	e := dockerEnv(far)
	s := &dockerVolume{Volume: "chat_data", Archive: file}
	if c := e.pending(t, s); len(c) != 1 || !strings.HasPrefix(c[0].Text, "archive volume chat_data (") {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if c := e.pending(t, s); len(c) != 0 {
		t.Errorf("still pending: %+v", c)
	}
	e.undo(t, s)
	r := func() Step { return &dockerVolume{Volume: "shop_files", Restore: file, Project: "shop"} }
	dockerEachCut(t, b, nil, r, func() string { return dockerVolumes(t, b) }, func() {
		if d := cmp.Diff(want, dockerSnapshot(t, b.data("shop_files"))); d != "" {
			t.Error(d)
		}
		labels := b.d.Docker("volume", "inspect", "--format", "{{json .Labels}}", "shop_files")
		if !strings.Contains(labels, `"com.docker.compose.volume":"files"`) {
			t.Errorf("labels: %s", labels)
		}
	})
	fileWrite(t, file+".sha256", strings.Repeat("0", 64)+"  x\n", 0o600)
	if err := r().Apply(t.Context(), dockerEnv(b).Env); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("an archive that is damaged: %v", err)
	}
}

func dockerVolumeLarge(t *testing.T, b, far *dockerBox) {
	far.d.Docker("volume", "create", "large")
	dir := far.data("large")
	for i := range 10000 {
		if i%100 == 0 {
			if err := os.Mkdir(fmt.Sprintf("%s/%d", dir, i/100), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/%d/f%d", dir, i/100, i), fmt.Appendf(nil, "file %d", i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(dir + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("end"), 200<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	e := dockerEnv(b, far.host)
	var done int64
	e.Say = func(p Progress) { done = max(done, p.Done) }
	s := &dockerVolume{Volume: "large", From: "old"}
	e.apply(t, s)
	e.verify(t, s)
	st, err := os.Stat(b.data("large") + "/sparse")
	if err != nil || st.Size() != 200<<20+3 {
		t.Fatalf("%v, %v", st, err)
	}
	if used := st.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
		t.Errorf("the sparse file takes %d bytes", used)
	}
	if done == 0 {
		t.Error("no progress was told")
	}
	e.undo(t, s)
}

// TestDockerVolumeSum compares the sum that is taken while the data passes with
// the one that a directory is read for.
func TestDockerVolumeSum(t *testing.T) {
	remotetest.Need(t, "b2sum", "zstd")
	if os.Getuid() != 0 {
		t.Skip("needs root, for owners")
	}
	dir := t.TempDir()
	dockerTree(t, dir)
	fileWrite(t, dir+"/last", filesRandom(3<<20), 0o600)
	script := func(verb string, args ...string) *exec.Cmd {
		c := (&dockerVolume{}).verb(verb, dir, "-", args...)
		return exec.Command(c.Argv[0], c.Argv[1:]...)
	}
	told := func(by string, meanwhile func()) string {
		t.Helper()
		c := script("send", "none", by)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		c.Stderr = &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// The first of it is there; the last file does not fit into any pipe.
		if _, err := io.CopyN(io.Discard, out, 64<<10); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		_, _ = io.Copy(io.Discard, out)
		if err := c.Wait(); err != nil {
			t.Fatalf("%v: %s", err, said.String())
		}
		for line := range strings.Lines(said.String()) {
			if sum, ok := strings.CutPrefix(line, "belay-sum "); ok {
				return strings.TrimSpace(sum)
			}
		}
		return ""
	}
	nothing := func() {}
	for _, by := range []string{"b2sum", "sha256sum"} {
		want, err := script("sum", by).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := told(by, nothing); got != strings.TrimSpace(string(want)) || len(got) < 64 || dockerVolumeMaker(got) != by {
			t.Errorf("%s: told %q, read %q", by, got, want)
		}
	}
	if got := told("", nothing); got != "" {
		t.Errorf("nobody asked: %q", got)
	}
	if got := told("b2sum", func() { fileWrite(t, dir+"/-rf", "DASH", 0o600) }); got != dockerVolumeUntold {
		t.Errorf("written to meanwhile: %q", got)
	}
	f, err := os.Create(dir + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	if got := told("b2sum", nothing); got != dockerVolumeUntold {
		t.Errorf("with holes: %q", got)
	}
}

// TestDockerVolumeWholeSeconds: on a file system that knows whole seconds only,
// as those that were made long ago, a change right after the beginning is seen.
func TestDockerVolumeWholeSeconds(t *testing.T) {
	remotetest.Need(t, "b2sum")
	dir, disk := t.TempDir(), t.TempDir()+"/disk"
	made := exec.Command("sh", "-c", `truncate -s 32M "$2" && mkfs.ext4 -q -I 128 "$2" && mount -o loop "$2" "$1"`, "sh", dir, disk)
	if out, err := made.CombinedOutput(); err != nil {
		t.Skipf("no loop device can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	fileWrite(t, dir+"/a", "first", 0o600)
	fileWrite(t, dir+"/last", filesRandom(3<<20), 0o600)
	c := (&dockerVolume{}).verb("send", dir, "-", "none", "b2sum")
	send := exec.Command(c.Argv[0], c.Argv[1:]...)
	out, err := send.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	send.Stderr = &said
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // it has a whole second before it
	if err := send.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, out, 64<<10); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, dir+"/a", "other", 0o600)
	_, _ = io.Copy(io.Discard, out)
	if err := send.Wait(); err != nil || !strings.Contains(said.String(), "belay-sum -\n") {
		t.Errorf("%v: %s", err, said.String())
	}
}

// TestDockerVolumeTake: an archive that was cut between two files is not taken
// for a whole one, though tar sees nothing wrong with it.
func TestDockerVolumeTake(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	fileWrite(t, dir+"/a", "first", 0o600)
	fileWrite(t, dir+"/b", "second", 0o600)
	pack := exec.Command("sh", "-c", `cd "$1" || exit 1
tar --format=ustar -cf - a b | gzip >whole.gz
tar --format=ustar -cf - a | head -c 1024 | gzip >cut.gz
tar --format=ustar -cf - b | gzip | head -c 40 >>cut.gz`, "sh", dir)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	take := func(archive string) error {
		c := (&dockerVolume{}).verb("take", home+"/_data", "x", "gzip", archive)
		out, err := exec.Command(c.Argv[0], c.Argv[1:]...).CombinedOutput()
		t.Logf("%s", out)
		return err
	}
	if err := take(dir + "/whole.gz"); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(home + "/_belay-new-x/b"); string(b) != "second" {
		t.Errorf("%q, %v", b, err)
	}
	if take(dir+"/cut.gz") == nil {
		t.Error("half an archive was taken")
	}
	for _, shell := range []string{"dash", "bash"} {
		remotetest.Need(t, shell)
		c := (&dockerVolume{}).verb("sumnew", home+"/_data", "x", "sha256sum")
		// A disk that took not all of it.
		script := "sync() { case $* in *_belay-new*) echo 'sync: Input/output error' >&2; return 1 ;; esac; }\n" + c.Argv[2]
		if out, err := exec.Command(shell, append([]string{"-c", script}, c.Argv[3:]...)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "could not be written to the disk") {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
}

func TestDockerVolumeValidate(t *testing.T) {
	for _, c := range []dockerVolume{
		{Volume: "v"}, {Volume: "../v", From: "h"}, {Volume: "v", From: "h", Restore: "/x"}, {Volume: "v", Archive: "x"}, {Volume: "v", From: "h", FromVolume: "a/b"},
		{Volume: "v", Archive: "/x", Replace: true}, {Volume: "v", Restore: "/x", Live: "y"}, {Volume: "v", From: "h", Project: "A b"}, {Volume: "v", Restore: "/x", FromVolume: "y"},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

package job

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

// A directory that is a link, or somebody else's, is not trusted.
func TestForeignDirectoryIsRefused(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		var refused *RefusedError
		other := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(m.dir("x")), 0o700); err != nil {
			t.Fatal(err)
		}
		link(t, other, m.dir("linked"))
		link(t, "/nowhere", m.dir("dangling"))
		ids := []string{"linked", "dangling"}
		if os.Getuid() == 0 {
			if err := errors.Join(os.Mkdir(m.dir("foreign"), 0o777), os.Chown(m.dir("foreign"), 54321, -1)); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, "foreign")
		}
		for _, id := range ids {
			if _, err := Run(t.Context(), m, Spec{ID: id, Script: "true"}, Options{}); !errors.As(err, &refused) {
				t.Errorf("run in %s: %v", id, err)
			}
			if _, err := Look(t.Context(), m, id); !errors.As(err, &refused) {
				t.Errorf("look at %s: %v", id, err)
			}
			if _, err := Cancel(t.Context(), m, id, 0); !errors.As(err, &refused) {
				t.Errorf("cancel %s: %v", id, err)
			}
			if err := os.RemoveAll(m.dir(id)); err != nil { // before the test's own clean-up looks
				t.Fatal(err)
			}
		}
		if left, _ := os.ReadDir(other); len(left) > 0 {
			t.Errorf("written through the link: %v", left)
		}
	})
}

// Without a home of its own a job lives under /var/tmp, and is still found
// there when the home has become writable.
func TestHomeIsNotOurs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody whose home is not theirs")
	}
	remotetest.Need(t, "setpriv")
	for i, kind := range []string{"dash", "bash", "busybox"} {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind)
			open := func(dir string) { // to others, as far as the test's own directories reach
				if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			open(m.home)
			uid := 700_000 + os.Getpid()*4%900_000 + i
			place := "/var/tmp/belay-" + strconv.Itoa(uid)
			t.Cleanup(func() { os.RemoveAll(place) })
			m.pre = []string{remotetest.Find("setpriv"), "--reuid=" + strconv.Itoa(uid), "--regid=" + strconv.Itoa(uid), "--clear-groups", "--"}
			var log bytes.Buffer
			s := Spec{ID: "nohome", Script: "echo x >>" + place + "/ran; echo hello"}
			if _, err := Run(t.Context(), m, s, Options{Log: &log}); err != nil || log.String() != "hello\n" {
				t.Fatal(err, log.String())
			}
			if st, err := os.Stat(place); err != nil || st.Mode().Perm() != 0o700 || !exists(place+"/nohome/rc") {
				t.Fatal(st, err)
			}
			if err := os.Chown(m.home, uid, -1); err != nil {
				t.Fatal(err)
			}
			if res, err := Run(t.Context(), m, s, Options{}); err != nil || !res.Attached || lines(place+"/ran") != 1 {
				t.Error("not found again:", err, res)
			}

			m.home = "relative/and/gone"
			if err := errors.Join(os.RemoveAll(place), os.Mkdir(place, 0o777)); err != nil { // root's, as an attacker's would be
				t.Fatal(err)
			}
			var refused *RefusedError
			if _, err := Run(t.Context(), m, s, Options{}); !errors.As(err, &refused) {
				t.Error("trusted somebody else's directory:", err)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	for _, kind := range []string{"dash", "bash", "busybox"} {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t, kind)
			if err := syscall.Mount("belay-test", m.home, "tmpfs", 0, "size=1m"); err != nil {
				t.Skipf("mounting a small tmpfs is not permitted here: %v", err)
			}
			defer syscall.Unmount(m.home, syscall.MNT_DETACH)
			fullDisk(t, m)
		})
	}
}

func fullDisk(t *testing.T, m *machine) {
	fill := func() {
		f, err := os.Create(m.home + "/ballast")
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		f.Close()
	}
	free := func() { os.Remove(m.home + "/ballast") }

	// Full before: nothing starts, and it does once there is room.
	fill()
	s := Spec{ID: "before", Script: "echo ran; exit 7"}
	var refused *RefusedError
	if _, err := Run(t.Context(), m, s, Options{}); !errors.As(err, &refused) || exists(m.dir("before/claim")) {
		t.Error("started on a full disk:", err)
	}
	free()
	var exit *remote.ExitError
	if _, err := Run(t.Context(), m, s, Options{}); !errors.As(err, &exit) || exit.Status != 7 {
		t.Error("with room again:", err)
	}

	// Full meanwhile: the outcome is known all the same.
	start(t, m, Spec{ID: "meanwhile", Script: hold + "; exit 8"})
	start(t, m, Spec{ID: "cancelled", Script: "sleep 100"})
	rewrite(t, m.home+"/go", "")
	fill()
	if _, err := Run(t.Context(), m, Spec{ID: "meanwhile", Script: hold + "; exit 8"}, Options{}); !errors.As(err, &exit) || exit.Status != 8 {
		t.Error("outcome on a full disk:", err)
	}
	rep, err := Cancel(t.Context(), m, "cancelled", time.Second)
	if err != nil || rep.State != Done || rep.Status != 143 {
		t.Error("cancel on a full disk:", err, fmt.Sprintf("%+v", rep))
	}
	free()
}

func TestNothingToReadWith(t *testing.T) {
	m := newMachine(t, "dash")
	whole := m.path
	m.path = t.TempDir()
	for _, p := range []string{"sh", "env"} {
		link(t, remotetest.Find(p), filepath.Join(m.path, p))
	}
	_, err := Run(t.Context(), m, Spec{ID: "x", Script: "true"}, Options{})
	var exit *remote.ExitError
	if !errors.As(err, &exit) || exit.Status != 69 {
		t.Error(err)
	}
	m.path = whole
}

package checks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote"
)

// TestLogSince counts what a log has got since a mark, over a rotation.
func TestLogSince(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	put := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	c := &LogCheck{On: []string{"a"}, Path: path, Absent: "panic", AtMost: 1, Since: "cutover"}
	w := World{Hosts: remote.Hosts{"a": remote.ReadOnly(remote.Local("a"))}, Memory: map[string]string{}}
	look := func(want Level, says string) {
		t.Helper()
		found, err := c.Assess(t.Context(), w)
		if err != nil || len(found) != 1 || found[0].Level != want || !strings.Contains(found[0].Text, says) {
			t.Errorf("%+v, %v; want %s: %s", found, err, want, says)
		}
	}
	look(Unknown, "no cutover")
	put("panic\npanic\npanic\n")
	if err := c.Mark(t.Context(), w); err != nil || !c.Marks() {
		t.Fatal(err)
	}
	look(Pass, "0 lines since the cutover")
	put("well\npanic: one\n")
	look(Pass, "1 of 2 lines")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	put("panic: two\n")
	look(Block, "2 of 3 lines")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look(Unknown, "gone")

	w.Memory = map[string]string{}
	if err := c.Mark(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	look(Pass, "0 lines")
	put("panic\npanic\n") // the log of what was not there at the cutover
	look(Block, "2 of 2 lines")
}

// TestUnitLogThatNobodyMayRead: journalctl shows nothing and succeeds; that is no
// log without bad lines.
func TestUnitLogThatNobodyMayRead(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\n[ -e " + dir + "/may ] || exit 0\ncase \" $* \" in *\" --system \"*) echo booted ;; *) echo well; echo panic ;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, c := range []*LogCheck{{Unit: "api", Absent: "panic"}, {Unit: "api", Absent: "panic", Since: "cutover"}} {
		c.On = []string{"a"}
		_ = os.Remove(filepath.Join(dir, "may"))
		for _, want := range []Level{Unknown, Block} {
			w := World{Hosts: remote.Hosts{"a": remote.ReadOnly(remote.Local("a"))}, Memory: map[string]string{"a": "1700000000 0 0"}}
			found, err := c.Assess(t.Context(), w)
			if err != nil || len(found) != 1 || found[0].Level != want {
				t.Errorf("since %q: %+v, %v; want %s", c.Since, found, err, want)
			}
			if err := os.WriteFile(filepath.Join(dir, "may"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestLoad(t *testing.T) {
	w := World{Hosts: remote.Hosts{"a": remote.ReadOnly(remote.Local("a"))}}
	found, err := (&LoadCheck{On: []string{"a"}, CPU: 10000, Memory: 1, Disk: 1, Path: "/"}).Assess(t.Context(), w)
	if err != nil || len(found) != 1 || found[0].Level != Pass || found[0].Took <= 0 || found[0].Unit != "load" {
		t.Errorf("%+v, %v", found, err)
	}
	f := &Facts{CPUs: 2, Load1: 3, Memory: Memory{Total: 100, Available: 20}, Disks: []Disk{{Mount: "/", Total: 100, Free: 50}, {Mount: "/var", Total: 100, Free: 90, Inodes: 100, InodesFree: 5}}}
	for _, c := range []struct {
		LoadCheck
		want Level
		says string
	}{
		{LoadCheck{CPU: 2}, Pass, "load 1.50 for each of 2 CPUs"},
		{LoadCheck{CPU: 1}, Block, "load above 1"},
		{LoadCheck{CPU: 2, Memory: 0.75}, Block, "memory above 75%"},
		{LoadCheck{CPU: 2, Disk: 0.9, Path: "/"}, Pass, "50% of / in use"},
		{LoadCheck{CPU: 2, Disk: 0.9, Path: "/var/lib"}, Block, "/var above 90%"},
	} {
		if got := c.judge(f); got.Level != c.want || !strings.Contains(got.Text, c.says) {
			t.Errorf("%+v: %+v", c.LoadCheck, got)
		}
	}
	if got := (&LoadCheck{CPU: 2}).judge(&Facts{CPUs: 2, Missing: []string{"os (load): no"}}); got.Level != Unknown {
		t.Errorf("without a reading: %+v", got)
	}
}

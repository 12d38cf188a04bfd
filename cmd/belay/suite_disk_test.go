//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"belay/remote/remotetest"
	"belay/steps/journal"
)

const diskPlan = `belay: 1
name: disk
hosts: {here: {local: true}}
vars: {w: %s}
prepare:
  - step: One
    on: here
    run: {dir: "${{ w }}", script: echo one >>ledger}
  - step: Two
    on: here
    run: {dir: "${{ w }}", script: 'echo two >>ledger; dd if=/dev/zero of=STATE/ballast bs=4k 2>/dev/null; true'}
  - step: Three
    on: here
    run: {dir: "${{ w }}", script: echo three >>ledger}
  - step: Four
    on: here
    run: {dir: "${{ w }}", script: echo four >>ledger}
`

const diskAnswers = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: a lab, times: 99}
  - {question: findings, choice: go}
  - {question: close, choice: close, text: here}
`

// tmpfs is a tiny file system of its own, for the state of belay.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	remotetest.NeedMachine(t)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// diskRun is a run of four steps with its state on a file system of its own.
type diskRun struct {
	t          *testing.T
	dir, state string
}

func newDiskRun(t *testing.T, plan string) *diskRun {
	t.Helper()
	d := &diskRun{t, t.TempDir(), tmpfs(t, "1m")}
	write(t, filepath.Join(d.dir, "plan.yaml"), strings.NewReplacer("%s", d.dir, "STATE", d.state).Replace(plan))
	write(t, filepath.Join(d.dir, "answers.yaml"), diskAnswers)
	return d
}

func (d *diskRun) belay(args ...string) (int, string) {
	d.t.Helper()
	return belay(d.t, d.dir, []string{"HOME=" + d.dir, "BELAY_STATE=" + d.state, "BELAY_SSH_CONFIG=none"}, append(args, "--headless", "--answers", "answers.yaml")...)
}

func (d *diskRun) wantLedger(want string) {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, "ledger"))
	if err != nil {
		d.t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(string(b)), " "); got != want {
		d.t.Errorf("the ledger holds %q, want %q", got, want)
	}
}

// wantStopped: belay ended unfinished, with the words, and the journal is whole.
func (d *diskRun) wantStopped(code int, out string, words ...string) {
	d.t.Helper()
	if code == exitClosed {
		d.t.Errorf("belay came to its end:\n%s", out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			d.t.Errorf("no word of %q:\n%s", w, out)
		}
	}
	if _, err := journal.Read(filepath.Join(theRun(d.t, d.state), "journal")); err != nil {
		d.t.Errorf("the journal: %v", err)
	}
}

// TestDiskFull fills the disk of the run directory in the middle of a step: the
// run stops before the next act and says why, the journal is whole, and with
// the disk free again resume goes on where it was.
func TestDiskFull(t *testing.T) {
	// The last page of a file may have room for some events after the disk is
	// full; that of the third step's start is longer than a page.
	d := newDiskRun(t, strings.Replace(diskPlan, "echo three", "true "+strings.Repeat("x", 5000)+"; echo three", 1))
	code, out := d.belay("run", "plan.yaml")
	d.wantStopped(code, out, "no space left", "free the disk, then resume")
	d.wantLedger("one two")
	code, out = d.belay("resume")
	d.wantStopped(code, out, "no space left")
	d.wantLedger("one two")
	if err := os.Remove(filepath.Join(d.state, "ballast")); err != nil {
		t.Fatal(err)
	}
	if code, out := d.belay("resume"); code != exitClosed {
		t.Errorf("resume with the disk free ended with %d:\n%s", code, out)
	}
	d.wantLedger("one two three four")
}

// TestDiskReadOnly: a run whose directory has become read-only is not taken up,
// and with the disk writable again it is. (While a run has its journal open,
// only a failing device makes its file system read-only; an append that fails
// is what TestDiskFull has, too.)
func TestDiskReadOnly(t *testing.T) {
	d := newDiskRun(t, strings.Replace(diskPlan, "dd if=/dev/zero of=STATE/ballast bs=4k 2>/dev/null; true", "[ -e mended ]", 1))
	code, out := d.belay("run", "plan.yaml") // step Two fails, and nobody answers
	d.wantStopped(code, out)
	write(t, filepath.Join(d.dir, "answers.yaml"), diskAnswers+"  - {question: failed, choice: retry}\n")
	write(t, filepath.Join(d.dir, "mended"), "")
	if err := syscall.Mount("", d.state, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	code, out = d.belay("resume")
	d.wantStopped(code, out, "read-only file system")
	d.wantLedger("one two")
	if code, out := d.belay("run", "plan.yaml"); code != exitFailed || !strings.Contains(out, "nothing was contacted or changed") {
		t.Errorf("a new run ended with %d:\n%s", code, out)
	}
	if err := syscall.Mount("", d.state, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if code, out := d.belay("resume"); code != exitClosed {
		t.Errorf("resume with the disk writable ended with %d:\n%s", code, out)
	}
	d.wantLedger("one two two three four")
}

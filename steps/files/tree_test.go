package files

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/steps/compare"
)

// read reads a directory of this machine.
func read(t *testing.T, dir string, l Look) *Tree {
	t.Helper()
	tree, err := Read(t.Context(), remote.Local("here"), dir, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

func write(t *testing.T, p, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestExclude leaves out names anywhere and paths from the top, with all below.
func TestExclude(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{"a.tmp", "d/b.tmp", "d/keep", "cache/x/y", "d/cache/z", "line\nbreak.tmp"} {
		write(t, dir+"/"+p, "x")
	}
	var got []string
	err := read(t, dir, Look{Exclude: []string{"*.tmp", "/cache"}}).Each(func(e Entry) error {
		got = append(got, e.Path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{".": true, "d": true, "d/keep": true, "d/cache": true, "d/cache/z": true}
	for _, p := range got {
		if !want[p] {
			t.Errorf("%q was told", p)
		}
		delete(want, p)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}

// TestSide: two directories with thousands of entries, one of them in another
// content, are told apart by that one; the spool goes through the disk.
func TestSide(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for i := range 3000 {
		name := "/" + strings.Repeat("long", 20) + string(rune('a'+i%26)) + "/" + strings.Repeat("n", 60) + string(rune('0'+i%10)) + strings.Repeat("x", i/260)
		write(t, a+name, "same")
		write(t, b+name, "same")
	}
	write(t, b+"/"+strings.Repeat("long", 20)+"c/odd \x1b[2J", "other")
	pair := compare.Pair{Name: "x"}
	for dir, to := range map[string]*compare.Side{a: &pair.Old, b: &pair.New} {
		*to = SideOf(read(t, dir, Look{Sums: true}), "dir")
	}
	got := compare.Run(t.Context(), []compare.Pair{pair}, compare.Options{}).Pairs[0]
	want := strings.Repeat("long", 20) + `c/odd \x1b[2J"`
	if len(got.Differs) != 1 || got.Differs[0].How != compare.Extra || !strings.HasSuffix(got.Differs[0].Key, want) {
		t.Errorf("%+v", got)
	}
}

// TestDeltaKeepsLinksTogether: when one name of a file is to be sent, all are,
// in one batch, however small batches are.
func TestDeltaKeepsLinksTogether(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a+"/d/one", "x")
	for _, name := range []string{"/two", "/e", "/d/three"} {
		if err := os.Link(a+"/d/one", a+name); err != nil {
			t.Fatal(err)
		}
	}
	write(t, a+"/other", "y")
	todo, err := Delta(read(t, a, Look{}), read(t, b, Look{}), How{})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	err = todo.Batches(Limits{1, 1, 1}, Limits{1, 1, 1}, func(b Batch) error { sizes = append(sizes, len(b.Entries)); return nil })
	if d := cmp.Diff(5, sizes[0]+sizes[1]); err != nil || len(sizes) != 2 || d != "" {
		t.Errorf("%v %v", sizes, err)
	}
}

// FuzzTake: whatever a host says, nothing breaks, and no path leads out.
func FuzzTake(f *testing.F) {
	f.Add("belay-tree 1 /x\x00S1\n./a\x0081a4 0 0 12 1 1 1 1:2 0:0 2023-11-14 22:13:20.123456789 +0000\nend\n")
	f.Add("belay-tree 1 /x\x00S1\n./../../etc/passwd\x00-\nend\n")
	f.Add("belay-tree 1 /x\x00L1\n./l\x00/etc/passwd\x00H1\n./l\x00-\nend\n")
	f.Fuzz(func(t *testing.T, said string) {
		tree := &Tree{first: map[string]string{}, links: map[string]int{}}
		defer tree.Close()
		if err := tree.take(bufio.NewReader(strings.NewReader(said)), Look{}); err != nil {
			return
		}
		err := tree.Each(func(e Entry) error {
			if e.Path != "." && !proper(e.Path) {
				t.Errorf("%q leads out", e.Path)
			}
			return nil
		})
		if err != nil {
			t.Errorf("taken, and then not readable: %v", err)
		}
	})
}

package job

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFramesAreNotTrusted(t *testing.T) {
	const hi = "some login's greeting\nbelay-job 1\n"
	for name, c := range map[string]struct {
		said string
		bad  bool
		data string
	}{
		"good":          {hi + "A\nH 3\nD 10 3\nabcD 13 2\nD S done 3 15 cancelled\n", false, "abcD "},
		"no greeting":   {"D 10 3\nabc", false, ""},
		"other offset":  {hi + "D 11 3\nabc", true, ""},
		"no length":     {hi + "D 10 0\n", true, ""},
		"too long":      {hi + "D 10 1048577\n", true, ""},
		"negative":      {hi + "D 10 -3\n", true, ""},
		"hex":           {hi + "D 10 0x3\n", true, ""},
		"short payload": {hi + "D 10 9\nabcS done 0 3\n", true, "abcS done"},
		"grown":         {hi + "T 10\n", true, ""},
		"unknown state": {hi + "S dancing 0 3\n", true, ""},
		"status 256":    {hi + "S done 256 3\n", true, ""},
		"no status":     {hi + "S done - 3\n", true, ""},
		"no size":       {hi + "S running - x\n", true, ""},
		"unknown word":  {hi + "Q\n", true, ""},
		"long line":     {hi + strings.Repeat("H", 5000), true, ""},
		"noise":         {strings.Repeat("noise\n", 20000), true, ""},
	} {
		for _, step := range []int{1, 7, 1 << 20} {
			var data bytes.Buffer
			f := &frames{data: &data, off: 10, seen: func(int64) {}, shrunk: -1}
			for rest := []byte(c.said); len(rest) > 0; {
				n := min(step, len(rest))
				f.Write(rest[:n])
				rest = rest[n:]
			}
			if (f.err != nil) != c.bad || data.String() != c.data {
				t.Errorf("%s by %d: %v, data %q", name, step, f.err, data.String())
			}
			if name == "good" {
				want := &Report{State: Done, Began: true, Status: 3, Size: 15, Cancelled: true}
				if diff := cmp.Diff(want, f.report); diff != "" || f.off != 15 || !f.attached {
					t.Error(diff)
				}
			}
		}
	}
}

// Whatever the far side says and however it is cut up, the near side takes in
// the same, never more than it was given, and never counts wrongly.
func FuzzFrames(f *testing.F) {
	f.Add("belay-job 1\nA\nH 3\nD 0 3\nabcT 2\n", 3)
	f.Add("belay-job 1\nD 0 3\nabS done none 0 reaped\nX io disk full\n", 1)
	f.Fuzz(func(t *testing.T, said string, step int) {
		take := func(step int) (*frames, string) {
			var data bytes.Buffer
			fr := &frames{data: &data, seen: func(int64) {}, shrunk: -1}
			for rest := []byte(said); len(rest) > 0 && fr.err == nil; {
				n := min(step, len(rest))
				fr.Write(rest[:n])
				rest = rest[n:]
			}
			return fr, data.String()
		}
		a, dataA := take(len(said) + 1)
		b, dataB := take(max(1, min(step, 4096)))
		if dataA != dataB || a.off != int64(len(dataA)) || a.off != b.off || (a.err == nil) != (b.err == nil) {
			t.Errorf("%d and %d bytes, %q and %q, %v and %v", a.off, b.off, dataA, dataB, a.err, b.err)
		}
		if diff := cmp.Diff(a.report, b.report); diff != "" || a.left < 0 || a.left > 1<<20 {
			t.Error(diff, a.left)
		}
	})
}

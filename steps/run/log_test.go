package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/remote/secret"
)

func openLog(t testing.TB, path string) *lineWriter {
	t.Helper()
	w, err := openLineWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func texts(lines []Line) []string {
	var all []string
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return all
}

func wantTexts(t *testing.T, l Log, want ...string) {
	t.Helper()
	if got := texts(l.Lines(0, l.Len())); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

func TestLogTakesInRawOutput(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for name, c := range map[string]struct {
		writes []string
		want   []string
	}{
		"lines":             {[]string{"one\ntwo\n"}, []string{"one", "two"}},
		"no newline at end": {[]string{"one\ntw", "o"}, []string{"one", "two"}},
		"empty lines":       {[]string{"\n\na\n"}, []string{"", "", "a"}},
		"CR LF":             {[]string{"one\r\ntwo\r", "\n"}, []string{"one", "two"}},
		"progress":          {[]string{"10%\r", "20%\r30%", "\rdone\n"}, []string{"done"}},
		"control":           {[]string{"a\x1b[31mred\x1b[0m\x07\tb\x00\n"}, []string{"ared    b"}},
		"hidden by bidi":    {[]string{"a\u202eb\n"}, []string{"ab"}},
		"cut character":     {[]string{"gr\xc3", "\xbc\xc3\x9fe\n"}, []string{"grüße"}},
		"a line too long":   {[]string{long, "rest\nnext\n"}, []string{"", "rest", "next"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s@h.log")
			w := openLog(t, path)
			for _, text := range c.writes {
				if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
					t.Fatal(n, err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			l := fileLog{path, "s", "h"}
			got := texts(l.Lines(0, l.Len()))
			if name == "a line too long" { // what the cleaning leaves of it is its own affair
				if len(got) != 3 || !strings.HasPrefix(got[0], "xxxx") {
					t.Fatalf("got %d lines", len(got))
				}
				got[0] = ""
			}
			if name == "control" {
				got[0] = strings.Join(strings.Fields(got[0]), "    ")
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
				t.Errorf("the log holds %q, want %q", got, c.want)
			}
		})
	}
}

func TestLogIsReadWhileItGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s@h.log")
	const lines = 5000
	var wg sync.WaitGroup
	wg.Go(func() {
		w := openLog(t, path)
		defer w.Close()
		for i := range lines {
			fmt.Fprintf(w, "line %d%s", i, strings.Repeat(".", i%50))
			fmt.Fprint(w, "\n")
		}
	})
	l := fileLog{path, "s", "h"}
	for at := 0; at < lines; {
		n := l.Len()
		got := l.Lines(at, n-at)
		if len(got) != n-at {
			t.Fatalf("Len says %d lines, Lines gives %d from %d on", n, len(got), at)
		}
		for _, line := range got {
			if want := fmt.Sprintf("line %d%s", at, strings.Repeat(".", at%50)); line.Text != want || line.Step != "s" || line.Host != "h" {
				t.Fatalf("line %d is %+v", at, line)
			}
			at++
		}
	}
	wg.Wait()
	if got := l.Lines(lines-1, 10); len(got) != 1 {
		t.Errorf("%d lines from the last one on", len(got))
	}
	for _, from := range []int{-1, lines, lines + 100} {
		if got := l.Lines(from, 10); got != nil {
			t.Errorf("lines from %d on: %q", from, texts(got))
		}
	}
}

// TestLogGoesOnAfterACrash cuts both files where a crash or a power cut may
// have cut them, and wants whole lines, no more and no fewer than both vouch for.
func TestLogGoesOnAfterACrash(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(log, idx *os.File) error
		want []string
	}{
		"text without its record": {func(log, _ *os.File) error { _, err := log.Write([]byte("three\n")); return err }, []string{"one", "two"}},
		"half a line of text":     {func(log, _ *os.File) error { _, err := log.Write([]byte("thr")); return err }, []string{"one", "two"}},
		"half a record":           {func(_, idx *os.File) error { _, err := idx.Write(make([]byte, 7)); return err }, []string{"one", "two"}},
		"records of zeros":        {func(_, idx *os.File) error { _, err := idx.Write(make([]byte, 3*recordLen)); return err }, []string{"one", "two"}},
		"a record without text":   {func(log, _ *os.File) error { return log.Truncate(6) }, []string{"one"}},
		"all text gone":           {func(log, _ *os.File) error { return log.Truncate(0) }, nil},
		"all records gone":        {func(_, idx *os.File) error { return idx.Truncate(0) }, nil},
		"a record of wild numbers": {func(_, idx *os.File) error {
			_, err := idx.Write([]byte(strings.Repeat("\xff", recordLen)))
			return err
		}, []string{"one", "two"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s@h.log")
			w := openLog(t, path)
			fmt.Fprint(w, "one\ntwo\n")
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			log, err1 := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			idx, err2 := os.OpenFile(indexPath(path), os.O_WRONLY|os.O_APPEND, 0)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if err := c.harm(log, idx); err != nil {
				t.Fatal(err)
			}
			log.Close()
			idx.Close()
			l := fileLog{path, "s", "h"}
			l.Lines(0, l.Len()) // a screen may look before anybody mends it
			w = openLog(t, path)
			wantTexts(t, l, c.want...)
			fmt.Fprint(w, "next\n")
			wantTexts(t, l, append(c.want, "next")...)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLogRewinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s@h.log")
	lines := openLog(t, path)
	red := &secret.Redactor{}
	red.Add(secret.New("first line\nsecond line"))
	o := &output{red.Writer(lines), lines, red}
	mark := func(want int, wantWhole bool) {
		t.Helper()
		if n, whole := o.Mark(); n != want || whole != wantWhole {
			t.Errorf("mark: %d, %v; want %d, %v", n, whole, want, wantWhole)
		}
	}
	mark(0, true)
	fmt.Fprint(o, "one\ntwo\n")
	mark(2, true)
	fmt.Fprint(o, "thr")
	mark(2, false)
	fmt.Fprint(o, "ee\nfirst line\n") // which may be the beginning of the secret
	mark(3, false)
	if left, err := o.Rewind(1); left != 1 || err != nil {
		t.Errorf("rewind: %d, %v", left, err)
	}
	mark(1, true)
	fmt.Fprint(o, "again\n")
	if left, err := o.Rewind(10); left != 2 || err != nil {
		t.Errorf("rewind beyond the end: %d, %v", left, err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	wantTexts(t, fileLog{path, "s", "h"}, "one", "again")
}

func TestMergedLogIsInTheOrderOfTime(t *testing.T) {
	dir := t.TempDir()
	at := time.Unix(1_000_000, 0)
	say := func(name string, seconds int, text string) {
		w := openLog(t, filepath.Join(dir, name))
		w.now = func() time.Time { return at.Add(time.Duration(seconds) * time.Second) }
		fmt.Fprint(w, text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	say("s@a.log", 1, "a1\n")
	say("s@b.log", 2, "b2\n")
	say("s@a.log", 3, "a3\na3 too\n")
	say("other@a.log", 2, "other\n")
	m := &mergedLog{find: func() []fileLog { return findLogs(dir, "s") }}
	wantTexts(t, m, "a1", "b2", "a3", "a3 too")
	say("s@c.log", 1, "c1\n") // a host that begins late, with an older clock
	say("s@b.log", 9, "b9\n")
	wantTexts(t, m, "a1", "b2", "a3", "a3 too", "c1", "b9")
	if got := texts(m.Lines(1, 3)); fmt.Sprint(got) != "[b2 a3 a3 too]" {
		t.Errorf("a stretch: %q", got)
	}
	if got := m.Lines(6, 1); got != nil {
		t.Errorf("beyond the end: %q", texts(got))
	}
	all := &mergedLog{find: func() []fileLog { return findLogs(dir, "") }}
	if all.Len() != 7 {
		t.Errorf("%d lines in all", all.Len())
	}
}

// BenchmarkLogIngest is what taking in a step's output costs: redacting,
// cleaning, indexing, writing.
func BenchmarkLogIngest(b *testing.B) {
	red := &secret.Redactor{}
	red.Add(secret.New("a planted secret"))
	lines := openLog(b, filepath.Join(b.TempDir(), "s@h.log"))
	o := &output{red.Writer(lines), lines, red}
	chunk := []byte(strings.Repeat("2026-12-01 22:00:00 INFO  copied table messages, 10000 rows in 12 ms\n", 32<<10/69))
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := o.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		b.Fatal(err)
	}
}

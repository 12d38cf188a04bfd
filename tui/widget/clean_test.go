package widget

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "hello", "hello"},
		{"colours", "\x1b[1;31mred\x1b[0m text", "red text"},
		{"title", "\x1b]0;owned\x07after", "after"},
		{"link", "\x1b]8;;http://x\x1b\\label\x1b]8;;\x1b\\", "label"},
		{"title without an end hides nothing", "\x1b]0;rm -rf /", "0;rm -rf /"},
		{"CSI without an end hides nothing", "\x1b[31", "31"},
		{"C1", "a\u009b31mb\u009d0;t\u009cc", "abc"},
		{"charset", "\x1b(Bx\x1b=y", "xy"},
		{"tabs", "a\tb", "a       b"},
		{"progress", "10%\r50%\rdone\r", "done"},
		{"bidi", "a\u202egnp.exe\u202c", "agnp.exe"},
		{"zero width", "pass\u200bword\ufeff", "password"},
		{"umlaut by mark", "u\u0308", "u\u0308"},
		{"zalgo", "a\u0301\u0302\u0303\u0304", "a\u0301\u0302"},
		{"bytes", "a\xffb", "a\ufffdb"},
		{"wide", "日本", "日本"},
		{"lines stay", "a\x07\nb", "a\nb"},
		{"bell and backspace", "a\x08\x07b", "ab"},
	}
	for _, tt := range tests {
		if got := Clean(tt.in); got != tt.want {
			t.Errorf("%s: Clean(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
	long := Clean(strings.Repeat("x", 3*MaxLine))
	if n := utf8.RuneCountInString(long); n != MaxLine || !strings.HasSuffix(long, "…") {
		t.Errorf("a long line keeps %d runes and ends in %q", n, long[len(long)-3:])
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "\x1b[31mx", "\x1b]0;a\x07", "a\rb\tc", "\u202e\u200b", "\xc2\x9b1m", "\x1b\x1b[", "e\u0301\u0301\u0301", strings.Repeat("\x1b]", 50), "\x1bP" + strings.Repeat("q", 2000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Clean(%q) is not UTF-8: %q", s, got)
		}
		for _, r := range got {
			if r != '\n' && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || invisible(r)) {
				t.Fatalf("Clean(%q) keeps %U", s, r)
			}
		}
		for _, l := range strings.Split(got, "\n") {
			if utf8.RuneCountInString(l) > MaxLine {
				t.Fatalf("Clean left a line of %d runes", utf8.RuneCountInString(l))
			}
		}
		if again := Clean(got); again != got {
			t.Fatalf("Clean is not settled: %q, then %q", got, again)
		}
		if strings.Count(got, "\n") != strings.Count(s, "\n") {
			t.Fatalf("Clean changed the number of lines of %q", s)
		}
	})
}

func BenchmarkClean(b *testing.B) {
	for name, s := range map[string]string{
		"plain":          "GET /api/v1/messages 200 12ms from 10.0.0.7 by user 4711",
		"coloured":       "\x1b[32m✓\x1b[0m built \x1b[1mdist/assets/index.js\x1b[22m 14.2 kB",
		"hostile 64 KiB": strings.Repeat("\x1b]", 32<<10),
		"marks 64 KiB":   strings.Repeat("e\u0301\u0302\u0303", 8<<10),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				Clean(s)
			}
		})
	}
}

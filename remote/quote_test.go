package remote

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var shells = [][]string{{"sh"}, {"bash"}, {"dash"}, {"busybox", "sh"}}

// roundTrip has a real shell read Quote(argv...) back.
func roundTrip(t *testing.T, shell, argv []string) {
	t.Helper()
	script := `printf '%s\0' ` + Quote(argv...)
	out, err := exec.Command(shell[0], append(shell[1:], "-c", script)...).Output()
	if err != nil {
		t.Fatalf("%v read %q: %v", shell, script, err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if diff := cmp.Diff(argv, got); diff != "" {
		t.Errorf("%v read %q (-want +got):\n%s", shell, script, diff)
	}
}

func eachShell(t *testing.T, argv []string) {
	t.Helper()
	for _, shell := range shells {
		if _, err := exec.LookPath(shell[0]); err == nil {
			roundTrip(t, shell, argv)
		}
	}
}

func TestQuoteIsReadBackByShells(t *testing.T) {
	for _, argv := range [][]string{
		{""},
		{"", "", "a"},
		{"a b", "it's", "''", `\`, `\'`, `"$HOME"`, "`id`", "$(id)", "*", "~", "~root", "#x", "!x", "-n", "--"},
		{"line\nbreak", "\n", "tab\t", "cr\r", "a\n\nb\n"},
		{"ünïcödé", "\xff\xfe\x80", "\x01\x1b[31m", "a=b", "=ls", "{a,b}", "%1", "a;b", "a&b", "a|b", "<x", ">x"},
		{strings.Repeat("x'", 20000)},
	} {
		eachShell(t, argv)
	}
}

func TestQuoteKeepsFirstWordACommand(t *testing.T) {
	for _, word := range []string{"if", "for", "while", "A=b", "time", "case"} {
		err := exec.Command("sh", "-c", Quote(word)).Run()
		exit, ok := err.(*exec.ExitError)
		if word == "time" && (err == nil || ok) {
			continue // there may be a program of this name
		}
		if !ok || exit.ExitCode() != 127 {
			t.Errorf("sh -c %s: %v; want status 127, no such program", Quote(word), err)
		}
	}
}

func TestQuoteLeavesPlainWordsReadable(t *testing.T) {
	if got, want := Quote("systemctl", "restart", "nginx.service", "/etc/x-y_z:1,2+3@4"), "systemctl restart nginx.service /etc/x-y_z:1,2+3@4"; got != want {
		t.Errorf("Quote = %s, want %s", got, want)
	}
}

func TestCheckRefusesWhatNoCommandCanBe(t *testing.T) {
	for _, argv := range [][]string{nil, {}, {""}, {"a\x00b"}, {"a", "\x00"}} {
		if err := (Cmd{Argv: argv}).Check(); err == nil {
			t.Errorf("Check(%q) = nil, want an error", argv)
		}
	}
	if err := (Cmd{Argv: []string{"a", ""}}).Check(); err != nil {
		t.Errorf("an empty argument was refused: %v", err)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add([]byte("a\x00b c\x00it's"))
	f.Add([]byte("\n\x00$x\x00`\x00\\'"))
	f.Fuzz(func(t *testing.T, words []byte) {
		if len(words) > 50000 {
			return
		}
		var argv []string
		for w := range bytes.SplitSeq(words, []byte{0}) {
			argv = append(argv, string(w))
		}
		roundTrip(t, []string{"sh"}, argv)
	})
}

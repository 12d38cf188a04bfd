package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const planted = "s3cr3t/päss+wörd' <&>"

func known(texts ...string) *Redactor {
	var r Redactor
	for _, t := range texts {
		r.Add(New(t))
	}
	return &r
}

// writings are what programs make of a secret on its way to a log.
func writings(t testing.TB, s string) map[string]string {
	t.Helper()
	js, err := json.Marshal(map[string]string{"k": s})
	if err != nil {
		t.Fatal(err)
	}
	w := map[string]string{
		"raw": s, "json": string(js), "go": fmt.Sprintf("%q", s),
		"query": url.QueryEscape(s), "path": url.PathEscape(s), "userinfo": url.UserPassword("u", s).String(),
		"base64": base64.StdEncoding.EncodeToString([]byte(s)), "raw base64": base64.RawStdEncoding.EncodeToString([]byte(s)),
		"url base64": base64.URLEncoding.EncodeToString([]byte(s)), "hex": hex.EncodeToString([]byte(s)),
		"shell": "'" + strings.ReplaceAll(s, "'", `'\''`) + "'",
	}
	for i := range 4 {
		req, err := http.NewRequest("GET", "http://h/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(strings.Repeat("u", i), s)
		w[fmt.Sprint("basic ", i)] = req.Header.Get("Authorization")
	}
	return w
}

func TestRedactEveryWritingAtEverySplit(t *testing.T) {
	r := known(planted)
	for name, text := range writings(t, planted) {
		if name == "go" || name == "userinfo" {
			continue // see TestRedactPlainSecretInEveryWriting
		}
		whole := "before " + text + " after\n"
		want := r.String(whole)
		if !strings.Contains(want, Mask) || !strings.HasPrefix(want, "before ") || !strings.HasSuffix(want, " after\n") {
			t.Errorf("%s: %q became %q", name, whole, want)
		}
		for i := range len(whole) {
			var b bytes.Buffer
			w := r.Writer(&b)
			for _, part := range []string{whole[:i], whole[i:]} {
				if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatalf("write: %d, %v", n, err)
				}
			}
			if err := w.Close(); err != nil || b.String() != want {
				t.Errorf("%s cut at %d: %q, %v; want %q", name, i, &b, err, want)
			}
		}
	}
}

func TestRedactPlainSecretInEveryWriting(t *testing.T) {
	const s = "Tr0ub4dor_and_3"
	r := known(s)
	for name, text := range writings(t, s) {
		if got := r.String(text); !strings.Contains(got, Mask) || strings.Contains(got, s) {
			t.Errorf("%s: %q became %q", name, text, got)
		}
	}
}

func TestRedactOverlappingSecrets(t *testing.T) {
	r := known("abcdef", "defghi", "cdef")
	for text, want := range map[string]string{
		"xabcdefghiy":   "x[secret]y",
		"abcdefabcdef.": "[secret].",
		"xcdefy abcde":  "x[secret]y abcde",
		"abcdeabcdef":   "abcde[secret]",
		"":              "",
	} {
		if got := r.String(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestRedactSeveralLines(t *testing.T) {
	key := "-----BEGIN KEY-----\nAAAAB3NzaC1yc2E\nQQQQQQQQQQ\n-----END KEY-----\n"
	r := known(key)
	for _, text := range []string{key, strings.ReplaceAll(key, "\n", "\r\n"), "10:14 QQQQQQQQQQ\n", "[host] AAAAB3NzaC1yc2E"} {
		got := r.String(text)
		for line := range strings.FieldsSeq("AAAAB3NzaC1yc2E QQQQQQQQQQ") {
			if strings.Contains(got, line) {
				t.Errorf("%q became %q", text, got)
			}
		}
	}
}

func TestRedactDoesNotHoldCompleteLines(t *testing.T) {
	var b bytes.Buffer
	w := known("hunter22").Writer(&b)
	for _, text := range []string{"progress 1\n", "h", "hunt", "er22 progress 2\n", "so hunter"} {
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := b.String(), "progress 1\nh[secret] progress 2\nso "; got != want {
		t.Errorf("out so far %q, want %q", got, want)
	}
}

func TestRedactSecretAddedMeanwhile(t *testing.T) {
	var r Redactor
	var b bytes.Buffer
	w := r.Writer(&b)
	write := func(s string) {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("free ")
	r.Add(New("first1"))
	write("first1 fir")
	r.Add(New("firmament"))
	write("mament")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "free [secret] [secret]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A word that everybody reads is no secret any more, and what a program reads
// again keeps words that may be names.
func TestRedactKeepsWordsAndNames(t *testing.T) {
	r := &Redactor{}
	r.Public("postgres.copy: {from: {user: postgres}}")
	for _, s := range []string{"postgres", "shop2024", "12345", "x7Kq!pw-93"} {
		r.Add(New(s))
	}
	const text = "postgres of shop2024 at 12345 with x7Kq!pw-93"
	if got, want := r.String(text), "postgres of [secret] at [secret] with [secret]"; got != want {
		t.Errorf("to read: %q, want %q", got, want)
	}
	if got, want := r.Structure(text), "postgres of shop2024 at 12345 with [secret]"; got != want {
		t.Errorf("to be read again: %q, want %q", got, want)
	}
	if got := new(Redactor).Structure(text); got != text {
		t.Errorf("without secrets: %q", got)
	}
}

func TestRedactIgnoresWhatIsTooShort(t *testing.T) {
	r := known("", "a", "abc")
	if got := r.String("abc a"); got != "abc a" {
		t.Errorf("got %q", got)
	}
}

// naive is what the Redactor must equal: every place that any form covers.
func naive(r *Redactor, text string) string {
	hide := make([]bool, len(text))
	for f := range r.text.forms {
		for i := 0; i+len(f) <= len(text); i++ {
			if text[i:i+len(f)] == f {
				for j := range len(f) {
					hide[i+j] = true
				}
			}
		}
	}
	var b strings.Builder
	for i := range len(text) {
		if !hide[i] {
			b.WriteByte(text[i])
		} else if i == 0 || !hide[i-1] {
			b.WriteString(Mask)
		}
	}
	return b.String()
}

func FuzzRedact(f *testing.F) {
	f.Add("abab", "baba", "xababababy", []byte{1, 3})
	f.Add("päss", "a\nbcde", "zpässpäs", []byte{2})
	f.Fuzz(func(t *testing.T, a, b, text string, cuts []byte) {
		if len(a)+len(b) > 200 || len(text) > 2000 {
			return
		}
		r := known(a, b)
		text += a + text + base64.StdEncoding.EncodeToString([]byte("u:"+b)) + b + a
		want := naive(r, text)
		var out bytes.Buffer
		w := r.Writer(&out)
		rest := text
		for _, c := range cuts {
			n := min(int(c), len(rest))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if _, err := w.Write([]byte(rest)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("secrets %q, %q\ntext %q\ngot  %q\nwant %q", a, b, text, &out, want)
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	r := known("Tr0ub4dor_and_3", "another-one-9", strings.Repeat("long key line\n", 200))
	text := []byte(strings.Repeat("Oct 11 12:00:00 host nginx[123]: GET /index.html 200 in 12 ms\n", 1000))
	w := r.Writer(discard{})
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := w.Write(text); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

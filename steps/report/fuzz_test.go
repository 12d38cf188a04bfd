package report

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"belay/steps/journal"
)

// FuzzReport takes any lines for events, also such as no journal would hold.
func FuzzReport(f *testing.F) {
	for _, tell := range stories {
		var lines [][]byte
		for _, e := range tell() {
			b, err := json.Marshal(e)
			if err != nil {
				f.Fatal(err)
			}
			lines = append(lines, b)
		}
		f.Add(bytes.Join(lines, []byte("\n")))
	}
	f.Add([]byte(`{"type":"step-failed","step":"x","err":"\u001b[2J\u009b1m\u202e|` + "```" + `<b>&#x3c;[a](http://b)"}`))
	f.Add([]byte(`{"type":"stage-entered","key":"cutover\"><script>"}` + "\n" + `{"type":"step-started","step":"x\" onclick=\"alert(1)","time":"2026-12-01T22:00:00Z","data":{"attempt":1}}` + "\n" +
		`{"type":"step-passed","step":"x\" onclick=\"alert(1)","time":"2027-12-01T22:00:00Z"}` + "\n" + `{"type":"losses","step":"x","data":{"of":[{"store":"<img src=x onerror=alert(1)>","count":1,"unit":"url(http://b)"}]}}`))
	f.Add([]byte(`{"time":"0000-01-01T00:00:00+23:59","type":"undo-failed","step":"x","data":{"step":"x","why":"w","time":"9999-12-31T23:59:59-23:59"}}`))
	p := thePlan(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var events []journal.Event
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			var e journal.Event
			_ = json.Unmarshal(line, &e) // what was read so far is an event as well
			events = append(events, e)
		}
		sound(t, Build(p, events, Options{Expected: &expected}))
		sound(t, Build(nil, events, Options{Verified: true}))
	})
}

// sound checks what holds for every report.
func sound(t *testing.T, r *Report) {
	t.Helper()
	js := mustJSON(t, r)
	var back Report
	if err := json.Unmarshal(js, &back); err != nil {
		t.Fatalf("the JSON does not read back: %v\n%s", err, js)
	}
	harmless(t, "json", string(js))
	md := string(r.Markdown())
	harmless(t, "markdown", md)
	markup(t, md)
	page, err := r.html(func(step string) string { return "log of " + step + " </pre><script>\x1b[2J" })
	if err != nil {
		t.Fatal(err)
	}
	harmless(t, "page", string(page))
	closed(t, string(page))
	alone(t, string(page))
	spans := []Span{r.Span}
	for _, s := range r.Stages {
		spans = append(spans, s.Span)
	}
	for _, s := range r.Steps {
		spans = append(spans, s.Span)
		for _, a := range s.Attempts {
			spans = append(spans, a.Span)
		}
		for _, u := range s.Undos {
			spans = append(spans, u.Span)
		}
	}
	for _, s := range spans {
		if s.Seconds < 0 || s.ClockBack < 0 || s.End.IsZero() && s.Seconds != 0 {
			t.Fatalf("a span of %+v", s)
		}
	}
}

// harmless: valid UTF-8, and nothing that a terminal obeys or hides.
func harmless(t *testing.T, what, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Fatalf("%s: not UTF-8: %q", what, s)
	}
	for _, r := range s {
		if r != '\n' && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029) {
			t.Fatalf("%s: %U in %q", what, r, s)
		}
	}
}

// tag is what a reader of HTML takes for one.
var tag = regexp.MustCompile(`<(/?)([a-zA-Z!][a-z0-9]*)[^>]*>`)

// closed: nothing but the page's own elements, and each is closed where it
// should be, so that no text has become markup.
func closed(t *testing.T, page string) {
	t.Helper()
	own := strings.Fields("html head title style body h1 h2 h3 p div b br dl dt dd code table tr th td i details summary pre span ul li meta")
	var open []string
	for _, m := range tag.FindAllStringSubmatch(page, -1) {
		name := m[2]
		switch {
		case name == "!doctype", name == "meta", name == "br":
		case !slices.Contains(own, name):
			t.Fatalf("a foreign element: %s", m[0])
		case m[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("%s closes %v", m[0], open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Fatalf("left open: %v", open)
	}
}

// What a tag may hold: no attribute that runs anything or fetches anything.
var (
	value     = regexp.MustCompile(`"[^"]*"`)
	attribute = regexp.MustCompile(`([^\s=<>]+)=`)
	styled    = regexp.MustCompile(`style="([^"]*)"`)
	harmlessS = regexp.MustCompile(`^((left|width):\d+(\.\d+)?%;?)+$`)
)

// alone: the page runs nothing and needs nothing else.
func alone(t *testing.T, page string) {
	t.Helper()
	own := strings.Fields("lang charset name content class title id style")
	for _, m := range tag.FindAllString(page, -1) {
		for _, a := range attribute.FindAllStringSubmatch(value.ReplaceAllString(m, `""`), -1) {
			if !slices.Contains(own, a[1]) {
				t.Fatalf("an attribute that is not the page's own: %s in %s", a[1], m)
			}
		}
		for _, s := range styled.FindAllStringSubmatch(m, -1) {
			if !harmlessS.MatchString(s[1]) {
				t.Fatalf("a style of %q", s[1])
			}
		}
	}
	style := page[strings.Index(page, "<style>"):strings.Index(page, "</style>")]
	for _, s := range []string{"url(", "@import", "expression("} {
		if strings.Contains(style, s) {
			t.Fatalf("the style has %s", s)
		}
	}
}

// markup reads the Markdown line by line: fences close, no HTML begins outside
// of them, and the rows of a table have as many cells as its head.
func markup(t *testing.T, md string) {
	t.Helper()
	fence, cells := "", 0
	for line := range strings.SplitSeq(md, "\n") {
		text := strings.TrimLeft(line, " ")
		run := text[:len(text)-len(strings.TrimLeft(text, "`"))]
		switch {
		case fence != "":
			if run != "" && len(run) >= len(fence) && strings.Trim(text, "` ") == "" {
				fence = ""
			}
			continue
		case len(run) >= 3:
			fence = run
			continue
		case strings.ContainsAny(text, "<>"):
			t.Fatalf("markup in %q", line)
		}
		bars := strings.Count(strings.NewReplacer(`\\`, "", `\|`, "").Replace(text), "|")
		if !strings.HasPrefix(text, "|") {
			bars = 0
		}
		if cells != 0 && bars != 0 && bars != cells {
			t.Fatalf("%d bars where %d belong in %q", bars, cells, line)
		}
		cells = bars
	}
	if fence != "" {
		t.Fatalf("a fence stays open:\n%s", md)
	}
}

// A journal may end anywhere: every beginning of every story has a report,
// and it agrees with the fold.
func TestEveryBeginning(t *testing.T) {
	p := thePlan(t)
	for name, tell := range stories {
		events := tell()
		for n := range len(events) + 1 {
			r := Build(p, events[:n], Options{})
			sound(t, r)
			st := journal.NewState()
			for _, e := range events[:n] {
				st.Apply(e)
			}
			if r.Outcome.Status != st.Status || r.owed() != len(st.Debts) {
				t.Errorf("%s, %d events: %s with %d debts; the fold says %s with %d", name, n, r.Outcome.Status, r.owed(), st.Status, len(st.Debts))
			}
			for _, s := range r.Steps {
				if s.Status != st.Step(s.ID).Status {
					t.Errorf("%s, %d events: step %s is %s; the fold says %s", name, n, s.ID, s.Status, st.Step(s.ID).Status)
				}
			}
			open := 0
			for _, q := range r.Questions {
				if q.Open {
					open++
				}
			}
			if open != len(st.Questions) {
				t.Errorf("%s, %d events: %d questions are open; the fold says %d", name, n, open, len(st.Questions))
			}
		}
	}
}

// Events in an order that no engine writes, with hostile times, make a report
// too, and it still agrees with the fold.
func TestAnyOrder(t *testing.T) {
	p := thePlan(t)
	var pool []journal.Event
	for _, name := range []string{"forward", "mended", "back", "crashed"} {
		pool = append(pool, stories[name]()...)
	}
	for seed := range uint64(150) {
		dice := rand.New(rand.NewPCG(seed, 1))
		var events []journal.Event
		for range 80 {
			e := pool[dice.IntN(len(pool))]
			if dice.IntN(4) == 0 {
				e.Time = []time.Time{{}, time.Unix(1<<40, 0), time.Unix(-1<<40, 0), e.Time.Add(-time.Hour)}[dice.IntN(4)]
			}
			events = append(events, e)
		}
		r := Build(p, events, Options{})
		sound(t, r)
		st := journal.NewState()
		for _, e := range events {
			st.Apply(e)
		}
		if r.Outcome.Status != st.Status || r.owed() != len(st.Debts) {
			t.Errorf("seed %d: %s with %d debts; the fold says %s with %d", seed, r.Outcome.Status, r.owed(), st.Status, len(st.Debts))
		}
	}
}

func TestClockGoesBack(t *testing.T) {
	at := time.Date(2026, 12, 1, 22, 0, 0, 0, time.UTC)
	var events []journal.Event
	for i, d := range []time.Duration{0, 10 * time.Second, -time.Hour, -time.Hour + 5*time.Second} {
		events = append(events, journal.Event{Seq: uint64(i + 1), Time: at.Add(d), Type: journal.Noted, Key: "n"})
	}
	r := Build(nil, events, Options{})
	if r.Span.Seconds != 15 || r.Span.ClockBack != 3610 {
		t.Errorf("the run took %v s, the clock went back %v s; it were 15 and 3610", r.Span.Seconds, r.Span.ClockBack)
	}
	has(t, string(r.Markdown()), "15s (clock went back)", "by 1h 00m before event 3, to 2026-12-01 21:00:00")
}

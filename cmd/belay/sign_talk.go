package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
	"belay/tui/widget"
)

// signTalk is `belay sign RUN` with a person: the list, then a question a line.
type signTalk struct {
	s     *run.Signing
	in    *bufio.Reader
	out   io.Writer
	first int // item that the page begins with
	name  string
}

// errNobody says that the input has come to its end.
var errNobody = errors.New("nobody answers any more; nothing was sent")

func (t *signTalk) talk() error {
	for {
		sl, err := t.s.Look()
		if err != nil {
			return err
		}
		page := t.show(sl)
		if sl.Gate == nil {
			fmt.Fprintf(t.out, "\nNothing waits for a signature now: the run is %s.\n", sl.Status)
			return nil
		}
		word, err := t.ask(t.menu(sl, page))
		if err != nil {
			return err
		}
		done, err := t.chosen(sl, page, word)
		if errors.Is(err, errNobody) || done {
			return err
		}
		if err != nil {
			fmt.Fprintf(t.out, "%s\n", oneLineOf(err))
		}
	}
}

// menu says what can be answered now.
func (t *signTalk) menu(sl *run.Slip, page widget.ListPage) string {
	if sl.Gate.Kind == journal.AskCutover {
		if sl.Second {
			return "c: cut over, n: no-go, r: look again, enter: leave"
		}
		return "n: no-go, r: look again, enter: leave"
	}
	more := ""
	if page.Of > 1 {
		more = "m: more items, "
	}
	return "A number signs that item, " + more + "g: go, n: no-go, r: look again, enter: leave"
}

// chosen does what was chosen; done when there is no more to say.
func (t *signTalk) chosen(sl *run.Slip, page widget.ListPage, word string) (done bool, err error) {
	cut := sl.Gate.Kind == journal.AskCutover
	switch {
	case word == "":
		fmt.Fprintln(t.out, "Nothing was sent.")
		return true, nil
	case word == "r":
		return false, nil
	case word == "m":
		if t.first = page.Last; t.first >= len(sl.Items) {
			t.first = 0
		}
		return false, nil
	case word == "n":
		return t.send(sl, journal.Answer{Choice: "no-go"}, "no-go: the run ends here, and can be resumed")
	case word == "g" && !cut:
		return t.send(sl, journal.Answer{Choice: "go"}, "go")
	case word == "c" && cut && sl.Second:
		return t.send(sl, journal.Answer{Choice: "go"}, "cut over")
	}
	n, err := strconv.Atoi(word)
	if err != nil || cut || n < 1 || page.First+n > page.Last {
		return false, fmt.Errorf("%q is none of these; nothing was sent", word)
	}
	it := sl.Items[page.First+n-1]
	if it.Machine {
		return false, fmt.Errorf("%q is filled in by belay itself; it cannot be signed", it.Text)
	}
	_, err = t.send(sl, journal.Answer{Choice: "sign", Item: it.ID}, "sign “"+it.Text+"”")
	return false, err
}

// send asks for what the answer needs, and sends it once the person says so.
func (t *signTalk) send(sl *run.Slip, a journal.Answer, what string) (bool, error) {
	o, _ := sl.Gate.Option(a.Choice)
	name, err := t.ask("Your name" + preset(t.name))
	if err != nil {
		return false, err
	}
	if name != "" {
		t.name = name
	}
	if t.name == "" {
		return false, errors.New("a signature has a name; nothing was sent")
	}
	if strings.Contains(o.Needs, "role") {
		if a.Role, err = t.ask("For the role (enter, if only one can be meant)"); err != nil {
			return false, err
		}
	}
	label := "Remark, if any"
	if strings.Contains(o.Needs, "reason") {
		label = "Reason"
	}
	if a.Reason, err = t.ask(label); err != nil {
		return false, err
	}
	want := "yes"
	if o.Type != "" {
		want = o.Type
	}
	text, err := t.ask(fmt.Sprintf("Type %s to %s as %s (%s)", want, what, t.name, sl.You.Login))
	if err != nil {
		return false, err
	}
	if text != want {
		return false, errors.New("nothing was sent")
	}
	if o.Type != "" {
		a.Text = text
	}
	return true, give(t.out, t.s, sl, a, signFlags{name: t.name, reason: a.Reason})
}

func preset(name string) string {
	if name == "" {
		return ""
	}
	return " [" + name + "]"
}

func (t *signTalk) ask(label string) (string, error) {
	fmt.Fprintf(t.out, "%s: ", label)
	line, err := t.in.ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(t.out)
		return "", errNobody
	}
	return strings.TrimSpace(widget.CleanLine(line)), nil
}

// show prints the slip, nine items of it at most.
func (t *signTalk) show(sl *run.Slip) widget.ListPage {
	w, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || w < 40 {
		w = 80
	}
	put := func(format string, args ...any) {
		for i, l := range widget.Wrap(widget.CleanLine(fmt.Sprintf(format, args...)), w-2) {
			fmt.Fprintln(t.out, strings.Repeat("  ", min(i, 1))+l)
		}
	}
	fmt.Fprintln(t.out)
	put("Run %s of plan %s%s, kept by %s. Plan %.12s.", sl.Run, sl.Plan, inEnvironment(sl), t.s.Keeper, sl.Hash)
	put("You came by the login %s%s.", sl.You.Login, fromWhere(sl.You))
	if sl.Gate != nil {
		put("%s %s", sl.Gate.Title, sl.Need)
		if sl.Gate.Kind == journal.AskCutover {
			for line := range strings.SplitSeq(sl.Gate.Text, "\n") {
				put("%s", line)
			}
			if sl.Alone != "" {
				put("◆ Not you: %s.", sl.Alone)
			}
		}
	}
	for _, seat := range sl.Seats {
		put("%s", seatLine(seat, sl.Now))
	}
	for _, d := range sl.Voided {
		put("✗ void: the go of %s, %s: %s", d.By.Who(), widget.Ago(sl.Now.Sub(d.Time)), d.Why)
	}
	for _, f := range sl.Findings {
		put("! %s: %s %s", f.Level, f.Host, f.Text)
	}
	fmt.Fprintln(t.out)
	lines, _, page := widget.Checklist(widget.Theme{Name: "plain"}, slipItems(sl), t.first, w, 1000)
	for _, l := range lines {
		fmt.Fprintln(t.out, strings.TrimRight(strings.ReplaceAll(l, "▌", " "), " "))
	}
	if page.Of > 1 {
		put("Items %d to %d of %d.", page.First+1, page.Last, len(sl.Items))
	}
	return page
}

func seatLine(seat plan.Seat, now time.Time) string {
	if seat.Go == nil {
		return "◆ missing: " + seat.Wants()
	}
	g := seat.Go
	text := fmt.Sprintf("✓ go by %s (%s), %s", g.By.Name, g.By.Login, widget.Ago(now.Sub(g.Time)))
	if seat.Role != "" {
		text = fmt.Sprintf("✓ %s: go by %s (%s), %s", seat.Role, g.By.Name, g.By.Login, widget.Ago(now.Sub(g.Time)))
	}
	if g.Reason != "" {
		text += ": " + g.Reason
	}
	return text
}

// slipItems are the checklist's items as widget.Checklist draws them.
func slipItems(sl *run.Slip) []widget.Item {
	var all []widget.Item
	for _, it := range sl.Items {
		now := widget.Item{Text: widget.CleanLine(it.Text), State: "passed"}
		switch {
		case it.Machine && it.Time.IsZero():
			now.State, now.Note = "pending", "belay fills this in by itself"
		case it.Machine:
			if !it.OK {
				now.State = "failed"
			}
			now.Note = widget.CleanLine(it.Evidence) + " · seen " + widget.Ago(sl.Now.Sub(it.Time))
		case len(it.Signed) == 0:
			now.State, now.Note = "waiting for you", "waits for a person to sign"
			if n := len(it.Voided); n > 0 {
				now.Note = "sign it anew: " + widget.CleanLine(it.Voided[n-1].Why)
			}
		default:
			a := it.Signed[len(it.Signed)-1]
			now.Note = widget.CleanLine(fmt.Sprintf("signed by %s (%s), %s %s", a.By.Name, a.By.Login, widget.Ago(sl.Now.Sub(a.Time)), a.Reason))
		}
		all = append(all, now)
	}
	return all
}

// awaited says what a run waits for.
func awaited(sl *run.Slip) string {
	if sl.Gate.Kind == journal.AskCutover {
		if sl.Second {
			return "a second person may cut over"
		}
		return "signed; it waits for whoever drives it to cut over"
	}
	var all []string
	for _, seat := range plan.Missing(sl.Seats) {
		all = append(all, plainWord(seat.Wants()))
	}
	text := "waits for " + strings.Join(all, ", ")
	if n := len(openItems(sl, "*")); n > 0 {
		text += fmt.Sprintf("; %d items to sign", n)
	}
	return text
}

func inEnvironment(sl *run.Slip) string {
	what := ""
	if sl.Rehearsal {
		what = " REHEARSAL"
	}
	if sl.Environment != "" {
		what += " " + strings.ToUpper(plainWord(sl.Environment))
	}
	if what == "" {
		return ""
	}
	return " (" + strings.TrimSpace(what) + ")"
}

func fromWhere(a journal.Author) string {
	text := ""
	if a.From != "" {
		text = ", from " + a.From
	}
	if a.Key != "" {
		text += ", by the key " + a.Key
	}
	return text
}

func plainWord(s string) string { return widget.CleanLine(s) }

func oneLineOf(err error) string { return widget.CleanLine(err.Error()) }

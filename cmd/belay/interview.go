package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"belay/checks/inspect"
	"belay/steps/draft"
)

// interview asks, line by line, what a draft needs to know. It works on any
// terminal, and nothing is written before its end.
type interview struct {
	in   io.Reader
	out  io.Writer
	look func(context.Context, initFlags) (old, now *inspect.Host, err error)

	lines *bufio.Scanner
}

var errNoAnswer = errors.New("nobody answered; nothing was written")

func (iv *interview) run(ctx context.Context, o initFlags) error {
	iv.lines = bufio.NewScanner(iv.in)
	iv.say("belay drafts a plan from what your servers show. It only looks: nothing is changed on them,")
	iv.say("and nothing is written here before the end. Ctrl-C leaves.")
	old, now, o, err := iv.hosts(ctx, o)
	if err != nil {
		return err
	}
	if o.move, err = iv.move(old, now != nil); err != nil {
		return err
	}
	if o.freeze, err = iv.freeze(); err != nil {
		return err
	}
	if now != nil {
		if o.clients, err = iv.clients(); err != nil {
			return err
		}
	}
	return o.write(iv.out, old, now)
}

func (iv *interview) say(format string, a ...any) { fmt.Fprintf(iv.out, format+"\n", a...) }

// ask returns what was typed, without spaces around it.
func (iv *interview) ask(question string, more ...string) (string, error) {
	iv.say("\n%s", question)
	for _, line := range more {
		iv.say("  %s", line)
	}
	fmt.Fprint(iv.out, "> ")
	if !iv.lines.Scan() {
		iv.say("")
		return "", errors.Join(iv.lines.Err(), errNoAnswer)
	}
	return strings.TrimSpace(iv.lines.Text()), nil
}

// hosts asks for the servers until both were looked at.
func (iv *interview) hosts(ctx context.Context, o initFlags) (old, now *inspect.Host, _ initFlags, err error) {
	for {
		if o.from, err = iv.ask("Which server is it on now?", "A name that ~/.ssh/config knows, or USER@HOST."); err != nil {
			return nil, nil, o, err
		}
		if o.from == "" {
			continue
		}
		if o.to, err = iv.ask("Where shall it go?", "Another server; or just Enter: it stays there, and is upgraded."); err != nil {
			return nil, nil, o, err
		}
		if o.to == o.from {
			o.to = ""
		}
		iv.say("\nLooking, a minute at most …")
		if old, now, err = iv.look(ctx, o); err == nil {
			iv.notRoot(old, now)
			return old, now, o, nil
		}
		if ctx.Err() != nil {
			return nil, nil, o, context.Cause(ctx)
		}
		iv.say("%v", err)
	}
}

func (iv *interview) notRoot(hosts ...*inspect.Host) {
	for _, h := range hosts {
		if h != nil && !h.Root {
			iv.say("On %s we are %s, not root: much is hidden. If sudo asks for no password there: belay init --sudo", h.Name, h.User)
		}
	}
}

// move lets people choose what moves, by numbers.
func (iv *interview) move(old *inspect.Host, away bool) ([]string, error) {
	items := draft.Items(old)
	if len(items) == 0 {
		iv.say("\nNothing that belay could move was found on %s; the draft will be empty. What runs there: belay inspect %s", old.Name, old.Name)
		return []string{}, nil
	}
	question := "What shall be upgraded?"
	if away {
		question = "What shall move?"
	}
	var lines []string
	for i, it := range items {
		mark := " "
		if it.Advised {
			mark = "*"
		}
		lines = append(lines, fmt.Sprintf("%2d %s %s", i+1, mark, it.Says))
	}
	lines = append(lines, "Numbers, such as 1 3; or just Enter: those with a *.")
	for {
		text, err := iv.ask(question, lines...)
		if err != nil {
			return nil, err
		}
		keys, err := chosen(items, text)
		if err == nil {
			return keys, nil
		}
		iv.say("%v", err)
	}
}

func chosen(items []draft.Item, text string) ([]string, error) {
	keys := []string{}
	if text == "" {
		for _, it := range items {
			if it.Advised {
				keys = append(keys, it.Key())
			}
		}
		return keys, nil
	}
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.Atoi(f)
		if err != nil || n < 1 || n > len(items) {
			return nil, fmt.Errorf("%q is no number from 1 to %d", f, len(items))
		}
		keys = append(keys, items[n-1].Key())
	}
	return keys, nil
}

func (iv *interview) freeze() (time.Duration, error) {
	for {
		text, err := iv.ask("How long can people be without it?", "Such as 5m or 1h; or just Enter, when nobody knows.")
		if err != nil || text == "" {
			return 0, err
		}
		if d, err := time.ParseDuration(text); err == nil && d > 0 {
			return d, nil
		}
		iv.say("%q is no length of time.", text)
	}
}

func (iv *interview) clients() (string, error) {
	names := []string{"dns", "proxy", "none"}
	for {
		text, err := iv.ask("How will clients find the new server?",
			"1  by a name that leads there: somebody changes DNS or a load balancer",
			"2  by the old address: the old server hands connections on",
			"3  that is not of this plan",
			"A number; or just Enter: 1.")
		if err != nil {
			return "", err
		}
		if text == "" {
			text = "1"
		}
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(names) {
			return names[n-1], nil
		}
		iv.say("%q is no number from 1 to 3.", text)
	}
}

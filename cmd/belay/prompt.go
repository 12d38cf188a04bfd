package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"belay/steps/run"
)

// promptOn asks p on a terminal, without echo when it is hidden.
func promptOn(tty *os.File, p run.Prompt) (text string, ok bool) {
	fmt.Fprintf(tty, "\n%s\n", p.Title)
	if p.Text != "" {
		fmt.Fprintln(tty, p.Text)
	}
	if p.Type != "" {
		fmt.Fprintf(tty, "Type %s to agree, anything else to refuse: ", p.Type)
	} else {
		fmt.Fprint(tty, "> ")
	}
	if p.Hidden {
		b, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(tty)
		return string(b), err == nil && len(b) > 0
	}
	line, err := bufio.NewReader(tty).ReadString('\n')
	line = strings.TrimSpace(line)
	return line, err == nil && (p.Type == "" || line == p.Type)
}

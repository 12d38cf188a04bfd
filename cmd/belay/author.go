package main

import (
	"os"
	"os/user"
	"strings"

	"belay/steps/journal"
)

// author is who runs this belay, as the operating system knows them. The
// origin is what sshd told the login shell; it is a record, not a proof.
func author() journal.Author {
	a := journal.Author{Login: os.Getenv("USER")}
	if u, err := user.Current(); err == nil {
		a.Login = u.Username
	}
	if was := os.Getenv("SUDO_USER"); was != "" && was != a.Login {
		a.Login = was + " as " + a.Login
	}
	for _, env := range []string{"SSH_CONNECTION", "SSH_CLIENT"} {
		if from, _, _ := strings.Cut(os.Getenv(env), " "); from != "" {
			a.From = from
			break
		}
	}
	return a
}

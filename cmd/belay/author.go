package main

import (
	"crypto/sha256"
	"encoding/base64"
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
	a.Key = loginKey(os.Getenv("SSH_USER_AUTH"))
	return a
}

// loginKey is the fingerprint of the SSH key that this login came by, as sshd
// tells it where it has ExposeAuthInfo (sshd_config(5)); "" where it does not.
func loginKey(path string) string {
	b, err := os.ReadFile(path)
	if path == "" || err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "publickey" {
			continue
		}
		if key, err := base64.StdEncoding.DecodeString(words[2]); err == nil {
			sum := sha256.Sum256(key)
			return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
		}
	}
	return ""
}

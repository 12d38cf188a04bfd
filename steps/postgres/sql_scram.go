package postgres

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"belay/remote/secret"
)

const scramRounds = 4096 // scram_iterations' default (PostgreSQL 16)

// Verifier is what a server keeps of a password: given in place of it to ALTER
// ROLE … PASSWORD, the password itself appears in no statement and no log of
// the server (PostgreSQL manual, 55.3.1; RFC 5803).
//
// Only printable ASCII is taken: what is made of other characters before
// hashing (SASLprep) differs from client to client.
func Verifier(password secret.Value) (string, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return verifier(password, salt, scramRounds)
}

func verifier(password secret.Value, salt []byte, rounds int) (string, error) {
	text := password.Reveal()
	if text == "" {
		return "", fmt.Errorf("it is empty")
	}
	for _, r := range text {
		if r < ' ' || r > '~' {
			return "", fmt.Errorf("it holds a character other than printable ASCII, which clients prepare in different ways; choose another one")
		}
	}
	salted, err := pbkdf2.Key(sha256.New, text, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(text string) []byte {
		m := hmac.New(sha256.New, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, b64(salt), b64(stored[:]), b64(mac("Server Key"))), nil
}

// Verifies tells whether a verifier, as pg_authid has it, is of this password.
// known is false for one that is not SCRAM.
func Verifies(stored string, password secret.Value) (same, known bool) {
	rest, ok := strings.CutPrefix(stored, "SCRAM-SHA-256$")
	head, _, found := strings.Cut(rest, "$")
	rounds, salt64, colon := strings.Cut(head, ":")
	n, err := strconv.Atoi(rounds)
	salt, serr := base64.StdEncoding.DecodeString(salt64)
	if !ok || !found || !colon || err != nil || serr != nil || n < 1 || n > 10_000_000 {
		return false, false
	}
	mine, err := verifier(password, salt, n)
	return err == nil && hmac.Equal([]byte(mine), []byte(stored)), true
}

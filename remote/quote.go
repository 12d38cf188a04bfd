package remote

import (
	"errors"
	"fmt"
	"strings"
)

// shellWords are plain words that a POSIX shell (or bash, or zsh) reads as
// grammar when they stand first. Quoted, they are names again.
var shellWords = map[string]bool{
	"if": true, "then": true, "else": true, "elif": true, "fi": true, "do": true, "done": true,
	"case": true, "esac": true, "while": true, "until": true, "for": true, "in": true,
	"function": true, "select": true, "time": true, "coproc": true, "repeat": true, "foreach": true,
	"end": true, "nocorrect": true, "noglob": true,
}

// Quote writes argv so that a POSIX shell reads back exactly these words,
// whatever bytes they hold. Plain words stay as they are, so that people can
// read the result. A NUL byte cannot be an argument anywhere; it is passed on
// as it is, and every Runner refuses it (see Cmd.Check).
func Quote(argv ...string) string {
	var b strings.Builder
	for i, word := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		if plain(word) {
			b.WriteString(word)
			continue
		}
		b.WriteByte('\'')
		b.WriteString(strings.ReplaceAll(word, "'", `'\''`))
		b.WriteByte('\'')
	}
	return b.String()
}

// plain tells whether every shell leaves word alone. '=' is not plain: A=b in
// first place would be an assignment, and zsh expands =b.
func plain(word string) bool {
	if word == "" || shellWords[word] {
		return false
	}
	for _, c := range []byte(word) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("_-./:,+@", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Check says why c cannot be run anywhere: no words, or a NUL byte in one of
// them. Every Runner calls it before anything else.
func (c Cmd) Check() error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return errors.New("command is empty")
	}
	for i, word := range c.Argv {
		if strings.IndexByte(word, 0) >= 0 {
			return fmt.Errorf("command %s: word %d holds a NUL byte, which no command can be given", plainName(c.Argv[0]), i)
		}
	}
	return nil
}

func plainName(s string) string { return fmt.Sprintf("%q", strings.ReplaceAll(s, "\x00", "")) }

package job

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"belay/remote/secret"
)

//go:embed protocol.sh
var source string

// protocol is what travels: source without comment lines and indentation.
var protocol = slim(source)

// bootstrap reads the protocol from stdin byte by byte, because what follows
// it there belongs to others, and refuses one that was cut.
const bootstrap = `RB=$(dd ibs=1 obs=65536 count="$1" 2>/dev/null) || { echo 'dd does not work there' >&2; exit 69; }; [ "${#RB}" = "$1" ] || exit 75; shift; eval "$RB"`

// slim takes whole-line comments and indentation off a shell script. The
// protocol has no here-documents and no strings over several lines.
func slim(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Spec is one command to run as a job.
type Spec struct {
	ID     string            // 1–120 of [A-Za-z0-9._-], beginning with a letter or digit
	Script string            // POSIX sh; 1 MiB at most
	Dir    string            // where it runs; empty: where the login begins
	Env    map[string]string // stored on the host: nothing secret
	Stdin  secret.Value      // fed to the script; any bytes, 1 MiB at most; never stored
	Nice   bool              // yields processor and disk to whatever else runs there
}

const most = 1 << 20

var (
	idForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$`)
	envForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func checkID(id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("job id %q: want 1 to 120 of A-Z a-z 0-9 . _ - beginning with a letter or digit", id)
	}
	return nil
}

func (s Spec) check() error {
	if err := checkID(s.ID); err != nil {
		return err
	}
	if strings.TrimSpace(s.Script) == "" {
		return fmt.Errorf("job %q: its script is empty", s.ID)
	}
	if n := len(s.command()); n > most {
		return fmt.Errorf("job %q: its script and environment are %d bytes, more than 1 MiB", s.ID, n)
	}
	if n := len(s.Stdin.Reveal()); n > most {
		return fmt.Errorf("job %q: its input is %d bytes, more than 1 MiB", s.ID, n)
	}
	for name := range s.Env {
		if !envForm.MatchString(name) {
			return fmt.Errorf("job %q: %q cannot name an environment variable", s.ID, name)
		}
	}
	if strings.ContainsRune(s.command(), 0) {
		return fmt.Errorf("job %q: a zero byte cannot stand in a script", s.ID)
	}
	return nil
}

// command is what is stored as cmd. All that precedes the script stands on its
// first line, so that the line numbers in the shell's complaints are right.
func (s Spec) command() string {
	var b strings.Builder
	if s.Nice {
		b.WriteString("renice -n 10 -p $$ >/dev/null 2>&1; ionice -c 3 -p $$ >/dev/null 2>&1; ")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		fmt.Fprintf(&b, "export %s=%s; ", name, quote(s.Env[name]))
	}
	if s.Dir != "" {
		fmt.Fprintf(&b, "cd -- %s || exit 125; ", quote(s.Dir))
	}
	b.WriteString(s.Script)
	return b.String()
}

func (s Spec) sum() string {
	h := sha256.Sum256([]byte(s.command()))
	return hex.EncodeToString(h[:])
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// encode writes b as printf %b of any shell turns back into b: shell variables
// hold no zero bytes, lose trailing newlines, and count characters, not bytes.
func encode(b string) string {
	var out strings.Builder
	for _, c := range []byte(b) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == ' ' || c >= '+' && c <= '9' {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, `\0%03o`, c)
		}
	}
	return out.String()
}

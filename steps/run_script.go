package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"belay/remote"
	"belay/remote/secret"
)

// runScript is a script with where and with what it runs.
type runScript struct {
	Script  string
	Dir     string
	Env     map[string]string
	Secrets []string
}

const scriptMost = 64 << 10 // a Linux argument holds 128 KiB, and quoting may double it

func validScript(field, s string) error {
	if strings.ContainsRune(s, 0) {
		return Field(field, "a zero byte cannot stand in a script")
	}
	if len(s) > scriptMost {
		return Field(field, "the script is %d bytes long, more than 64 KiB: put it into a file with files.copy and run that", len(s))
	}
	return nil
}

var runName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// runReserved cannot be unset or mean something to the shell itself.
var runReserved = regexp.MustCompile(`^(_|belay_.*|BASH.*|E?UID|PPID|PATH|IFS|HOME|PWD|OLDPWD|ENV|SHELLOPTS|LINENO|OPT(IND|ARG)|PS[1-4]|LD_.*)$`)

func validNames(env map[string]string, secrets []string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !runName.MatchString(name) || strings.ContainsRune(env[name], 0) {
			errs = append(errs, Field("env."+name, "this cannot be an environment variable"))
		}
	}
	for i, name := range secrets {
		switch _, both := env[name]; {
		case !runName.MatchString(name) || runReserved.MatchString(name):
			errs = append(errs, Field(fmt.Sprintf("secrets.%d", i), "%q cannot name a shell variable: the script would find the secret under its name", name))
		case both:
			errs = append(errs, Field(fmt.Sprintf("secrets.%d", i), "%q stands under env too, and would reach every program that the script starts", name))
		case slices.Contains(secrets[:i], name):
			errs = append(errs, Field(fmt.Sprintf("secrets.%d", i), "%q stands here twice", name))
		}
	}
	return errors.Join(errs...)
}

// prelude reads the secrets from stdin into variables that are not exported,
// with nothing but the shell's own read, and leaves the script no stdin. It is
// one line, so that the shell counts the script's lines nearly right.
func (s runScript) prelude() string {
	if len(s.Secrets) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`belay_nl=$(printf '\nx'); belay_nl=${belay_nl%x}; `)
	for _, name := range s.Secrets {
		// unset takes away an export that the login made
		fmt.Fprintf(&b, `unset %[1]s; IFS= read -r belay_n && IFS= read -r %[1]s || exit 125; `+
			`while [ "$belay_n" -gt 1 ]; do IFS= read -r belay_l || exit 125; %[1]s=$%[1]s$belay_nl$belay_l; belay_n=$((belay_n - 1)); done; `, name)
	}
	b.WriteString("unset belay_nl belay_n belay_l; exec </dev/null; ")
	return b.String()
}

// stdin is what prelude reads: of each secret the number of its lines, and
// the lines.
func (s runScript) stdin(ctx context.Context, e Env) (secret.Value, error) {
	var b strings.Builder
	for _, name := range s.Secrets {
		v, err := e.Secret(ctx, name)
		if err != nil {
			return secret.Value{}, err // it names the secret
		}
		text := v.Reveal()
		if strings.ContainsRune(text, 0) {
			return secret.Value{}, fmt.Errorf("secret %q: it holds a zero byte, which no shell variable can", name)
		}
		fmt.Fprintf(&b, "%d\n%s\n", 1+strings.Count(text, "\n"), text)
	}
	return secret.New(b.String()), nil
}

// command runs the script on the open connection.
func (s runScript) command(ctx context.Context, e Env) (remote.Cmd, error) {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		fmt.Fprintf(&b, "export %s; ", name+"="+quoted(s.Env[name]))
	}
	if s.Dir != "" {
		fmt.Fprintf(&b, "cd -- %s || exit 125; ", quoted(s.Dir))
	}
	c := remote.Sh(b.String() + s.prelude() + s.Script)
	c.Stdout, c.Stderr = e.Log, e.Log
	if len(s.Secrets) > 0 {
		in, err := s.stdin(ctx, e)
		if err != nil {
			return c, err
		}
		c.Stdin = strings.NewReader(in.Reveal())
	}
	return c, nil
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// look runs a script that promises to change nothing.
func (s runScript) look(ctx context.Context, e Env, out *strings.Builder) error {
	c, err := s.command(ctx, e)
	if err != nil {
		return err
	}
	c.Pure = true
	if out == nil {
		return e.Host.Run(ctx, c)
	}
	c.Stdout = nil
	b, err := remote.Output(ctx, e.Host, c)
	out.Write(b)
	return err
}

// shown is the script as the dry run shows it.
func (s runScript) shown() string {
	var b strings.Builder
	for _, name := range s.Secrets {
		fmt.Fprintf(&b, "# $%s holds the secret of that name\n", name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		fmt.Fprintf(&b, "export %s=%s\n", name, quoted(s.Env[name]))
	}
	if s.Dir != "" {
		fmt.Fprintf(&b, "cd %s\n", remote.Quote(s.Dir))
	}
	b.WriteString(strings.TrimSpace(s.Script))
	return b.String()
}

// title is the script's first line that says something.
func (s runScript) title() string {
	for line := range strings.Lines(s.Script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && line != "set -e" && line != "set -eu" {
			if strings.TrimSpace(s.Script) != line {
				line += " …"
			}
			return line
		}
	}
	return "a script"
}

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"belay/remote"
)

// Compose is the Compose of one host.
type Compose struct {
	Argv    []string // docker compose, or docker-compose
	Version string   // "2.29.7"
	V1      bool     // 1.x: no --wait, no --pull with up, no config as JSON
}

// ErrNoCompose says that the host has neither form of Compose.
var ErrNoCompose = errors.New("neither docker compose (v2) nor docker-compose (v1) is installed")

// Detect finds the host's Compose: v2 where there is one, else v1.
func Detect(ctx context.Context, r remote.Runner) (Compose, error) {
	const script = `if v=$(docker compose version --short 2>/dev/null); then echo "v2 $v"
elif v=$(docker-compose version --short 2>/dev/null); then echo "v1 $v"
else echo none; fi`
	c := remote.Sh(script)
	c.Pure = true
	out, err := remote.Output(ctx, r, c)
	if err != nil {
		return Compose{}, fmt.Errorf("find Compose: %w", err)
	}
	return parseVersion(string(out))
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+`)

func parseVersion(out string) (Compose, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(out), " ")
	version := versionNumber.FindString(rest)
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	switch {
	case kind == "none":
		return Compose{}, ErrNoCompose
	case kind == "v2": // one built without a release says "dev"
		return Compose{Argv: []string{"docker", "compose"}, Version: strings.TrimPrefix(rest, "v")}, nil
	case err != nil:
		return Compose{}, fmt.Errorf("version of Compose: unexpected answer %.100q", out)
	}
	// A later Compose may also be installed under the old name.
	return Compose{Argv: []string{"docker-compose"}, Version: version, V1: n < 2}, nil
}

// Project says which Compose project is meant, as the command line takes it.
type Project struct {
	Dir      string   // where the files are; commands run there
	Files    []string // empty: what Compose finds in Dir
	Name     string   // empty: what Compose makes of Dir
	Profiles []string
	EnvFile  string
}

// Cmd is a Compose command for the project, run in its directory.
func (c Compose) Cmd(p Project, args ...string) remote.Cmd {
	words := append([]string{}, c.Argv...)
	if p.Name != "" {
		words = append(words, "-p", p.Name)
	}
	for _, f := range p.Files {
		words = append(words, "-f", f)
	}
	for _, f := range p.Profiles {
		words = append(words, "--profile", f)
	}
	if p.EnvFile != "" {
		words = append(words, "--env-file", p.EnvFile)
	}
	words = append(words, args...)
	return remote.Sh(`cd "$1" && shift && exec "$@" </dev/null`, append([]string{p.Dir}, words...)...)
}

// noDir is how Resolve's script says that the directory is not there.
const noDir = 44

// ErrNoDir says that a project's directory is not there (yet).
var ErrNoDir = errors.New("the directory is not there")

// Resolve returns the project with its name as this Compose would choose it,
// and the services that its files and profiles name.
func (c Compose) Resolve(ctx context.Context, r remote.Runner, p Project) (Project, []string, error) {
	exists := remote.Sh(`[ -d "$1" ] || exit 44`, p.Dir)
	exists.Pure = true
	err := r.Run(ctx, exists)
	if exit, ok := errors.AsType[*remote.ExitError](err); ok && exit.Status == noDir {
		return p, nil, fmt.Errorf("%s: %w", p.Dir, ErrNoDir)
	}
	if err != nil {
		return p, nil, fmt.Errorf("%s: %w", p.Dir, err)
	}
	cmd := c.Cmd(p, "config", "--services")
	cmd.Pure = true
	out, err := remote.Output(ctx, r, cmd)
	if err != nil {
		return p, nil, fmt.Errorf("compose files in %s: %w", p.Dir, err)
	}
	services := strings.Fields(string(out))
	if len(services) == 0 {
		return p, nil, fmt.Errorf("compose files in %s name no service (for these profiles)", p.Dir)
	}
	if p.Name == "" {
		p.Name, err = c.name(ctx, r, p)
	}
	return p, services, err
}

// name asks v2, and follows the rules of v1: COMPOSE_PROJECT_NAME from the
// environment or .env, else the directory's name in lower case without
// anything but letters and digits (compose 1.29.2, cli/command.py,
// get_project_name).
func (c Compose) name(ctx context.Context, r remote.Runner, p Project) (string, error) {
	if !c.V1 {
		cmd := c.Cmd(p, "config", "--format", "json")
		cmd.Pure = true
		out, err := remote.Output(ctx, r, cmd)
		if err != nil {
			return "", fmt.Errorf("compose files in %s: %w", p.Dir, err)
		}
		var v struct{ Name string }
		if err := json.Unmarshal(out, &v); err != nil {
			return "", fmt.Errorf("compose files in %s: configuration as JSON: %w", p.Dir, err)
		}
		if v.Name != "" {
			return v.Name, nil
		}
	}
	const script = `cd "$1" || exit 1
n=${COMPOSE_PROJECT_NAME-}
f=${2:-.env}
[ -n "$n" ] || [ ! -f "$f" ] || n=$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$f" | tail -n 1)
[ -n "$n" ] || { n=$(pwd); n=${n##*/}; }
printf %s "$n"`
	cmd := remote.Sh(script, p.Dir, p.EnvFile)
	cmd.Pure = true
	out, err := remote.Output(ctx, r, cmd)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.Dir, err)
	}
	return c.normal(strings.Trim(strings.TrimSpace(string(out)), `"'`)), nil
}

// normal is a project name as Compose makes it of any text.
func (c Compose) normal(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return -1
	}, strings.ToLower(s))
	if !c.V1 {
		s = strings.TrimLeft(s, "-_")
	}
	if s == "" {
		return "default"
	}
	return s
}

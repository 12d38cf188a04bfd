package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

// composeProject are the parameters that both kinds have.
type composeProject struct {
	Dir      string   `yaml:"dir" scalar:"" required:"" doc:"absolute path of the directory with the compose file"`
	File     []string `yaml:"file" doc:"compose files, seen from dir; left out, those that Compose finds"`
	Project  string   `yaml:"project" doc:"name of the project; left out, what Compose makes of the files and the directory"`
	Profiles []string `yaml:"profiles" doc:"profiles to enable"`
	EnvFile  string   `yaml:"env_file" doc:"environment file for the compose file's variables, seen from dir; left out, .env"`
}

var (
	composeName    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	composeService = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

func (p composeProject) validate() []error {
	errs := []error{fileCheckPath("dir", p.Dir)}
	if p.Project != "" && !composeName.MatchString(p.Project) {
		errs = append(errs, Field("project", "%q is not a project name: lower case letters, digits, - and _", p.Project))
	}
	for i, f := range p.File {
		if f == "" || f == "-" || strings.ContainsAny(f, "\n\x00") {
			errs = append(errs, Field(fmt.Sprintf("file.%d", i), "%q is not a file", f))
		}
	}
	return append(errs, composeCheckServices("profiles", p.Profiles))
}

func composeCheckServices(field string, names []string) error {
	var errs []error
	for i, n := range names {
		if !composeService.MatchString(n) {
			errs = append(errs, Field(fmt.Sprintf("%s.%d", field, i), "%q cannot be the name of one", n))
		}
	}
	return errors.Join(errs...)
}

// needs asks for an engine and for either form of Compose.
func (p composeProject) needs(on string) []checks.Check {
	return []checks.Check{
		&checks.ToolCheck{On: fileOn(on), Name: "docker"},
		&checks.ToolCheck{On: fileOn(on), Any: []string{"docker compose", "docker-compose"}},
	}
}

// composeView is what a host knows of the project.
type composeView struct {
	compose    docker.Compose
	project    docker.Project
	services   []string // of the files
	containers []docker.Container
}

func (p composeProject) look(ctx context.Context, e Env) (v composeView, err error) {
	if v.compose, err = docker.Detect(ctx, e.Host); err != nil {
		return v, err
	}
	v.project = docker.Project{Dir: path.Clean(p.Dir), Files: p.File, Name: p.Project, Profiles: p.Profiles, EnvFile: p.EnvFile}
	if v.project, v.services, err = v.compose.Resolve(ctx, e.Host, v.project); err != nil {
		return v, err
	}
	v.containers, err = docker.Containers(ctx, e.Host, v.project.Name)
	return v, err
}

// of returns the containers of one service.
func (v composeView) of(service string) []docker.Container {
	var all []docker.Container
	for _, c := range v.containers {
		if c.Service == service {
			all = append(all, c)
		}
	}
	return all
}

// composeRun runs a Compose command; what it says goes to the log.
func composeRun(ctx context.Context, e Env, v composeView, args ...string) error {
	cmd := v.compose.Cmd(v.project, args...)
	cmd.Stdout, cmd.Stderr = e.Log, e.Log
	fmt.Fprintf(e.Log, "$ cd %s && %s\n", remote.Quote(v.project.Dir), remote.Quote(cmd.Argv[5:]...))
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("project %s: %s: %w", v.project.Name, args[0], err)
	}
	return nil
}

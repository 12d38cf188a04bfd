package checks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func init() {
	addFact(fact{name: "docker", limit: 2 << 20, parse: parseDocker, script: `
has docker || { note program "docker is not installed"; return; }
lim 5 docker ps -a --no-trunc --format '{{json .}}' 2>&1
r=$?
[ $r -eq 0 ] && return
[ $r -lt 128 ] && printf 'failed\n' || miss "docker did not answer in 5 s"`})
}

// psLine is a line of docker ps --format '{{json .}}'; Engine before 20.10
// gives no State.
type psLine struct{ ID, Names, Image, State, Status, Ports, Labels string }

// parseDocker expects one JSON object a line. Other lines are what docker said
// instead, and "failed" tells that this matters.
func parseDocker(section []byte, f *Facts) error {
	said := ""
	projects := map[string]*ComposeProject{}
	for line := range lines(section) {
		if line[0] != '{' {
			if line == "failed" {
				return fmt.Errorf("docker ps: %s", said)
			}
			if said == "" {
				said = OneLine(line, 160)
			}
			continue
		}
		var p psLine
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			return fmt.Errorf("docker ps printed something else than JSON: %s", OneLine(line, 60))
		}
		c, dir := p.container()
		f.Containers = append(f.Containers, c)
		if c.Project != "" {
			countProject(projects, c, dir)
		}
	}
	for _, p := range projects {
		f.Projects = append(f.Projects, *p)
	}
	slices.SortFunc(f.Projects, func(a, b ComposeProject) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func countProject(projects map[string]*ComposeProject, c Container, dir string) {
	p := projects[c.Project]
	if p == nil {
		p = &ComposeProject{Name: c.Project, Dir: dir}
		projects[c.Project] = p
	}
	p.Total++
	if c.State == "running" {
		p.Running++
	}
}

func (p psLine) container() (c Container, projectDir string) {
	// Several names: links of old times. The plain one has no slash.
	name := p.Names
	for n := range strings.SplitSeq(p.Names, ",") {
		if !strings.Contains(n, "/") {
			name = n
		}
	}
	c = Container{ID: p.ID, Name: name, Image: p.Image, State: p.State, Status: p.Status, Ports: p.Ports}
	if c.State == "" {
		c.State = stateOf(p.Status)
	}
	for _, health := range []string{"unhealthy", "healthy", "health: starting"} {
		if strings.Contains(p.Status, "("+health+")") {
			c.Health = strings.TrimPrefix(health, "health: ")
		}
	}
	// Labels are one text, a=b,c=d, without quoting; a value with a comma is cut.
	for label := range strings.SplitSeq(p.Labels, ",") {
		name, value, _ := strings.Cut(label, "=")
		switch name {
		case "com.docker.compose.project":
			c.Project = value
		case "com.docker.compose.service":
			c.Service = value
		case "com.docker.compose.project.working_dir":
			projectDir = value
		}
	}
	return c, projectDir
}

// stateOf reads the state from "Up 2 hours (Paused)", "Exited (0) 3 days ago",
// "Created", "Restarting (1) …", "Removal In Progress", "Dead".
func stateOf(status string) string {
	switch {
	case strings.HasSuffix(status, "(Paused)"):
		return "paused"
	case strings.HasPrefix(status, "Up"):
		return "running"
	case strings.HasPrefix(status, "Removal"):
		return "removing"
	}
	return strings.ToLower(firstWord(status))
}

package checks

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// link joins what the single readings know of each other.
func (f *Facts) link() {
	names := map[string]string{}
	for _, u := range f.Users {
		names[fmt.Sprintf("#%d", u.UID)] = u.Name
	}
	name := func(user *string) {
		if n := names[*user]; n != "" {
			*user = n
		} else {
			*user = strings.TrimPrefix(*user, "#")
		}
	}
	program, active := map[int]string{}, map[string]bool{}
	for i := range f.Processes {
		p := &f.Processes[i]
		name(&p.User)
		active[p.User] = true
		program[p.PID] = path.Base(strings.TrimSuffix(firstWord(p.Args), ":"))
	}
	for i := range f.Tmux {
		name(&f.Tmux[i].User)
	}
	hidden := 0
	for i := range f.Ports {
		p := &f.Ports[i]
		if p.Process == "" && p.PID != 0 {
			p.Process = program[p.PID]
		}
		if p.PID == 0 {
			hidden++
		}
	}
	if hidden > 0 && !f.Root {
		f.Missing = append(f.Missing, fmt.Sprintf("ports (owners): %d owners are hidden from user %s; root sees them", hidden, f.User))
	}
	f.Users = slices.DeleteFunc(f.Users, func(u User) bool {
		shell := path.Base(u.Shell)
		mayLogIn := shell != "nologin" && shell != "false" && shell != "sync" && shell != "halt" && shell != "shutdown"
		return !mayLogIn && !active[u.Name]
	})
	f.linkDatabases()
}

// publisher is the running container that publishes a port of the host, by
// what docker ps says: "0.0.0.0:8088->80/tcp, :::8088->80/tcp, 9000-9001/tcp".
func (f *Facts) publisher(port int) *Container {
	for i, c := range f.Containers {
		for part := range strings.SplitSeq(c.Ports, ",") {
			from, _, published := strings.Cut(strings.TrimSpace(part), "->")
			if !published {
				continue
			}
			var lo, hi int
			numbers := from[strings.LastIndexByte(from, ':')+1:]
			switch n, _ := fmt.Sscanf(numbers, "%d-%d", &lo, &hi); n {
			case 1:
				hi = lo
			case 2:
			default:
				continue
			}
			if lo <= port && port <= hi {
				return &f.Containers[i]
			}
		}
	}
	return nil
}

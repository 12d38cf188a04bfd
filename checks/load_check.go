package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "load", Summary: "a host is not overloaded: processors, memory, disk",
		Example: `- load: {on: chat, cpu: 2, memory: 90%, disk: 90%, path: /var/lib/docker}`,
		New:     func() Check { return new(LoadCheck) },
	})
}

// LoadCheck judges how busy a host is. Its measure is the load of a CPU, so that
// a soak can compare it with the old server's.
type LoadCheck struct {
	On      []string        `yaml:"on" doc:"hosts; all of the plan when left out"`
	CPU     float64         `yaml:"cpu" default:"2" doc:"load average of the last minute, for each CPU, that must not be passed"`
	Memory  Share           `yaml:"memory" doc:"share of the memory that may be in use, such as 90%; not looked at when left out"`
	Disk    Share           `yaml:"disk" doc:"share of the disk, and of its inodes, that may be in use; not looked at when left out"`
	Path    string          `yaml:"path" default:"/" doc:"absolute path on the disk that is meant"`
	Timeout remote.Duration `yaml:"timeout" default:"10s" doc:"how long it may take"`
}

// Share is a part of a whole: 90% is 0.9.
type Share float64

// UnmarshalText reads "90%".
func (s *Share) UnmarshalText(b []byte) error {
	var x float64
	var rest string
	if n, _ := fmt.Sscanf(string(b), "%f%s", &x, &rest); n != 2 || rest != "%" || !(x > 0 && x <= 100) {
		return fmt.Errorf("%q is not a share between 0 and 100, such as 90%%", OneLine(string(b), 40))
	}
	*s = Share(x / 100)
	return nil
}

func (c *LoadCheck) HostNames() []string { return c.On }
func (c *LoadCheck) NeedsFacts() bool    { return false } // the few that it needs are read alone

// Validate refuses limits that mean nothing.
func (c *LoadCheck) Validate() error {
	var all []error
	if c.CPU <= 0 {
		all = append(all, Field("cpu", "%v is not a load for each CPU, such as 2", c.CPU))
	}
	if c.Path != "" {
		all = append(all, absolute("path", c.Path))
	}
	return errors.Join(all...)
}

// Assess gives one finding a host.
func (c *LoadCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	g := gathering{path: "$PATH:" + systemPath, limit: within(c.Timeout, 10*time.Second)}
	for _, f := range factList {
		if slices.Contains([]string{clockFact, "os", "memory", "disks"}, f.name) {
			g.facts = append(g.facts, f)
		}
	}
	return onHosts(ctx, c, w, c.On, c.Path, func(ctx context.Context, h remote.Host) Finding {
		f, err := g.run(ctx, h)
		if err != nil {
			return couldNotLook(err)
		}
		return c.judge(f)
	})
}

func (c *LoadCheck) judge(f *Facts) Finding {
	if why, lacks := f.Lacks("os (load)"); lacks || f.CPUs <= 0 {
		return notRead("load", why)
	}
	load := f.Load1 / float64(f.CPUs)
	said := []string{fmt.Sprintf("load %.2f for each of %d CPUs", load, f.CPUs)}
	var over []string
	if load > c.CPU {
		over = append(over, fmt.Sprintf("load above %v", c.CPU))
	}
	if c.Memory > 0 {
		if f.Memory.Total <= 0 {
			why, _ := f.Lacks("memory")
			return notRead("memory", why)
		}
		used := 1 - float64(f.Memory.Available)/float64(f.Memory.Total)
		said = append(said, fmt.Sprintf("%.0f%% of the memory in use", 100*used))
		if used > float64(c.Memory) {
			over = append(over, fmt.Sprintf("memory above %.0f%%", 100*float64(c.Memory)))
		}
	}
	if c.Disk > 0 {
		d, ok := diskOf(f, c.Path)
		if !ok {
			why, _ := f.Lacks("disks")
			return notRead("disks", why)
		}
		used := 1 - float64(d.Free)/float64(d.Total)
		if d.Inodes > 0 {
			used = max(used, 1-float64(d.InodesFree)/float64(d.Inodes))
		}
		said = append(said, fmt.Sprintf("%.0f%% of %s in use", 100*used, d.Mount))
		if used > float64(c.Disk) {
			over = append(over, fmt.Sprintf("%s above %.0f%%", d.Mount, 100*float64(c.Disk)))
		}
	}
	text := strings.Join(said, ", ")
	if len(over) > 0 {
		return block("see what keeps it busy", "%s: %s", strings.Join(over, ", "), text)
	}
	found := pass("%s", text)
	found.Took, found.Unit = max(load, 0.01), "load"
	return found
}

// diskOf is the disk that a path is on.
func diskOf(f *Facts, path string) (best Disk, ok bool) {
	if path == "" {
		path = "/"
	}
	for _, d := range f.Disks {
		at := strings.TrimSuffix(d.Mount, "/") + "/"
		if d.Total > 0 && strings.HasPrefix(strings.TrimSuffix(path, "/")+"/", at) && (!ok || len(d.Mount) > len(best.Mount)) {
			best, ok = d, true
		}
	}
	return best, ok
}

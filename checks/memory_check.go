package checks

import (
	"context"
	"errors"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "memory", Summary: "a host has enough memory",
		Example: "- memory: {on: chat, free: 2GiB, total: 4GiB}",
		New:     func() Check { return new(MemoryCheck) },
	})
}

// MemoryCheck judges a host's memory: what is available now, and all of it.
type MemoryCheck struct {
	On    []string    `yaml:"on" doc:"hosts; all of the plan when left out"`
	Free  remote.Size `yaml:"free" scalar:"" doc:"memory that must be available, such as 2GiB"`
	Total remote.Size `yaml:"total" doc:"memory that the host must have"`
}

func (c *MemoryCheck) HostNames() []string { return c.On }
func (c *MemoryCheck) NeedsFacts() bool    { return true }

// Validate refuses a check that asks nothing.
func (c *MemoryCheck) Validate() error {
	if c.Free <= 0 && c.Total <= 0 {
		return errors.New("say how much must be `free`, or there in `total`")
	}
	return nil
}

// Assess gives one finding a host.
func (c *MemoryCheck) Assess(_ context.Context, w World) ([]Finding, error) {
	return onFacts(c, w, c.On, "", func(f *Facts) Finding {
		if why, lacks := f.Lacks("memory"); lacks || f.Memory.Total <= 0 {
			return notRead("memory", why)
		}
		available, total := remote.Size(f.Memory.Available), remote.Size(f.Memory.Total)
		switch {
		case total < c.Total:
			return block("use a larger machine", "%s of memory in all, %s needed", total, c.Total)
		case available < c.Free:
			return block("stop something there, or use a larger machine", "%s of %s available, %s needed", available, total, c.Free)
		}
		return pass("%s of %s available", available, total)
	})
}

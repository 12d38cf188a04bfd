package steps

import (
	"context"
	"errors"
	"fmt"
	"path"

	"belay/remote"
	"belay/steps/compare"
	"belay/steps/files"
)

// compareFiles are two directories.
type compareFiles struct {
	Old     filesEnd `yaml:"old" required:"" doc:"the directory as it was"`
	New     filesEnd `yaml:"new" required:"" doc:"the copy"`
	Exclude []string `yaml:"exclude" doc:"what stays out on both sides: a name such as *.tmp, or with a slash a path from the top such as cache/*"`
}

func (c *compareFiles) what() string    { return "files" }
func (c *compareFiles) hosts() []string { return []string{c.Old.Host, c.New.Host} }

func (c *compareFiles) check(field string) error {
	return errors.Join(fileCheckPath(field+".old.path", c.Old.Path), fileCheckPath(field+".new.path", c.New.Path))
}

func (c *compareFiles) open(_ context.Context, e Env, quick bool) (old, now compare.Side, err error) {
	name := path.Clean(c.Old.Path)
	side := func(at filesEnd) (compare.Side, error) {
		h, ok := e.Hosts[at.Host]
		if !ok {
			return nil, fmt.Errorf("host %q is not of this plan", at.Host)
		}
		return files.NewSide(remote.ReadOnly(h), path.Clean(at.Path), name, files.Look{Exclude: c.Exclude, Sums: !quick}), nil
	}
	if old, err = side(c.Old); err != nil {
		return nil, nil, err
	}
	now, err = side(c.New)
	return old, now, err
}

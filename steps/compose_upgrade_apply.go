package steps

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"belay/steps/docker"
)

func (c *composeUpgrade) Apply(ctx context.Context, e Env) error {
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	s, err := c.see(ctx, e, eng)
	if err != nil {
		return err
	}
	rec, found, err := c.remembered(e)
	if err != nil {
		return err
	}
	if !found {
		if rec, err = c.begin(ctx, e, eng, s); err != nil {
			return err
		}
	}
	if rec.Project != s.project.Name {
		return fmt.Errorf("the project's name was %s when this step began, and is %s now; say project", rec.Project, s.project.Name)
	}
	for _, svc := range slices.Sorted(maps.Keys(rec.Ran)) {
		r := rec.Ran[svc]
		if _, err := eng.ImageTag(ctx, client.ImageTagOptions{Source: r.Image, Target: r.Alias}); err != nil {
			return fmt.Errorf("keep image %s of service %s as %s: %w; nothing was changed", dockerShort(r.Image), svc, r.Alias, err)
		}
	}
	if err := c.fetch(ctx, e, eng, &s); err != nil {
		return err
	}
	rec.New = s.local
	if err := e.Memory.Put(composeUpgradeKey, rec); err != nil {
		return err
	}
	w := c.waiter(s.want)
	w.see(s.containers, time.Now())
	w.follow = &composeFollow{services: c.Follow}
	w.follow.begin(ctx, e)
	err = composeRun(ctx, e, s.composeView, c.words()...)
	if err != nil {
		err = w.explain(ctx, e, rec.Project, err)
	} else {
		err = w.wait(ctx, e, rec.Project)
	}
	if err != nil {
		return c.failed(ctx, e, eng, rec, err)
	}
	rec.Done = true
	return e.Memory.Put(composeUpgradeKey, rec)
}

func (c *composeUpgrade) waiter(services []string) *composeWait {
	return &composeWait{services: services, healthy: c.Healthy, mayFail: c.MayFail, limit: time.Duration(c.Wait), settle: composeSettles(c.Settle, c.Wait)}
}

// failed goes back at once where the plan says so.
func (c *composeUpgrade) failed(ctx context.Context, e Env, eng *docker.Engine, rec composeUpgraded, why error) error {
	if c.Unhealthy != "back" || ctx.Err() != nil {
		return why
	}
	fmt.Fprintf(e.Log, "%v\ngoing back to the images that ran before\n", why)
	if err := c.back(ctx, e, eng, rec); err != nil {
		return fmt.Errorf("%w; going back failed too: %w", why, err)
	}
	return fmt.Errorf("%w; the services run the images from before again", why)
}

// begin remembers what runs before anything is changed.
func (c *composeUpgrade) begin(ctx context.Context, e Env, eng *docker.Engine, s composeSeen) (composeUpgraded, error) {
	rec := composeUpgraded{Project: s.project.Name, Ran: map[string]composeRan{}, Files: s.project.Files}
	for _, svc := range s.want {
		have := s.of(svc)
		if len(have) == 0 {
			rec.Fresh = append(rec.Fresh, svc)
			continue
		}
		b, there, err := dockerFind(ctx, eng, have[0].ID)
		if err != nil {
			return rec, err
		}
		if !there || b.Config == nil {
			return rec, fmt.Errorf("container %s of service %s vanished while it was looked at; nothing was changed", have[0].Name, svc)
		}
		for _, x := range have[1:] {
			if x.Image != have[0].Image {
				return rec, fmt.Errorf("the containers of service %s run different images (%s, %s): somebody is upgrading it; nothing was changed", svc, dockerShort(have[0].Image), dockerShort(x.Image))
			}
		}
		r := composeRan{Name: b.Config.Image, Image: have[0].Image, Stopped: !have[0].Running() && have[0].State != "restarting"}
		r.Alias = composeAlias(r.Name, svc, e.ID)
		rec.Ran[svc] = r
		if len(rec.Files) == 0 {
			rec.Files = composeFilesOf(b.Config.Labels)
		}
	}
	return rec, e.Memory.Put(composeUpgradeKey, rec)
}

// composeAlias is where a service's image is kept: in its own repository, so
// that people find it.
func composeAlias(name, svc, id string) string {
	repo := dockerRepo(name)
	if !composeMoves(name, "") {
		repo = "belay/" + strings.ToLower(strings.Trim(svc, "._-"))
	}
	return repo + ":" + dockerAliasTag(id+"."+svc)
}

// composeMoves tells whether an image was named by something that can become
// the name of another one; a digest and an ID cannot.
func composeMoves(name, id string) bool {
	return dockerRef.MatchString(name) && !strings.HasPrefix(name, "sha256:") && (id == "" || !strings.HasPrefix(id, "sha256:"+name))
}

// composeFilesOf are the files of the labels that Compose v1 and v2 both set.
func composeFilesOf(labels map[string]string) []string {
	var all []string
	dir := labels["com.docker.compose.project.working_dir"]
	for f := range strings.SplitSeq(labels["com.docker.compose.project.config_files"], ",") {
		switch {
		case f == "" || strings.HasPrefix(path.Base(f), composeBackName): // an override of ours, gone by now
		case path.IsAbs(f):
			all = append(all, f)
		case dir != "":
			all = append(all, path.Join(dir, f))
		}
	}
	return all
}

// fetch gets the images that the files name. Containers run on meanwhile.
func (c *composeUpgrade) fetch(ctx context.Context, e Env, eng *docker.Engine, s *composeSeen) error {
	var pull, lacking []string
	for _, svc := range s.want {
		if s.names[svc] == "" {
			continue
		}
		pull = append(pull, svc)
		if s.local[svc] == "" {
			lacking = append(lacking, svc)
		}
	}
	switch {
	case c.Pull == "never" && len(lacking) > 0:
		return fmt.Errorf("image %s of service %s is not on %s, and pull is never; nothing was changed", s.names[lacking[0]], lacking[0], e.Host.Name)
	case c.Pull == "missing":
		pull = lacking
	case c.Pull == "never":
		pull = nil
	}
	if len(pull) == 0 {
		return nil
	}
	if err := composeRun(ctx, e, s.composeView, append([]string{"pull"}, pull...)...); err != nil {
		return fmt.Errorf("%w; the containers run on as before", err)
	}
	return c.locals(ctx, eng, s)
}

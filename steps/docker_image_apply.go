package steps

import (
	"context"
	"fmt"
	"slices"

	"github.com/moby/moby/client"

	"belay/remote"
	"belay/steps/docker"
)

func (c *dockerImage) Apply(ctx context.Context, e Env) error {
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	rec, found, err := c.remembered(e)
	if err != nil {
		return err
	}
	now, there, err := dockerInspect(ctx, eng, c.Image)
	if err != nil {
		return err
	}
	if !found {
		if rec, err = c.begin(ctx, e, eng, now, there); err != nil {
			return err
		}
	}
	if rec.Former != "" {
		// Before anything else: from here on the old image cannot get lost.
		if _, err := eng.ImageTag(ctx, client.ImageTagOptions{Source: rec.Former, Target: rec.Alias}); err != nil {
			return fmt.Errorf("keep image %s as %s: %w; nothing was changed", dockerShort(rec.Former), rec.Alias, err)
		}
	}
	if c.From != "" {
		return c.bring(ctx, e, eng, rec)
	}
	return c.pull(ctx, e, eng, rec)
}

// begin remembers what has the name before anything is changed.
func (c *dockerImage) begin(ctx context.Context, e Env, eng *docker.Engine, now client.ImageInspectResult, there bool) (rec dockerImaged, err error) {
	if there {
		rec = dockerImaged{Former: now.ID, Alias: c.alias(e)}
		taken, has, err := dockerInspect(ctx, eng, rec.Alias)
		if err != nil {
			return rec, err
		}
		if has && taken.ID != now.ID {
			return rec, fmt.Errorf("the alias %s is the name of another image (%s); nothing was changed. Say another one with keep", rec.Alias, dockerShort(taken.ID))
		}
		rec.Own = !has
	}
	if c.From == "" {
		// Which image the registry will give for a tag is not known, and it
		// may be here under another name: then it is not ours to remove.
		rec.Had = true
		if c.Digest != "" {
			if _, rec.Had, err = dockerInspect(ctx, eng, c.pulled()); err != nil {
				return rec, err
			}
		}
	}
	return rec, e.Memory.Put(dockerImageKey, rec)
}

// pull asks the registry by the command line, which knows the login's
// credentials.
func (c *dockerImage) pull(ctx context.Context, e Env, eng *docker.Engine, rec dockerImaged) error {
	meter := &dockerPullMeter{log: e.Log, say: e.Say, image: c.Image}
	cmd := remote.Cmd{Argv: []string{"docker", "pull", c.pulled()}, Stdout: meter, Stderr: e.Log}
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("pull %s: %w; %s is as it was", c.pulled(), err, c.Image)
	}
	v, there, err := dockerInspect(ctx, eng, c.pulled())
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("image %s was pulled, and is not there now: did somebody remove it?", c.pulled())
	}
	return c.name(ctx, e, eng, rec, v)
}

// bring takes the image from the other host.
func (c *dockerImage) bring(ctx context.Context, e Env, eng *docker.Engine, rec dockerImaged) error {
	from, err := dockerPeer(e, c.From)
	if err != nil {
		return err
	}
	there, err := docker.Look(ctx, from)
	if err != nil {
		return err
	}
	defer there.Close()
	src, err := c.sourceAt(ctx, there, from)
	if err != nil {
		return err
	}
	here, had, err := dockerFindSame(ctx, eng, src.ImageInspectResult)
	if err != nil {
		return err
	}
	s := docker.Shipment{From: from, To: e.Host, Image: src.ID, Name: "image." + e.ID, Layers: src.RootFS.Layers, Log: e.Log}
	if c.Pack != "auto" {
		s.Pack = c.Pack
	}
	if had {
		rec.Had = rec.Had || rec.New == ""
	} else {
		if _, err := c.room(ctx, eng, e.Host, src); err != nil {
			return err
		}
		if err := c.sparing(ctx, e, &s, there, eng); err != nil {
			return err
		}
		s.Say = func(n int64) {
			p := Progress{Done: n, Unit: "B", Text: "image " + c.Image + " from " + c.From}
			if s.Shared == 0 {
				p.Total = max(src.Sent, n)
			}
			e.Say(p)
		}
		rec.New, rec.Coming = src.ID, dockerContentOf(src.ImageInspectResult)
		if err := e.Memory.Put(dockerImageKey, rec); err != nil {
			return err
		}
		id, err := s.Run(ctx)
		if err != nil {
			return err
		}
		rec.New = id
		if err := e.Memory.Put(dockerImageKey, rec); err != nil {
			return err
		}
		if here, err = c.arrived(ctx, eng, id, src); err != nil {
			return err
		}
	}
	if err := c.name(ctx, e, eng, rec, here); err != nil {
		return err
	}
	return s.Done(ctx)
}

// arrived looks at what was loaded.
func (c *dockerImage) arrived(ctx context.Context, eng *docker.Engine, id string, src dockerThere) (client.ImageInspectResult, error) {
	v, there, err := dockerInspect(ctx, eng, id)
	if err != nil {
		return v, err
	}
	if !there || !dockerSame(v, src.ImageInspectResult) {
		return v, fmt.Errorf("image %s was loaded as %s, and its content is not that of %s on %s", c.Image, dockerShort(id), dockerShort(src.ID), c.From)
	}
	laid, err := dockerLaid(ctx, eng, v)
	if err == nil && !laid {
		err = fmt.Errorf("image %s was loaded as %s, and the engine could not unpack it: no container can start from it. %s is as it was. "+
			"Is the disk full? The step's log has what the engine said", c.Image, dockerShort(id), c.Image)
	}
	return v, err
}

// sparing finds what need not be sent, or not be proven by belay.
func (c *dockerImage) sparing(ctx context.Context, e Env, s *docker.Shipment, there, here *docker.Engine) error {
	for _, eng := range []*docker.Engine{there, here} {
		if own, err := eng.OwnStore(ctx); err != nil || !own {
			return err
		}
	}
	s.Proven = true
	var err error
	if s.Shared, err = here.Shared(ctx, s.Layers); err == nil && s.Shared > 0 {
		fmt.Fprintf(e.Log, "of its %d layers %d are here already\n", len(s.Layers), s.Shared)
	}
	return err
}

// name gives the image its name, unless somebody else moved that meanwhile.
func (c *dockerImage) name(ctx context.Context, e Env, eng *docker.Engine, rec dockerImaged, v client.ImageInspectResult) error {
	now, there, err := dockerInspect(ctx, eng, c.Image)
	if err != nil {
		return err
	}
	if there && now.ID != rec.Former && now.ID != v.ID {
		return fmt.Errorf("%s became the name of another image (%s) while this step ran: somebody else works here. The new image is here as %s, without the name",
			c.Image, dockerShort(now.ID), dockerShort(v.ID))
	}
	rec.New, rec.Layers, rec.Coming = v.ID, v.RootFS.Layers, dockerContent{}
	if err := e.Memory.Put(dockerImageKey, rec); err != nil {
		return err
	}
	if _, err := eng.ImageTag(ctx, client.ImageTagOptions{Source: v.ID, Target: c.Image}); err != nil {
		return fmt.Errorf("call image %s %s: %w", dockerShort(v.ID), c.Image, err)
	}
	rec.Done = true
	if err := e.Memory.Put(dockerImageKey, rec); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "%s is now %s\n", c.Image, v.ID)
	if rec.Former != "" && rec.Former != v.ID {
		fmt.Fprintf(e.Log, "what it was before, %s, is kept as %s\n", rec.Former, rec.Alias)
	}
	return nil
}

// Verify looks by the API at what pull and load have made.
func (c *dockerImage) Verify(ctx context.Context, e Env) error {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	now, there, err := dockerInspect(ctx, eng, c.Image)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("there is no image %s", c.Image)
	}
	rec, found, err := c.remembered(e)
	if err != nil {
		return err
	}
	switch {
	case found && rec.Done && now.ID != rec.New:
		return fmt.Errorf("%s is image %s, and this step made it %s", c.Image, dockerShort(now.ID), dockerShort(rec.New))
	case found && rec.Done && !slices.Equal(now.RootFS.Layers, rec.Layers):
		return fmt.Errorf("%s has other layers than this step brought", c.Image)
	case c.From == "" && !dockerIs(now, c.Digest):
		return fmt.Errorf("%s is image %s, whose digests are %v, not %s", c.Image, dockerShort(now.ID), now.RepoDigests, c.Digest)
	}
	if !found || rec.Former == "" {
		return nil
	}
	kept, there, err := dockerInspect(ctx, eng, rec.Alias)
	if err != nil {
		return err
	}
	if !there || kept.ID != rec.Former {
		return fmt.Errorf("image %s, which was %s before, is not kept as %s", dockerShort(rec.Former), c.Image, rec.Alias)
	}
	return nil
}

// Undo gives the name back to the image that had it. What was brought stays
// only if something uses it, or it was here before.
func (c *dockerImage) Undo(ctx context.Context, e Env) error {
	rec, found, err := c.remembered(e)
	if err != nil || !found {
		return err
	}
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	now, there, err := dockerInspect(ctx, eng, c.Image)
	if err != nil {
		return err
	}
	if there && rec.New != "" && now.ID != rec.New && now.ID != rec.Former {
		return fmt.Errorf("%s is image %s now, and this step made it %s: somebody else changed it. It was left alone; what it was before is %s",
			c.Image, dockerShort(now.ID), dockerShort(rec.New), rec.Former)
	}
	if c.From != "" {
		if err := (docker.Shipment{To: e.Host, Name: "image." + e.ID}).Done(ctx); err != nil {
			return err
		}
	}
	if err := c.unname(ctx, e, eng, rec, there); err != nil {
		return err
	}
	rec.Undone = true
	return e.Memory.Put(dockerImageKey, rec)
}

func (c *dockerImage) unname(ctx context.Context, e Env, eng *docker.Engine, rec dockerImaged, there bool) error {
	if rec.Former != "" {
		if _, err := eng.ImageTag(ctx, client.ImageTagOptions{Source: rec.Former, Target: c.Image}); err != nil {
			return fmt.Errorf("call image %s %s again: %w", dockerShort(rec.Former), c.Image, err)
		}
		fmt.Fprintf(e.Log, "%s is %s again\n", c.Image, rec.Former)
		if rec.Own {
			if err := dockerUntag(ctx, e, eng, rec.Alias, false); err != nil {
				return err
			}
		}
		if rec.Had || rec.New == "" || rec.New == rec.Former {
			return nil
		}
		return dockerForgetNew(ctx, e, eng, rec)
	}
	switch {
	case rec.New == "":
		return nil
	case !there && rec.Had:
		return nil
	case !there: // it was loaded, and did not get its name any more
		return dockerForgetNew(ctx, e, eng, rec)
	}
	return dockerUntag(ctx, e, eng, c.Image, rec.Had)
}

// dockerForgetNew removes what a step has brought; one that broke off may not
// know under which ID.
func dockerForgetNew(ctx context.Context, e Env, eng *docker.Engine, rec dockerImaged) error {
	if err := dockerForget(ctx, e, eng, rec.New); err != nil {
		return err
	}
	same, err := dockerAlike(ctx, eng, rec.Coming)
	for _, v := range same {
		if err := dockerForget(ctx, e, eng, v.ID); err != nil {
			return err
		}
	}
	return err
}

// dockerForget removes an image that has no name any more and that nothing uses.
func dockerForget(ctx context.Context, e Env, eng *docker.Engine, id string) error {
	v, there, err := dockerInspect(ctx, eng, id)
	if err != nil || !there {
		return err
	}
	if len(v.RepoTags) > 0 {
		fmt.Fprintf(e.Log, "image %s stays: it has the name %s\n", dockerShort(id), v.RepoTags[0])
		return nil
	}
	if _, err := eng.ImageRemove(ctx, id, client.ImageRemoveOptions{PruneChildren: true}); dockerConflict(err) {
		fmt.Fprintf(e.Log, "image %s stays: %v\n", dockerShort(id), err)
	} else if err != nil && !dockerGone(err) {
		return fmt.Errorf("remove image %s: %w", dockerShort(id), err)
	}
	return nil
}

// dockerUntag takes a name from an image; with its last name the engine
// removes the image too. keep forbids that.
func dockerUntag(ctx context.Context, e Env, eng *docker.Engine, name string, keep bool) error {
	v, there, err := dockerInspect(ctx, eng, name)
	if err != nil || !there {
		return err
	}
	if keep && len(v.RepoTags) < 2 {
		fmt.Fprintf(e.Log, "the name %s stays: the image was here before, and it is its only name\n", name)
		return nil
	}
	if _, err := eng.ImageRemove(ctx, name, client.ImageRemoveOptions{}); dockerConflict(err) {
		fmt.Fprintf(e.Log, "image %s stays: %v\n", name, err)
	} else if err != nil && !dockerGone(err) {
		return fmt.Errorf("remove the name %s: %w", name, err)
	}
	return nil
}

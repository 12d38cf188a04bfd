package steps

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/client"

	"belay/steps/docker"
)

// Apply makes the changes in an order in which nothing starts the container
// again behind our back: its policy first, its start last.
func (c *dockerContainer) Apply(ctx context.Context, e Env) error {
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	if c.Remove {
		return c.remove(ctx, e, eng)
	}
	b, w, err := c.find(ctx, e, eng)
	if err != nil {
		return err
	}
	if err := c.refuses(b); err != nil {
		return err
	}
	if _, found, err := c.remembered(e); err != nil {
		return err
	} else if !found {
		if err := c.free(ctx, eng, w); err != nil {
			return err
		}
		if err := e.Memory.Put(dockerWasKey, w); err != nil {
			return err
		}
	}
	to := w
	if c.Restart != "" {
		to.Policy = c.Restart
	}
	to.Running, to.Paused = b.running(), b.paused()
	switch c.State {
	case "started":
		to.Running, to.Paused = true, false
	case "stopped":
		to.Running, to.Paused = false, false
	}
	if w.Rename != "" {
		to.Name = w.Rename
	}
	return c.make(ctx, e, eng, to)
}

// free makes sure that the new name is nobody else's before anything changes.
func (c *dockerContainer) free(ctx context.Context, eng *docker.Engine, w dockerWas) error {
	if w.Rename == "" {
		return nil
	}
	other, taken, err := dockerFind(ctx, eng, w.Rename)
	if err == nil && taken && other.ID != w.ID {
		err = fmt.Errorf("container %s cannot be renamed: %s is the name of another one (%s); nothing was changed", w.Name, w.Rename, dockerShort(other.ID))
	}
	return err
}

// make brings the container to a state, from whatever it is in.
func (c *dockerContainer) make(ctx context.Context, e Env, eng *docker.Engine, to dockerWas) error {
	b, there, err := dockerFind(ctx, eng, to.ID)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("container %s (%s) is not there any more: did somebody remove it?", to.Name, dockerShort(to.ID))
	}
	if b.policy() != to.Policy {
		if _, err := eng.ContainerUpdate(ctx, to.ID, client.ContainerUpdateOptions{RestartPolicy: dockerRestart(to.Policy)}); err != nil {
			return fmt.Errorf("container %s: set its restart policy to %s: %w", b.name, to.Policy, err)
		}
		fmt.Fprintf(e.Log, "%s: restart policy %s, was %s\n", b.name, to.Policy, b.policy())
	}
	if !to.Running && b.running() {
		if err := c.stop(ctx, e, eng, b); err != nil {
			return err
		}
	}
	if b.name != to.Name {
		if _, err := eng.ContainerRename(ctx, to.ID, client.ContainerRenameOptions{NewName: to.Name}); err != nil {
			return fmt.Errorf("container %s: rename it to %s: %w", b.name, to.Name, err)
		}
		fmt.Fprintf(e.Log, "%s is called %s now\n", b.name, to.Name)
	}
	return c.start(ctx, e, eng, b, to)
}

func (c *dockerContainer) stop(ctx context.Context, e Env, eng *docker.Engine, b dockerBoxed) error {
	e.Say(Progress{Text: "stop " + b.name})
	if b.paused() { // a stopped process hears no signal
		if _, err := eng.ContainerUnpause(ctx, b.ID, client.ContainerUnpauseOptions{}); err != nil && !dockerConflict(err) {
			return fmt.Errorf("container %s: unpause it to stop it: %w", b.name, err)
		}
	}
	secs := int((time.Duration(c.Grace) + time.Second - 1) / time.Second)
	began := time.Now()
	if _, err := eng.ContainerStop(ctx, b.ID, client.ContainerStopOptions{Timeout: &secs}); err != nil {
		return fmt.Errorf("container %s: stop it: %w", b.name, err)
	}
	after, _, err := dockerFind(ctx, eng, b.ID)
	if err != nil {
		return err
	}
	how := ""
	if after.State != nil {
		how = fmt.Sprintf(" with exit status %d", after.State.ExitCode)
		if after.State.ExitCode == 137 {
			how += ": it was killed, and did not end by itself"
		}
	}
	fmt.Fprintf(e.Log, "%s stopped after %s%s\n", b.name, time.Since(began).Round(100*time.Millisecond), how)
	return nil
}

func (c *dockerContainer) start(ctx context.Context, e Env, eng *docker.Engine, b dockerBoxed, to dockerWas) error {
	if to.Running && !b.running() {
		if _, err := eng.ContainerStart(ctx, to.ID, client.ContainerStartOptions{}); err != nil {
			return fmt.Errorf("container %s: start it: %w", to.Name, err)
		}
		fmt.Fprintf(e.Log, "%s was started\n", to.Name)
	}
	var err error
	switch {
	case to.Running && to.Paused && !b.paused():
		_, err = eng.ContainerPause(ctx, to.ID, client.ContainerPauseOptions{})
	case to.Running && !to.Paused && b.paused():
		_, err = eng.ContainerUnpause(ctx, to.ID, client.ContainerUnpauseOptions{})
	}
	if err != nil {
		return fmt.Errorf("container %s: %w", to.Name, err)
	}
	return nil
}

func (c *dockerContainer) remove(ctx context.Context, e Env, eng *docker.Engine) error {
	b, there, err := c.removable(ctx, e, eng)
	if err != nil || !there {
		return err
	}
	if err := c.mayRemove(b); err != nil {
		return err
	}
	if _, err := eng.ContainerRemove(ctx, b.ID, client.ContainerRemoveOptions{}); err != nil && !dockerGone(err) {
		return fmt.Errorf("container %s: remove it: %w", b.name, err)
	}
	fmt.Fprintf(e.Log, "%s (%s) was removed\n", b.name, b.ID)
	return nil
}

// Verify looks at the container as it is now.
func (c *dockerContainer) Verify(ctx context.Context, e Env) error {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	if c.Remove {
		if b, there, err := c.removable(ctx, e, eng); err != nil || there {
			if err == nil {
				err = fmt.Errorf("container %s is still there", b.name)
			}
			return err
		}
		return nil
	}
	b, w, err := c.find(ctx, e, eng)
	if err != nil {
		return err
	}
	switch {
	case c.State == "stopped" && b.running():
		return fmt.Errorf("container %s is %s", b.name, b.State.Status)
	case c.State == "started" && (!b.running() || b.paused() || b.State.Restarting):
		return fmt.Errorf("container %s is %s (exit status %d)", b.name, b.State.Status, b.State.ExitCode)
	case c.policyDiffers(b):
		return fmt.Errorf("container %s has the restart policy %s", b.name, b.policy())
	case w.Rename != "" && b.name != w.Rename:
		return fmt.Errorf("container %s is not called %s", b.name, w.Rename)
	}
	return nil
}

// Undo makes the container what it was: its name, its policy, and whether it
// ran.
func (c *dockerContainer) Undo(ctx context.Context, e Env) error {
	if c.Remove {
		return fmt.Errorf("container %s was removed: %w", c.Container, ErrNoWayBack)
	}
	w, found, err := c.remembered(e)
	if err != nil || !found {
		return err
	}
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	other, taken, err := dockerFind(ctx, eng, w.Name)
	if err != nil {
		return err
	}
	if taken && other.ID != w.ID {
		return fmt.Errorf("container %s cannot get its name %s back: another one (%s) has it now. It was left as it is; remove or rename that one and retry",
			dockerShort(w.ID), w.Name, dockerShort(other.ID))
	}
	if err := c.make(ctx, e, eng, w); err != nil {
		return err
	}
	return e.Memory.Put(dockerWasKey, dockerWas{})
}

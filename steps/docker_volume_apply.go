package steps

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/moby/moby/client"

	"belay/remote"
	"belay/steps/docker"
)

// dockerFilled is remembered of a volume that the step fills.
type dockerFilled struct {
	Begun  bool   `json:"begun"`
	Made   bool   `json:"made,omitempty"`   // the volume itself is this step's
	Data   string `json:"data"`             // its directory
	Sum    string `json:"sum,omitempty"`    // of what was brought, once it is whole
	Placed bool   `json:"placed,omitempty"` // it is in the volume
}

func (r dockerFilled) begun() bool { return r.Begun }

const (
	dockerFilledKey = "volume"
	// dockerMadeBy is the label of a volume that belay made, with the id of
	// the step; a rollback removes no other.
	dockerMadeBy = "belay.made-by"
)

func (c *dockerVolume) remembered(e Env) (rec dockerFilled, found bool, err error) {
	if e.Memory == nil {
		return rec, false, nil
	}
	found, err = e.Memory.Get(dockerFilledKey, &rec)
	return rec, found, err
}

func (c *dockerVolume) Apply(ctx context.Context, e Env) error {
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	s, err := c.assess(ctx, eng, e.Host, c.Volume)
	if err != nil {
		return err
	}
	if c.Archive != "" {
		if s.state == "absent" {
			return fmt.Errorf("there is no volume %s on %s; nothing was changed", c.Volume, e.Host.Name)
		}
		if err := c.quiet(s, c.Volume, e.Host.Name); err != nil {
			return err
		}
		return c.archive(s).Apply(ctx, e)
	}
	rec, _, err := c.remembered(e)
	if err != nil || rec.Placed {
		return err
	}
	var src dockerVolumeSource
	if rec.Sum == "" {
		if src, err = c.open(ctx, e); err != nil {
			return err
		}
	}
	if !rec.Begun {
		if err := c.fillable(s, e.Host.Name); err != nil {
			return err
		}
		if s.free < src.seen.need {
			return fmt.Errorf("%s are free for volume %s on %s, and %s are needed; nothing was changed", remote.FormatBytes(s.free), c.Volume, e.Host.Name, remote.FormatBytes(src.seen.need))
		}
		rec = dockerFilled{Begun: true, Made: s.state == "absent", Data: s.data}
		if err := e.Memory.Put(dockerFilledKey, rec); err != nil {
			return err
		}
	}
	if s.state == "absent" {
		if err := c.create(ctx, e, eng, src.seen.labels); err != nil {
			return err
		}
	}
	return c.fill(ctx, e, eng, src, rec)
}

// dockerVolumeSource is where the data comes from: a volume of another host, or
// an archive of this one.
type dockerVolumeSource struct {
	host remote.Host
	seen dockerVolumeSeen
}

func (c *dockerVolume) open(ctx context.Context, e Env) (src dockerVolumeSource, err error) {
	if c.Restore != "" {
		return src, c.whole(ctx, e)
	}
	if src.host, err = dockerPeer(e, c.From); err != nil {
		return src, err
	}
	eng, err := docker.Look(ctx, src.host)
	if err != nil {
		return src, err
	}
	defer eng.Close()
	if src.seen, err = c.assess(ctx, eng, src.host, c.fromVolume()); err != nil {
		return src, err
	}
	if src.seen.state == "absent" {
		return src, fmt.Errorf("there is no volume %s on %s; nothing was changed", c.fromVolume(), c.From)
	}
	return src, c.quiet(src.seen, c.fromVolume(), c.From)
}

// whole checks an archive by the SHA-256 beside it, where there is one.
func (c *dockerVolume) whole(ctx context.Context, e Env) error {
	cmd := remote.Sh(`[ -f "$1" ] || { echo "$1 is not there" >&2; exit 1; }
[ -e "$1.sha256" ] || exit 0
read -r want rest <"$1.sha256"
have=$(sha256sum <"$1") || exit 1
[ "${have%% *}" = "$want" ] || { echo "$1 is not what $1.sha256 says" >&2; exit 1; }`, c.Restore)
	cmd.Pure = true
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("archive %s: %w; nothing was changed", c.Restore, err)
	}
	return nil
}

// create makes the volume with the labels by which Compose takes it for its
// own (com.docker.compose.project and .volume; docker/compose,
// pkg/compose/create.go, ensureVolume).
func (c *dockerVolume) create(ctx context.Context, e Env, eng *docker.Engine, from map[string]string) error {
	labels := map[string]string{}
	maps.Copy(labels, from)
	if c.Project != "" && labels["com.docker.compose.project"] != c.Project {
		delete(labels, "com.docker.compose.config-hash")
		labels["com.docker.compose.project"] = c.Project
		labels["com.docker.compose.volume"] = strings.TrimPrefix(c.Volume, c.Project+"_")
	}
	labels[dockerMadeBy] = e.ID
	if _, err := eng.VolumeCreate(ctx, client.VolumeCreateOptions{Name: c.Volume, Labels: labels}); err != nil {
		return fmt.Errorf("make volume %s: %w", c.Volume, err)
	}
	fmt.Fprintf(e.Log, "made volume %s\n", c.Volume)
	return nil
}

// fill brings the data beside the volume's own, proves it, and puts it in
// place by renaming.
func (c *dockerVolume) fill(ctx context.Context, e Env, eng *docker.Engine, src dockerVolumeSource, rec dockerFilled) error {
	if rec.Sum == "" {
		sum, err := c.bring(ctx, e, src, rec)
		if err != nil {
			return err
		}
		rec.Sum = sum
		if err := e.Memory.Put(dockerFilledKey, rec); err != nil {
			return err
		}
	}
	// Somebody may have started a container meanwhile.
	var now dockerVolumeSeen
	if err := now.mounted(ctx, eng, c.Volume); err != nil {
		return err
	}
	if len(now.writers) > 0 {
		return fmt.Errorf("volume %s on %s: %s was started while its data came in; what came lies beside it, and a retry puts it in place once that is stopped", c.Volume, e.Host.Name, strings.Join(now.writers, ", "))
	}
	if _, err := c.script(ctx, e.Host, false, "place", rec.Data, e.ID); err != nil {
		return fmt.Errorf("volume %s on %s: %w", c.Volume, e.Host.Name, err)
	}
	rec.Placed = true
	if err := e.Memory.Put(dockerFilledKey, rec); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "volume %s is filled, sum %s\n", c.Volume, rec.Sum)
	return nil
}

// Verify reads the volume again: its sum must be that of what was brought.
func (c *dockerVolume) Verify(ctx context.Context, e Env) error {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	s, err := c.assess(ctx, eng, e.Host, c.Volume)
	if err != nil {
		return err
	}
	if c.Archive != "" {
		return c.archive(s).Verify(ctx, e)
	}
	rec, _, err := c.remembered(e)
	if err != nil {
		return err
	}
	if s.state == "absent" {
		return fmt.Errorf("there is no volume %s on %s", c.Volume, e.Host.Name)
	}
	got, err := c.script(ctx, e.Host, true, "sum", s.data, e.ID, dockerVolumeMaker(rec.Sum))
	if err != nil {
		return fmt.Errorf("volume %s on %s: %w", c.Volume, e.Host.Name, err)
	}
	if got != rec.Sum {
		return fmt.Errorf("volume %s on %s is not what was brought: its sum is %.12s, not %.12s", c.Volume, e.Host.Name, got, rec.Sum)
	}
	if c.Restore == "" {
		return nil
	}
	cmd := remote.Sh(fileCompareScript, c.Restore, filePacker(c.Restore, "auto"), s.data, "0", "")
	cmd.Pure, cmd.Stderr = true, io.Discard
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("volume %s on %s differs from %s: %w", c.Volume, e.Host.Name, c.Restore, err)
	}
	return nil
}

// Undo puts back what was in the volume. What was written to it since is not
// thrown away but set aside, and named; a volume that the step made and that
// nobody wrote to is removed.
func (c *dockerVolume) Undo(ctx context.Context, e Env) error {
	if c.Archive != "" {
		return c.archive(dockerVolumeSeen{data: c.Archive + "-"}).Undo(ctx, e)
	}
	rec, found, err := c.remembered(e)
	if err == nil && found && !rec.Begun && rec.Data != "" {
		return c.undone(ctx, e, rec.Data)
	}
	if err != nil || !found || !rec.Begun {
		return err
	}
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	s, err := c.assess(ctx, eng, e.Host, c.Volume)
	if err != nil {
		return err
	}
	if len(s.writers) > 0 {
		return fmt.Errorf("volume %s on %s is in use by %s; it was left as it is. Stop them and retry", c.Volume, e.Host.Name, strings.Join(s.writers, ", "))
	}
	kept := ""
	if s.state != "absent" || !rec.Made {
		placed := ""
		if rec.Placed && !rec.Made {
			placed = "placed"
		}
		if kept, err = c.script(ctx, e.Host, false, "unplace", rec.Data, e.ID, rec.Sum, placed); err != nil {
			return fmt.Errorf("volume %s on %s: %w", c.Volume, e.Host.Name, err)
		}
	}
	if kept != "" {
		fmt.Fprintf(e.Log, "volume %s was written to since this step filled it; that is %s on %s\n", c.Volume, kept, e.Host.Name)
	} else if rec.Made && s.state != "absent" && s.labels[dockerMadeBy] == e.ID {
		if err := c.unmake(ctx, e, eng); err != nil {
			return err
		}
	}
	if rec.Made {
		return e.Memory.Put(dockerFilledKey, dockerFilled{})
	}
	if err := e.Memory.Put(dockerFilledKey, dockerFilled{Data: rec.Data}); err != nil {
		return err
	}
	return c.undone(ctx, e, rec.Data)
}

// undone removes the mark that the volume was put back: that is remembered now.
func (c *dockerVolume) undone(ctx context.Context, e Env, data string) error {
	if _, err := c.script(ctx, e.Host, false, "backdone", data, e.ID); err != nil {
		return err
	}
	return e.Memory.Put(dockerFilledKey, dockerFilled{})
}

// unmake removes the volume that the step made, unless somebody has put
// something into it, or uses it.
func (c *dockerVolume) unmake(ctx context.Context, e Env, eng *docker.Engine) error {
	s, err := c.assess(ctx, eng, e.Host, c.Volume)
	if err != nil {
		return err
	}
	if s.state == "full" {
		fmt.Fprintf(e.Log, "volume %s stays: this step made it, and what is in it now is somebody else's\n", c.Volume)
		return nil
	}
	if _, err := eng.VolumeRemove(ctx, c.Volume, client.VolumeRemoveOptions{}); dockerConflict(err) {
		fmt.Fprintf(e.Log, "volume %s stays, empty: %v\n", c.Volume, err)
	} else if err != nil && !dockerGone(err) {
		return fmt.Errorf("remove volume %s: %w", c.Volume, err)
	}
	return nil
}

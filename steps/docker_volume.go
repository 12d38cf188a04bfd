package steps

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/client"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func init() {
	register(Kind{
		Name: "docker.volume",
		Summary: "Archives a Docker volume, restores it, or copies it from another host: owners, links, sparse files, extended attributes and " +
			"the labels that Compose expects come over; containers that write to it must be stopped.",
		Example: `- step: Copy the uploads to the new host
  on: new
  docker.volume: {volume: fluxer_uploads, from: old}
`,
		New: func() Step { return &dockerVolume{} },
	})
}

//go:embed docker_volume.sh
var dockerVolumeScript string

type dockerVolume struct {
	Volume     string `yaml:"volume" scalar:"" required:"" doc:"name of the volume on the host"`
	Archive    string `yaml:"archive" doc:"archive it to this file of the host (.tar.zst, .tar.gz or .tar), with its SHA-256 beside it"`
	Restore    string `yaml:"restore" doc:"fill it from this archive of the host"`
	From       string `yaml:"from" host:"" doc:"host to copy it from"`
	FromVolume string `yaml:"from_volume" doc:"its name there; left out, the same"`
	Replace    bool   `yaml:"replace" doc:"fill it even if data is in it: that is set aside beside it and comes back on rollback; else only an empty or missing volume is filled"`
	Live       string `yaml:"live" doc:"why containers may go on writing to what is read; left out, they must be stopped"`
	Project    string `yaml:"project" doc:"Compose project that the volume shall belong to, where it is made; left out, that of the volume it is copied from"`
}

func (c *dockerVolume) Validate() error {
	var errs []error
	if !dockerName.MatchString(c.Volume) {
		errs = append(errs, Field("volume", "%q cannot be the name of a volume", c.Volume))
	}
	n := 0
	for _, what := range []string{c.Archive, c.Restore, c.From} {
		if what != "" {
			n++
		}
	}
	if n != 1 {
		errs = append(errs, Field("volume", "say one of archive, restore and from"))
	}
	if c.Archive != "" {
		errs = append(errs, fileCheckPath("archive", c.Archive))
	}
	if c.Restore != "" {
		errs = append(errs, fileCheckPath("restore", c.Restore))
	}
	if c.FromVolume != "" && !dockerName.MatchString(c.FromVolume) {
		errs = append(errs, Field("from_volume", "%q cannot be the name of a volume", c.FromVolume))
	}
	if c.FromVolume != "" && c.From == "" {
		errs = append(errs, Field("from_volume", "it is the name on the host of from, and there is no from"))
	}
	if c.Replace && c.Archive != "" {
		errs = append(errs, Field("replace", "archive fills nothing"))
	}
	if c.Live != "" && c.Restore != "" {
		errs = append(errs, Field("live", "restore reads no volume"))
	}
	if c.Project != "" && !composeName.MatchString(c.Project) {
		errs = append(errs, Field("project", "%q is not the name of a Compose project", c.Project))
	}
	return errors.Join(errs...)
}

func (c *dockerVolume) HostNames() []string {
	if c.From == "" {
		return nil
	}
	return []string{c.From}
}

func (c *dockerVolume) Repeatable() bool { return true }

// Needs asks for the engines, root, GNU tar, and on the other host for the
// volume with nobody who writes to it, and for the room.
func (c *dockerVolume) Needs(on string) []checks.Check {
	packer := "none"
	if c.Archive != "" || c.Restore != "" {
		packer = filePacker(c.Archive+c.Restore, "auto")
	}
	need := append(fileTarNeeds(on, packer), &dockerNeed{on: on, key: c.Volume, judge: func(ctx context.Context, w checks.World, eng *docker.Engine, h remote.Host) (string, error) {
		seen, err := c.assess(ctx, eng, h, c.Volume)
		if err != nil {
			return "", err
		}
		text := fmt.Sprintf("volume %s on %s: %s", c.Volume, h.Name, seen.state)
		if c.From == "" {
			return text, nil
		}
		from, ok := w.Hosts[c.From]
		if !ok || from.Runner == nil {
			return "", fmt.Errorf("host %s, which has the volume, was not reached", c.From)
		}
		return c.assessFrom(ctx, from, seen, text)
	}})
	if c.From != "" {
		need = append(need, fileTarNeeds(c.From, "none")...)
	}
	return need
}

func (c *dockerVolume) assessFrom(ctx context.Context, from remote.Host, here dockerVolumeSeen, text string) (string, error) {
	eng, err := docker.Look(ctx, from)
	if err != nil {
		return "", err
	}
	defer eng.Close()
	there, err := c.assess(ctx, eng, from, c.fromVolume())
	switch {
	case err != nil:
		return "", err
	case there.state == "absent":
		return text + "; on " + from.Name + " there is none yet", nil
	case here.free < there.need:
		return "", fmt.Errorf("%s are free for volume %s, and it has %s on %s; free some space", remote.FormatBytes(here.free), c.Volume, remote.FormatBytes(there.need), from.Name)
	}
	text += fmt.Sprintf("; %s come from %s, %s are free", remote.FormatBytes(there.need), from.Name, remote.FormatBytes(here.free))
	if len(there.writers) > 0 && c.Live == "" {
		text += "; must be stopped before: " + strings.Join(there.writers, ", ")
	}
	return text, nil
}

func (c *dockerVolume) fromVolume() string {
	if c.FromVolume != "" {
		return c.FromVolume
	}
	return c.Volume
}

// dockerVolumeSeen is a volume as it is on one host.
type dockerVolumeSeen struct {
	data       string // its directory
	labels     map[string]string
	state      string // absent, empty, full
	need, free int64
	writers    []string // running containers that may write to it
	users      []string // any containers that mount it
}

// assess looks at a volume. Where it is not there yet, its directory is where
// the engine would put it.
func (c *dockerVolume) assess(ctx context.Context, eng *docker.Engine, h remote.Host, name string) (s dockerVolumeSeen, err error) {
	v, err := eng.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	there := err == nil
	switch {
	case there:
		if v.Volume.Driver != "local" || len(v.Volume.Options) > 0 {
			return s, fmt.Errorf("volume %s on %s is not a plain local one (driver %s, options %v): its data lies elsewhere; copy it there", name, h.Name, v.Volume.Driver, slices.Sorted(maps.Keys(v.Volume.Options)))
		}
		s.data, s.labels = v.Volume.Mountpoint, v.Volume.Labels
	case dockerGone(err):
		info, err := eng.Info(ctx, client.InfoOptions{})
		if err != nil {
			return s, fmt.Errorf("engine of %s: %w", h.Name, err)
		}
		s.data = path.Join(info.Info.DockerRootDir, "volumes", name, "_data")
	default:
		return s, fmt.Errorf("volume %s on %s: %w", name, h.Name, err)
	}
	out, err := c.script(ctx, h, true, "look", s.data, "-")
	if err != nil {
		return s, fmt.Errorf("volume %s on %s: %w", name, h.Name, err)
	}
	for line := range strings.Lines(out) {
		key, val, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseInt(val, 10, 64)
		switch key {
		case "need":
			s.need = n
		case "free":
			s.free = n
		case "state":
			s.state = val
		}
	}
	if !there {
		s.state = "absent"
		return s, nil
	}
	return s, s.mounted(ctx, eng, name)
}

// mounted finds the containers that mount the volume.
func (s *dockerVolumeSeen) mounted(ctx context.Context, eng *docker.Engine, name string) error {
	all, err := eng.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("volume", name)})
	if err != nil {
		return fmt.Errorf("containers with volume %s: %w", name, err)
	}
	for _, b := range all.Items {
		for _, m := range b.Mounts {
			if m.Name != name || len(b.Names) == 0 {
				continue
			}
			s.users = append(s.users, strings.TrimPrefix(b.Names[0], "/"))
			if m.RW && (b.State == "running" || b.State == "paused" || b.State == "restarting") {
				s.writers = append(s.writers, strings.TrimPrefix(b.Names[0], "/"))
			}
			break
		}
	}
	slices.Sort(s.users)
	slices.Sort(s.writers)
	return nil
}

// script runs a verb of docker_volume.sh and returns what it says.
func (c *dockerVolume) script(ctx context.Context, h remote.Host, pure bool, verb, data, id string, args ...string) (string, error) {
	cmd := c.verb(verb, data, id, args...)
	cmd.Pure = pure
	out, err := remote.Output(ctx, h, cmd)
	return strings.TrimSpace(string(out)), err
}

func (c *dockerVolume) verb(verb, data, id string, args ...string) remote.Cmd {
	return remote.Sh(docker.PackScript+dockerVolumeScript, append([]string{verb, data, id}, args...)...)
}

// quiet refuses while somebody writes to what is read.
func (c *dockerVolume) quiet(s dockerVolumeSeen, name, host string) error {
	if len(s.writers) == 0 || c.Live != "" {
		return nil
	}
	return fmt.Errorf("volume %s on %s is written to by %s; nothing was changed. Stop them before this step, or say with live why they may go on", name, host, strings.Join(s.writers, ", "))
}

// fillable refuses to fill a volume that is in use, or that holds what is not
// ours.
func (c *dockerVolume) fillable(s dockerVolumeSeen, host string) error {
	if len(s.writers) > 0 {
		return fmt.Errorf("volume %s on %s is in use by %s; nothing was changed. Stop them before this step", c.Volume, host, strings.Join(s.writers, ", "))
	}
	if s.state == "full" && !c.Replace {
		return fmt.Errorf("volume %s on %s is not empty; nothing was changed. If its data shall be set aside, say replace: true", c.Volume, host)
	}
	return nil
}

// archive is the kind that does the work where a volume is archived.
func (c *dockerVolume) archive(s dockerVolumeSeen) *filesArchive {
	return &filesArchive{Path: []string{s.data}, To: c.Archive, Compress: "auto"}
}

func (c *dockerVolume) Pending(ctx context.Context, e Env) ([]Change, error) {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	s, err := c.assess(ctx, eng, e.Host, c.Volume)
	if err != nil {
		return nil, err
	}
	if c.Archive != "" {
		if s.state == "absent" {
			return nil, fmt.Errorf("there is no volume %s on %s", c.Volume, e.Host.Name)
		}
		changes, err := c.archive(s).Pending(ctx, e)
		if err != nil || len(changes) == 0 {
			return nil, err
		}
		changes[0].Text = fmt.Sprintf("archive volume %s (%s) as %s", c.Volume, remote.FormatBytes(s.need), c.Archive) + c.telling(s)
		return changes, nil
	}
	rec, _, err := c.remembered(e)
	if err != nil || rec.Placed {
		return nil, err
	}
	if !rec.begun() {
		if s.state == "full" && !c.Replace {
			return nil, c.fillable(s, e.Host.Name)
		}
	}
	return c.pendingFill(ctx, e, s)
}

// telling names the containers that must be stopped first; in a dry run they
// still run.
func (c *dockerVolume) telling(s dockerVolumeSeen) string {
	switch {
	case len(s.writers) == 0:
		return ""
	case c.Live != "":
		return fmt.Sprintf("; %s write to it meanwhile (%s)", strings.Join(s.writers, ", "), c.Live)
	}
	return "; must be stopped before: " + strings.Join(s.writers, ", ")
}

func (c *dockerVolume) pendingFill(ctx context.Context, e Env, s dockerVolumeSeen) ([]Change, error) {
	ch := Change{Text: fmt.Sprintf("fill volume %s from %s", c.Volume, c.Restore)}
	if c.From != "" {
		from, err := dockerPeer(e, c.From)
		if err != nil {
			return nil, err
		}
		eng, err := docker.Look(ctx, from)
		if err != nil {
			return nil, err
		}
		defer eng.Close()
		there, err := c.assess(ctx, eng, from, c.fromVolume())
		if err != nil {
			return nil, err
		}
		if there.state != "absent" && s.free < there.need {
			return nil, fmt.Errorf("%s are free for volume %s on %s, and it has %s on %s", remote.FormatBytes(s.free), c.Volume, e.Host.Name, remote.FormatBytes(there.need), c.From)
		}
		ch = Change{Text: fmt.Sprintf("copy volume %s (%s) from %s", c.fromVolume(), remote.FormatBytes(there.need), c.From) + c.telling(there), Bytes: there.need}
	}
	switch s.state {
	case "absent":
		ch.Text += "; volume " + c.Volume + " is made"
	case "full":
		ch.Text += fmt.Sprintf("; what is in it now (%s) is set aside", remote.FormatBytes(s.need))
	}
	if len(s.writers) > 0 {
		ch.Text += "; must be stopped before: " + strings.Join(s.writers, ", ")
	}
	return []Change{ch}, nil
}

package steps

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/moby/client"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func init() {
	register(Kind{
		Name:    "docker.image",
		Summary: "Brings a Docker image to a host, pulled from its registry or straight from another host; the image that had the name before is kept under an alias.",
		Example: `- step: Bring the new server image
  on: chat
  docker.image: {image: "ghcr.io/fluxerapp/fluxer-server:v1.2.4", from: build}
`,
		New: func() Step { return &dockerImage{} },
	})
}

type dockerImage struct {
	Image  string `yaml:"image" scalar:"" required:"" doc:"name and tag that the image shall have on the host; without a tag, latest"`
	Digest string `yaml:"digest" doc:"sha256:… that it must be: what the registry calls it, or with from also the image's ID there; left out, whatever has the name now"`
	From   string `yaml:"from" host:"" doc:"host that has the image; left out, it is pulled from its registry, with the credentials that the login has"`
	Source string `yaml:"source" doc:"name or ID that it has on from; left out, image"`
	Keep   string `yaml:"keep" doc:"alias for the image that has the name now; left out, the same repository with the tag before-<run>"`
	Pack   string `yaml:"pack" enum:"auto|zstd|gzip|none" default:"auto" doc:"how it is packed on its way from the other host; auto takes what both hosts have"`
}

var (
	// A reference without a digest, as github.com/distribution/reference has
	// it, shortened: what the engine refuses besides, it refuses itself.
	dockerRef    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$`)
	dockerDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	dockerSource = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/:@-]*$`)
)

func (c *dockerImage) Validate() error {
	var errs []error
	for _, f := range [][2]string{{"image", c.Image}, {"keep", c.Keep}} {
		field, ref := f[0], f[1]
		if strings.Contains(ref, "@") {
			errs = append(errs, Field(field, "%q names a digest, which cannot be a name; say it under digest", ref))
		} else if ref != "" && !dockerRef.MatchString(ref) {
			errs = append(errs, Field(field, "%q is not the name of an image", ref))
		}
	}
	if c.Image == "" {
		errs = append(errs, Field("image", "a name is needed"))
	}
	if c.Digest != "" && !dockerDigest.MatchString(c.Digest) {
		errs = append(errs, Field("digest", "%q is not sha256: and 64 hexadecimal digits", c.Digest))
	}
	if c.Source != "" && c.From == "" {
		errs = append(errs, Field("source", "it is the name on the host of from, and there is no from"))
	}
	if c.Source != "" && !dockerSource.MatchString(c.Source) {
		errs = append(errs, Field("source", "%q is neither the name nor the ID of an image", c.Source))
	}
	return errors.Join(errs...)
}

func (c *dockerImage) HostNames() []string {
	if c.From == "" {
		return nil
	}
	return []string{c.From}
}

// Needs asks for both engines, the image on the other host, and the room.
func (c *dockerImage) Needs(on string) []checks.Check {
	if c.From == "" {
		return []checks.Check{&dockerNeed{on: on, key: c.Image}}
	}
	return []checks.Check{&dockerNeed{on: on, key: c.Image, judge: func(ctx context.Context, w checks.World, e *docker.Engine, h remote.Host) (string, error) {
		from, ok := w.Hosts[c.From]
		if !ok || from.Runner == nil {
			return "", fmt.Errorf("host %s, which has the image, was not reached", c.From)
		}
		src, err := c.source(ctx, from)
		if dockerLater(err) {
			return fmt.Sprintf("engine %s answers; %s has no image %s yet", e.Version, c.From, c.sourceName()), nil
		}
		if err != nil {
			return "", err
		}
		return c.room(ctx, e, h, src)
	}}}
}

// dockerLater is an image that may come by an earlier step.
func dockerLater(err error) bool { return err != nil && dockerGone(err) }

// room judges whether src fits. It lies there up to three times while it comes
// in: as it was sent, as `docker load` takes it apart (or containerd keeps it),
// and in the end.
func (c *dockerImage) room(ctx context.Context, e *docker.Engine, h remote.Host, src dockerThere) (string, error) {
	v, err := e.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return "", fmt.Errorf("engine of %s: %w", h.Name, err)
	}
	if v.Arch != "" && src.Architecture != "" && v.Arch != src.Architecture {
		return "", fmt.Errorf("image %s on %s is for %s, and %s is %s", c.sourceName(), c.From, src.Architecture, h.Name, v.Arch)
	}
	if _, here, err := dockerFindSame(ctx, e, src.ImageInspectResult); err == nil && here {
		return fmt.Sprintf("%s has image %s already", h.Name, dockerShort(src.ID)), nil
	}
	free, dir, err := dockerFree(ctx, e, h)
	if err != nil {
		return "", err
	}
	if takes := 2*src.Sent + max(src.Laid, src.Sent); free < takes {
		return "", fmt.Errorf("%s are free at %s of %s, and image %s (%s) takes up to %s while it comes in; free some space",
			remote.FormatBytes(free), dir, h.Name, c.sourceName(), remote.FormatBytes(src.Sent), remote.FormatBytes(takes))
	}
	return fmt.Sprintf("%s has %s free for image %s (%s)", h.Name, remote.FormatBytes(free), c.sourceName(), remote.FormatBytes(src.Sent)), nil
}

func (c *dockerImage) Repeatable() bool { return true }

func (c *dockerImage) sourceName() string {
	if c.Source != "" {
		return c.Source
	}
	return c.Image
}

// source looks at the image on the other host.
func (c *dockerImage) source(ctx context.Context, h remote.Host) (v dockerThere, err error) {
	e, err := docker.Look(ctx, h)
	if err != nil {
		return v, err
	}
	defer e.Close()
	return c.sourceAt(ctx, e, h)
}

func (c *dockerImage) sourceAt(ctx context.Context, e *docker.Engine, h remote.Host) (v dockerThere, err error) {
	if v.ImageInspectResult, err = e.ImageInspect(ctx, c.sourceName()); err != nil {
		return v, fmt.Errorf("image %s on %s: %w", c.sourceName(), h.Name, err)
	}
	if !dockerIs(v.ImageInspectResult, c.Digest) {
		return v, fmt.Errorf("image %s on %s is %s, not %s as the plan says", c.sourceName(), h.Name, dockerShort(v.ID), c.Digest)
	}
	v.Footprint, err = e.Footprint(ctx, v.ImageInspectResult)
	return v, err
}

// dockerIs tells whether an image is the one of the digest: by its ID, or by
// what a registry calls it.
func dockerIs(v client.ImageInspectResult, digest string) bool {
	return digest == "" || v.ID == digest ||
		slices.ContainsFunc(v.RepoDigests, func(r string) bool { return strings.HasSuffix(r, "@"+digest) })
}

// dockerInspect is an image by name or ID; there is false when there is none.
func dockerInspect(ctx context.Context, e *docker.Engine, name string) (v client.ImageInspectResult, there bool, err error) {
	v, err = e.ImageInspect(ctx, name)
	if dockerGone(err) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("image %s: %w", name, err)
	}
	return v, true, nil
}

// dockerImaged is remembered: what had the name before, and what has it now.
type dockerImaged struct {
	Former string   `json:"former,omitempty"` // ID of the image that had the name; "" when none had
	Alias  string   `json:"alias,omitempty"`  // under which that one is kept
	Own    bool     `json:"own,omitempty"`    // the alias was made by this step
	New    string   `json:"new,omitempty"`    // ID on this host
	Had    bool     `json:"had,omitempty"`    // the new image was here before, under whatever name
	Layers []string `json:"layers,omitempty"`

	Coming dockerContent `json:"coming,omitzero"` // what is on its way; its ID here is known once it is loaded

	Done   bool `json:"done,omitempty"`
	Undone bool `json:"undone,omitempty"`
}

const dockerImageKey = "image"

func (c *dockerImage) remembered(e Env) (rec dockerImaged, found bool, err error) {
	if e.Memory == nil {
		return rec, false, nil
	}
	found, err = e.Memory.Get(dockerImageKey, &rec)
	return rec, found && !rec.Undone, err
}

func (c *dockerImage) Pending(ctx context.Context, e Env) ([]Change, error) {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	now, there, err := dockerInspect(ctx, eng, c.Image)
	if err != nil {
		return nil, err
	}
	rec, _, err := c.remembered(e)
	if err != nil || there && rec.Done && now.ID == rec.New {
		return nil, err
	}
	if c.From != "" {
		return c.pendingFrom(ctx, e, eng, now, there)
	}
	if there && c.Digest != "" && dockerIs(now, c.Digest) {
		return nil, nil
	}
	return []Change{{Text: "pull " + c.pulled() + c.keeping(e, now, there), Cmd: remote.Quote("docker", "pull", c.pulled())}}, nil
}

func (c *dockerImage) pendingFrom(ctx context.Context, e Env, eng *docker.Engine, now client.ImageInspectResult, there bool) ([]Change, error) {
	from, err := dockerPeer(e, c.From)
	if err != nil {
		return nil, err
	}
	src, err := c.source(ctx, from)
	if dockerLater(err) {
		return []Change{{Text: fmt.Sprintf("bring image %s from %s, which does not have it yet", c.Image, c.From)}}, nil
	}
	if err != nil {
		return nil, err
	}
	if there && dockerSame(now, src.ImageInspectResult) {
		return nil, nil
	}
	if _, here, err := dockerFindSame(ctx, eng, src.ImageInspectResult); err != nil {
		return nil, err
	} else if here {
		return []Change{{Text: fmt.Sprintf("call image %s, which is here already, %s", dockerShort(src.ID), c.Image) + c.keeping(e, now, there)}}, nil
	}
	if _, err := c.room(ctx, eng, e.Host, src); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("bring image %s (%s, %s) from %s", c.Image, dockerShort(src.ID), remote.FormatBytes(src.Sent), c.From)
	return []Change{{Text: text + c.keeping(e, now, there), Bytes: src.Sent}}, nil
}

func (c *dockerImage) keeping(e Env, now client.ImageInspectResult, there bool) string {
	if !there {
		return ""
	}
	return fmt.Sprintf("; %s, which has the name now, is kept as %s", dockerShort(now.ID), c.alias(e))
}

// pulled is what the registry is asked for.
func (c *dockerImage) pulled() string {
	if c.Digest == "" {
		return c.Image
	}
	return dockerRepo(c.Image) + "@" + c.Digest
}

func (c *dockerImage) alias(e Env) string {
	if c.Keep != "" {
		return c.Keep
	}
	return dockerRepo(c.Image) + ":" + dockerAliasTag(e.ID)
}

// dockerRepo is an image's name without tag and digest.
func dockerRepo(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i]
	}
	return image
}

// dockerAliasTag is a tag of at most 128 letters (the engine's limit) that no
// other step uses.
func dockerAliasTag(id string) string {
	tag := "before-" + id
	if len(tag) <= 128 {
		return tag
	}
	sum := sha256.Sum256([]byte(id))
	return tag[:100] + "-" + hex.EncodeToString(sum[:8])
}

// dockerPullMeter counts layers in what `docker pull` prints to no terminal.
type dockerPullMeter struct {
	log         io.Writer
	say         func(Progress)
	image       string
	part        []byte
	done, total int64
}

func (m *dockerPullMeter) Write(p []byte) (int, error) {
	m.part = append(m.part, p...)
	for {
		i := bytes.IndexByte(m.part, '\n')
		if i < 0 {
			break
		}
		_, what, _ := strings.Cut(string(m.part[:i]), ": ")
		switch strings.TrimSpace(what) {
		case "Pulling fs layer":
			m.total++
		case "Already exists":
			m.total++
			m.done++
		case "Pull complete":
			m.done++
		}
		m.part = m.part[i+1:]
	}
	if m.total > 0 {
		m.say(Progress{Done: m.done, Total: m.total, Unit: "layers", Text: "pull " + m.image})
	}
	return m.log.Write(p)
}

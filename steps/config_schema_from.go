package steps

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"belay/remote"
	"belay/steps/docker"
)

// config reads the configuration.
func (c *configSchema) config(ctx context.Context, h remote.Host) ([]byte, error) {
	b, err := configRead(ctx, h, c.Config)
	if err != nil {
		err = fmt.Errorf("configuration %s: %w; nothing was changed", c.Config, err)
	}
	return b, err
}

// configRead reads a file of the host, up to the limit.
func configRead(ctx context.Context, h remote.Host, name string) ([]byte, error) {
	cmd := remote.Sh(`[ -f "$1" ] || { echo "it is no file" >&2; exit 1; }; head -c "$2" <"$1"`, name, fmt.Sprint(configMost+1))
	cmd.Pure = true
	return configBounded(remote.Output(ctx, h, cmd))
}

func configBounded(b []byte, err error) ([]byte, error) {
	if err == nil && len(b) > configMost {
		err = fmt.Errorf("it is larger than %s", remote.FormatBytes(configMost))
	}
	return b, err
}

// configFetch has the host fetch a URL, following to nothing but HTTP.
const configFetch = `f() {
	if command -v curl >/dev/null 2>&1; then
		curl -fsSL --proto =http,https --proto-redir =http,https --max-redirs 5 --connect-timeout 15 --max-time 60 "$1"
	else
		wget -q -T 30 -O - "$1"
	fi
}
{ r=$( { { f "$1" 3>&-; echo $? >&3; } | { head -c "$2" >&4; cat >/dev/null; }; } 3>&1 ); } 4>&1
exit "$r"`

// look returns the schema and its sum without changing anything. Of an image it
// is the image's ID alone, and "" while that is not here.
func (c *configSchema) look(ctx context.Context, e Env) (by string, schema []byte, err error) {
	switch from := c.Schema; {
	case from.File != "":
		schema, err = configRead(ctx, e.Host, from.File)
	case from.URL != "":
		cmd := remote.Sh(configFetch, from.URL, fmt.Sprint(configMost+1))
		cmd.Pure = true
		schema, err = configBounded(remote.Output(ctx, e.Host, cmd))
		if err == nil && len(schema) == 0 {
			err = errors.New("the host got nothing")
		}
	default:
		eng, err := docker.Look(ctx, e.Host)
		if err != nil {
			return "", nil, err
		}
		defer eng.Close()
		v, _, err := dockerInspect(ctx, eng, from.Image)
		return v.ID, nil, err
	}
	if err != nil {
		return "", nil, fmt.Errorf("schema %s: %w; nothing was changed", c.Schema, err)
	}
	return configSum(schema), schema, nil
}

// fetch returns the schema, also out of an image.
func (c *configSchema) fetch(ctx context.Context, e Env) (by string, schema []byte, err error) {
	if c.Schema.Image == "" {
		return c.look(ctx, e)
	}
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return "", nil, err
	}
	defer eng.Close()
	v, there, err := dockerInspect(ctx, eng, c.Schema.Image)
	if err == nil && !there {
		err = fmt.Errorf("image %s is not on %s: a step before this one must bring it", c.Schema.Image, e.Host.Name)
	}
	if err != nil {
		return "", nil, err
	}
	if err := configRemove(ctx, eng, configBox(e)); err != nil {
		return "", nil, err
	}
	made, err := eng.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: configBox(e),
		// It is never started; a word is needed where the image has none.
		Config: &container.Config{Image: v.ID, Cmd: []string{"true"}, Labels: map[string]string{"belay": e.ID}},
	})
	if err != nil {
		return "", nil, fmt.Errorf("make a container of %s to read the schema from: %w; nothing was started", c.Schema.Image, err)
	}
	schema, err = configTake(ctx, eng, made.ID, c.Schema.Path)
	// Also when the run is ended meanwhile: nothing of ours shall stay.
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer stop()
	err = errors.Join(err, configRemove(late, eng, made.ID))
	if err != nil {
		return "", nil, fmt.Errorf("schema %s: %w", c.Schema, err)
	}
	return v.ID, schema, nil
}

// configBox is the name of the container, the same on every attempt.
func configBox(e Env) string { return "belay-schema-" + e.ID }

func configRemove(ctx context.Context, eng *docker.Engine, id string) error {
	_, err := eng.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !dockerGone(err) {
		return fmt.Errorf("remove the container that the schema was read from: %w", err)
	}
	return nil
}

// configTake reads one file of a container, through links that may lead to it.
func configTake(ctx context.Context, eng *docker.Engine, id, name string) ([]byte, error) {
	for range 8 {
		b, link, err := configTakeOnce(ctx, eng, id, name)
		if err != nil || link == "" {
			return b, err
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(name), link)
		}
		name = link
	}
	return nil, errors.New("too many symbolic links")
}

func configTakeOnce(ctx context.Context, eng *docker.Engine, id, name string) (b []byte, link string, err error) {
	got, err := eng.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: name})
	if dockerGone(err) {
		return nil, "", fmt.Errorf("the image has no %s", name)
	}
	if err != nil {
		return nil, "", err
	}
	defer got.Content.Close()
	t := tar.NewReader(io.LimitReader(got.Content, configMost+64<<10))
	h, err := t.Next()
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("%s: %w", name, err)
	case h.Typeflag == tar.TypeSymlink:
		return nil, h.Linkname, nil
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeLink:
		return nil, "", fmt.Errorf("%s is no file", name)
	case h.Size > configMost:
		return nil, "", fmt.Errorf("%s is larger than %s", name, remote.FormatBytes(configMost))
	}
	b, err = io.ReadAll(t)
	return b, "", err
}

// clear removes a container that an attempt left when belay was ended.
func (c *configSchema) clear(ctx context.Context, e Env) error {
	if c.Schema.Image == "" {
		return nil
	}
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	return configRemove(ctx, eng, configBox(e))
}

package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/moby/moby/client"

	"belay/steps/docker"
)

// dockerThere is an image on another host, and what it takes there.
type dockerThere struct {
	client.ImageInspectResult
	docker.Footprint
}

// dockerContent is what makes an image the same one on every engine. Its ID is
// not: an engine with a store of its own calls it by its configuration, and one
// that uses containerd's by its manifest.
type dockerContent struct {
	Layers   []string        `json:"layers,omitempty"`
	Platform string          `json:"platform,omitempty"`
	Created  string          `json:"created,omitempty"`
	Config   json.RawMessage `json:"config,omitempty"`
}

func dockerContentOf(v client.ImageInspectResult) dockerContent {
	c := dockerContent{Layers: v.RootFS.Layers, Platform: v.Os + "/" + v.Architecture, Created: v.Created}
	// What containers start with; images that are built to be reproducible have
	// the same Created and may have the same layers.
	c.Config, _ = json.Marshal(v.Config) // of plain values: never fails
	return c
}

func (c dockerContent) equal(d dockerContent) bool {
	return len(c.Layers) > 0 && slices.Equal(c.Layers, d.Layers) && c.Platform == d.Platform && c.Created == d.Created &&
		bytes.Equal(c.Config, d.Config)
}

// dockerSame compares two images of different engines: equal IDs, or equal
// content where a store of another kind has given it another ID.
func dockerSame(a, b client.ImageInspectResult) bool {
	return a.ID == b.ID || dockerContentOf(a).equal(dockerContentOf(b))
}

// dockerFindSame finds an image of another host on this engine, under whatever ID
// and name, with all that containers need of it.
func dockerFindSame(ctx context.Context, e *docker.Engine, src client.ImageInspectResult) (v client.ImageInspectResult, there bool, err error) {
	if v, there, err = dockerInspect(ctx, e, src.ID); err != nil || there {
		if there {
			there, err = dockerLaid(ctx, e, v)
		}
		return v, there, err
	}
	same, err := dockerAlike(ctx, e, dockerContentOf(src))
	for _, v := range same {
		if there, err := dockerLaid(ctx, e, v); there || err != nil {
			return v, there, err
		}
	}
	return v, false, err
}

// dockerLaid tells whether the files of an image are there.
func dockerLaid(ctx context.Context, e *docker.Engine, v client.ImageInspectResult) (bool, error) {
	f, err := e.Footprint(ctx, v)
	return err == nil && (f.Laid > 0 || len(v.RootFS.Layers) == 0 && v.Created != ""), err
}

// dockerAlike are the engine's images with that content.
func dockerAlike(ctx context.Context, e *docker.Engine, c dockerContent) (same []client.ImageInspectResult, err error) {
	if len(c.Layers) == 0 {
		return nil, nil
	}
	all, err := e.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, fmt.Errorf("the Docker engine: %w", err)
	}
	for _, image := range all.Items {
		v, there, err := dockerInspect(ctx, e, image.ID)
		if err != nil {
			return nil, err
		}
		if there && c.equal(dockerContentOf(v)) {
			same = append(same, v)
		}
	}
	return same, nil
}

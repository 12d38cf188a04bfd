package docker

import (
	"context"
	"fmt"

	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
)

// Footprint is what an image takes on its engine, in bytes.
type Footprint struct {
	Sent int64 // about what `docker save` writes of it
	Laid int64 // its files, ready for containers; 0 if they are not there (yet)
}

// Footprint measures an image of the engine. One that keeps its images in
// containerd's store has each as it came, packed as a rule, and beside it the
// files that were unpacked from that. There an image can be known by its ID
// while files are missing: `docker load` of Engine 28 says "Error unpacking
// image" of one for which there was no room, and ends well.
func (e *Engine) Footprint(ctx context.Context, v client.ImageInspectResult) (Footprint, error) {
	own, err := e.OwnStore(ctx)
	switch {
	case err != nil || own || older(e.API, "1.44"): // before Engine 25 nothing tells the two apart
		return Footprint{Sent: v.Size, Laid: v.Size}, err
	case older(e.API, "1.48"):
		return e.listed(ctx, v)
	}
	if v, err = e.ImageInspect(ctx, v.ID, client.ImageInspectWithManifests(true)); err != nil {
		return Footprint{}, fmt.Errorf("image %.19s: %w", v.ID, err)
	}
	var f Footprint
	for _, m := range v.Manifests { // one a platform, and what else the image comes with
		f.Sent += m.Size.Content
		if m.Kind == image.ManifestKindImage && m.ImageData != nil && m.Available {
			f.Laid += m.ImageData.Size.Unpacked
		}
	}
	if len(v.Manifests) == 0 {
		f = Footprint{Sent: v.Size, Laid: v.Size}
	}
	return f, nil
}

// listed measures by Engine 25 to 27's list, whose size is of both, where the
// image itself tells only what it is packed.
func (e *Engine) listed(ctx context.Context, v client.ImageInspectResult) (Footprint, error) {
	all, err := e.ImageList(ctx, client.ImageListOptions{All: true})
	if err != nil {
		return Footprint{}, fmt.Errorf("the Docker engine: %w", err)
	}
	f := Footprint{Sent: v.Size}
	for _, image := range all.Items {
		if image.ID == v.ID {
			f.Laid = max(f.Laid, image.Size-v.Size)
		}
	}
	return f, nil
}

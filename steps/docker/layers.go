package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Shared counts the first layers (by their SHA-256, the lowest first) that some
// image of the engine begins with, too. An engine with its own store loads an
// image without the files of these: it asks for a layer's file only when it has
// no layer with that chain below it (moby, image/tarexport/load.go, Load).
func (e *Engine) Shared(ctx context.Context, layers []string) (int, error) {
	all, err := e.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return 0, fmt.Errorf("the Docker engine: %w", err)
	}
	most := 0
	for _, image := range all.Items {
		v, err := e.ImageInspect(ctx, image.ID)
		if cerrdefs.IsNotFound(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return 0, fmt.Errorf("image %.19s: %w", image.ID, err)
		}
		n := 0
		for n < len(layers) && n < len(v.RootFS.Layers) && layers[n] == v.RootFS.Layers[n] {
			n++
		}
		if most = max(most, n); most == len(layers) {
			break
		}
	}
	return most, nil
}

// layerFiles is what `docker save` calls the files of the first shared layers:
// since Engine 25 by the layer (blobs/sha256/…), before by an ID that is made of
// all layers up to it. A layer that comes a second time further up is not among
// them: its file serves both.
func layerFiles(layers []string, shared int) []string {
	var files []string
	chain, id := "", ""
	for i, layer := range layers[:shared] {
		if chain == "" {
			chain = layer
		} else {
			chain = digest(chain + " " + layer)
		}
		id = legacyID(chain, id)
		if slices.Contains(layers[shared:], layer) {
			continue
		}
		files = append(files, "blobs/sha256/"+strings.TrimPrefix(layer, "sha256:"))
		if i < len(layers)-1 { // the highest one's is made of the configuration, too
			files = append(files, strings.TrimPrefix(id, "sha256:")+"/layer.tar")
		}
	}
	return files
}

// legacyID is the ID of a layer below the highest as moby has it in
// image/v1/imagev1.go, CreateID: of JSON with the keys in order, where everything
// but layer and parent is empty.
func legacyID(chain, parent string) string {
	const empty = `{"container_config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,` +
		`"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,` +
		`"OnBuild":null,"Labels":null},"created":"1970-01-01T00:00:00Z","layer_id":"`
	text := empty + chain + `"`
	if parent != "" {
		text += `,"parent":"` + parent + `"`
	}
	return digest(text + "}")
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

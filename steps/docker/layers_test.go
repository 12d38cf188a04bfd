package docker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLayerFiles(t *testing.T) {
	// What Engine 20.10 called the lower layer of an image when it saved it.
	const lower = "sha256:aec338499e4c491c899689110bf37bdef0e72a620b75f71fa1d41c80705078f1"
	const file = "7b9b52e325e2df3463d2dc92a858674e8a40834cab54f59e5ff0e7adfad5527a/layer.tar"
	blob := func(s string) string { return "blobs/sha256/" + s[len("sha256:"):] }
	for _, c := range []struct {
		layers []string
		shared int
		want   []string
	}{
		{[]string{lower, "sha256:b"}, 0, nil},
		{[]string{lower, "sha256:b"}, 1, []string{blob(lower), file}},
		{[]string{lower, "sha256:b"}, 2, []string{blob(lower), file, "blobs/sha256/b"}},
		{[]string{lower, lower}, 1, nil},
	} {
		if d := cmp.Diff(c.want, layerFiles(c.layers, c.shared)); d != "" {
			t.Errorf("%d of %q: %s", c.shared, c.layers, d)
		}
	}
	if a, b := layerFiles([]string{lower, "sha256:b", "sha256:c"}, 2), layerFiles([]string{"sha256:a", "sha256:b", "sha256:c"}, 2); a[3] == b[3] || a[2] != b[2] {
		t.Errorf("what is below makes no difference: %q, %q", a, b)
	}
}

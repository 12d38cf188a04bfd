// Package shipped holds the plan files that come with belay: the demo's, and
// those that `belay init --example NAME` writes as a first draft of one's own.
package shipped

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Names lists the plans, sorted: "demo", "stoat-to-fluxer".
func Names() []string {
	found, err := fs.Glob(files, "*.yaml")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for i, name := range found {
		found[i] = strings.TrimSuffix(name, ".yaml")
	}
	return found
}

// Read returns the plan of that name, byte for byte.
func Read(name string) ([]byte, error) {
	b, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no plan called %q is shipped with belay; there are %s", name, strings.Join(Names(), ", "))
	}
	return b, nil
}

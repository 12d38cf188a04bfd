package docker

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"belay/remote"
)

// PackScript is shell for both ends of a relay: pack and unpack, and offer and
// accept, by which the sending end judges whether packing is worth it and tells
// the other one.
//
//go:embed pack.sh
var PackScript string

// Tools are programs that some hosts have in common.
type Tools struct {
	Pack string // for offer: try-zstd, try-gzip or none
	Sum  string // b2sum (from coreutils 8.26), three times as fast where a processor knows no SHA; else sha256sum
}

// Common finds the best tools that all of the hosts have.
func Common(ctx context.Context, hosts ...remote.Host) (Tools, error) {
	said := make([]string, len(hosts))
	g, ctx := errgroup.WithContext(ctx)
	for i, h := range hosts {
		g.Go(func() error {
			c := remote.Sh(`for p in zstd gzip b2sum; do command -v "$p" >/dev/null && echo "$p"; done; :`)
			c.Pure = true
			out, err := remote.Output(ctx, h, c)
			if err != nil {
				return fmt.Errorf("%s: %w", h.Name, err)
			}
			said[i] = string(out)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Tools{}, err
	}
	count := map[string]int{}
	for _, out := range said {
		for p := range strings.FieldsSeq(out) {
			count[p]++
		}
	}
	t := Tools{Pack: "none", Sum: "sha256sum"}
	switch len(hosts) {
	case count["zstd"]:
		t.Pack = "try-zstd"
	case count["gzip"]:
		t.Pack = "try-gzip"
	}
	if count["b2sum"] == len(hosts) {
		t.Sum = "b2sum"
	}
	return t, nil
}

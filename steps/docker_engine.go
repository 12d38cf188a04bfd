package steps

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

// dockerNeed is the assessment that the docker kinds rely on: the engine of a
// host can be reached, and what else a kind asks of it.
type dockerNeed struct {
	on  string
	key string
	// judge may be nil. An error is what stands in the way; the text is for
	// the good case.
	judge func(ctx context.Context, w checks.World, e *docker.Engine, h remote.Host) (string, error)
}

// CheckName is what the findings are called by.
func (n *dockerNeed) CheckName() string { return "docker" }

// Assess looks at the engine through its API.
func (n *dockerNeed) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	f := checks.Finding{Check: n.CheckName(), Key: n.key, Host: n.on}
	h, ok := w.Hosts[n.on]
	if !ok || h.Runner == nil {
		f.Text, f.Fix = fmt.Sprintf("not judged: host %q was not reached", n.on), "re-check"
		return []checks.Finding{f}, nil
	}
	e, err := docker.Look(ctx, h)
	if err != nil {
		_, lost := errors.AsType[*remote.UnreachableError](err)
		f.Text = checks.OneLine(err.Error(), 300)
		f.Fix = "start the engine, or let the login use it (group docker, or sudo: true for the host)"
		if !lost && ctx.Err() == nil {
			f.Level = checks.Block
		}
		return []checks.Finding{f}, nil
	}
	defer e.Close()
	f.Level, f.Text = checks.Pass, fmt.Sprintf("Docker engine %s answers (API %s, by %s)", e.Version, e.API, e.Road)
	if n.judge != nil {
		text, err := n.judge(ctx, w, e, h)
		if err != nil {
			f.Level, f.Text, f.Fix = checks.Block, checks.OneLine(err.Error(), 300), "see the text"
		} else if text != "" {
			f.Text = text
		}
	}
	return []checks.Finding{f}, nil
}

// dockerFree is the room, in bytes, where the engine keeps its data.
func dockerFree(ctx context.Context, e *docker.Engine, h remote.Host) (int64, string, error) {
	info, err := e.Info(ctx, client.InfoOptions{})
	if err != nil {
		return 0, "", fmt.Errorf("engine of %s: %w", h.Name, err)
	}
	dir := info.Info.DockerRootDir
	n, err := dockerRoom(ctx, h, dir)
	return n, dir, err
}

// dockerRoom is the room at dir, or at the nearest directory above that can be
// seen.
func dockerRoom(ctx context.Context, h remote.Host, dir string) (int64, error) {
	c := remote.Sh(`p=$1
while ! df -kP "$p" >/dev/null 2>&1; do case $p in /*/*) p=${p%/*} ;; *) p=/; break ;; esac; done
LC_ALL=C df -kP "$p" | awk 'NR == 2 { print $4 }'`, dir)
	c.Pure = true
	out, err := remote.Output(ctx, h, c)
	if err != nil {
		return 0, fmt.Errorf("room at %s of %s: %w", dir, h.Name, err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil || kib < 0 || kib > 1<<52 {
		return 0, fmt.Errorf("room at %s of %s: unexpected answer %.100q", dir, h.Name, out)
	}
	return kib << 10, nil
}

// dockerGone tells an object that is not there from an engine that does not
// answer.
func dockerGone(err error) bool { return cerrdefs.IsNotFound(err) }

// dockerPeer is another host of the plan.
func dockerPeer(e Env, name string) (remote.Host, error) {
	h, ok := e.Hosts[name]
	if !ok {
		return remote.Host{}, fmt.Errorf("host %q is not of this plan", name)
	}
	return h, nil
}

// dockerShort is an ID as people know it.
func dockerShort(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

// dockerConflict is the engine's no for something that is in use.
func dockerConflict(err error) bool { return cerrdefs.IsConflict(err) }

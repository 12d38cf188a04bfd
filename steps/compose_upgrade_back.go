package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"go.yaml.in/yaml/v3"

	"belay/remote"
	"belay/steps/docker"
)

// Undo goes back to the images that ran before.
func (c *composeUpgrade) Undo(ctx context.Context, e Env) error {
	rec, found, err := c.remembered(e)
	if err != nil || !found {
		return err
	}
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	if err := c.back(ctx, e, eng, rec); err != nil {
		return err
	}
	for _, svc := range slices.Sorted(maps.Keys(rec.Ran)) {
		if err := dockerUntag(ctx, e, eng, rec.Ran[svc].Alias, true); err != nil {
			return err
		}
	}
	return e.Memory.Put(composeUpgradeKey, composeUpgraded{})
}

// back makes every service run its old image. It needs the compose files as
// they are now, and no registry.
func (c *composeUpgrade) back(ctx context.Context, e Env, eng *docker.Engine, rec composeUpgraded) error {
	if err := c.retag(ctx, e, eng, rec); err != nil {
		return err
	}
	all, err := docker.Containers(ctx, e.Host, rec.Project)
	if err != nil {
		return err
	}
	v := composeView{containers: all}
	var fresh, again, ran []string
	for _, svc := range rec.Fresh {
		for _, x := range v.of(svc) {
			fresh = append(fresh, x.ID)
		}
	}
	for _, svc := range slices.Sorted(maps.Keys(rec.Ran)) {
		if !rec.Ran[svc].Stopped {
			ran = append(ran, svc)
		}
		have := v.of(svc)
		if len(have) == 0 || slices.ContainsFunc(have, func(x docker.Container) bool {
			return x.Image != rec.Ran[svc].Image || !rec.Ran[svc].Stopped && !x.Running()
		}) {
			again = append(again, svc)
		}
	}
	if len(fresh) > 0 {
		networks, err := docker.Networks(ctx, e.Host, rec.Project)
		if err != nil {
			return err
		}
		if err := composeRemove(ctx, e, fresh, rec.Project, networks); err != nil {
			return err
		}
	}
	if err := c.still(ctx, e, rec, v, again); err != nil || len(again) == 0 {
		return err
	}
	idle := slices.DeleteFunc(slices.Clone(again), func(s string) bool { return !rec.Ran[s].Stopped })
	ran = slices.DeleteFunc(ran, func(s string) bool { return !slices.Contains(again, s) })
	if err := c.override(ctx, e, rec, ran, "-d"); err != nil {
		return err
	}
	// What did not run is made and not started: it may be a job that must not
	// run a second time.
	if err := c.override(ctx, e, rec, idle, "--no-start"); err != nil {
		return err
	}
	w := &composeWait{services: ran, mayFail: c.MayFail, limit: time.Duration(c.Wait), settle: composeSettles(c.Settle, c.Wait)}
	if err := w.wait(ctx, e, rec.Project); err != nil {
		return fmt.Errorf("the old images run again, but: %w", err)
	}
	return c.old(ctx, e, rec)
}

// still stops what did not run before and runs its old image now: `up` started
// it. What is made anew is not started anyway.
func (c *composeUpgrade) still(ctx context.Context, e Env, rec composeUpgraded, v composeView, again []string) error {
	var ids []string
	for svc, r := range rec.Ran {
		for _, x := range v.of(svc) {
			if r.Stopped && !slices.Contains(again, svc) && (x.Running() || x.State == "restarting") {
				ids = append(ids, x.ID)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	cmd := remote.Sh(`t=$1; shift; docker stop -t "$t" "$@"`, append([]string{fmt.Sprint(int(time.Duration(c.Grace).Seconds()))}, ids...)...)
	cmd.Stdout, cmd.Stderr = e.Log, e.Log
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("project %s: stop what did not run before: %w", rec.Project, err)
	}
	return nil
}

// retag gives the names back to the images that had them, where an upgrade has
// moved a name such as latest.
func (c *composeUpgrade) retag(ctx context.Context, e Env, eng *docker.Engine, rec composeUpgraded) error {
	for _, svc := range slices.Sorted(maps.Keys(rec.Ran)) {
		r := rec.Ran[svc]
		if !composeMoves(r.Name, r.Image) {
			continue
		}
		now, there, err := dockerInspect(ctx, eng, r.Name)
		if err != nil {
			return err
		}
		if there && now.ID == r.Image {
			continue
		}
		if fresh := rec.New[svc]; there && fresh != "" && now.ID != fresh {
			return fmt.Errorf("%s is the name of image %s now, which is neither what ran before nor what this step brought: somebody else changed it. Nothing was changed; what ran before is %s",
				r.Name, dockerShort(now.ID), r.Alias)
		}
		if _, err := eng.ImageTag(ctx, client.ImageTagOptions{Source: r.Alias, Target: r.Name}); err != nil {
			return fmt.Errorf("call image %s %s again: %w", r.Alias, r.Name, err)
		}
		fmt.Fprintf(e.Log, "%s is %s again\n", r.Name, r.Image)
	}
	return nil
}

// composeBackName is how the override's name begins. Compose writes the names
// of all its files into the labels of what it makes.
const composeBackName = "belay-back."

// composeBackScript takes the override from stdin, $1 the directory, and runs
// the words with its name instead of @.
const composeBackScript = `cd "$1" && shift || exit 1
umask 077
d=$(mktemp -d) || exit 1
f=$d/belay-back.yml
trap 'rm -rf "$d"' EXIT
trap 'exit 1' HUP INT TERM
cat >"$f" || exit 1
n=$#
while [ "$n" -gt 0 ]; do
	a=$1
	shift
	[ "$a" != @ ] || a=$f
	set -- "$@" "$a"
	n=$((n - 1))
done
"$@" </dev/null`

// override makes services anew with their old images, whatever the files say.
// They keep the rest of their configuration as it is in the files now. how is
// the word of `up` that starts them or not.
func (c *composeUpgrade) override(ctx context.Context, e Env, rec composeUpgraded, services []string, how string) error {
	if len(services) == 0 {
		return nil
	}
	v, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	images, err := composeImages(ctx, e, v)
	if err != nil {
		return err
	}
	args := []string{"up", how, "--no-deps", "--no-build", "-t", fmt.Sprint(int(time.Duration(c.Grace).Seconds()))}
	if !v.compose.V1 {
		args = append(args, "--pull", "never")
	}
	args = append(args, services...)
	over := map[string]any{}
	for _, svc := range services {
		if r := rec.Ran[svc]; images[svc] != r.Name {
			name := r.Name
			if !composeMoves(name, r.Image) {
				name = r.Alias
			}
			over[svc] = map[string]any{"image": name}
		}
	}
	if len(over) == 0 {
		return composeRun(ctx, e, v, args...)
	}
	return c.overriding(ctx, e, v, rec, over, args)
}

func (c *composeUpgrade) overriding(ctx context.Context, e Env, v composeView, rec composeUpgraded, over map[string]any, args []string) error {
	p := v.project
	if len(p.Files) == 0 {
		p.Files = rec.Files
	}
	if len(p.Files) == 0 {
		return fmt.Errorf("project %s: no container tells which compose files it was made from; name them with file, and retry. The old images are kept", rec.Project)
	}
	file := map[string]any{"services": over}
	if v.compose.V1 { // all files must have the same version there
		if version := composeVersion(ctx, e, p); version != "" {
			file["version"] = version
		}
	}
	b, err := json.Marshal(file) // which is YAML
	if err != nil {
		return err
	}
	p.Files = append(slices.Clone(p.Files), "@")
	words := v.compose.Cmd(p, args...).Argv[5:]
	cmd := remote.Sh(composeBackScript, append([]string{p.Dir}, words...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(b)), e.Log, e.Log
	fmt.Fprintf(e.Log, "$ cd %s && %s\n(@ is %s)\n", remote.Quote(p.Dir), remote.Quote(words...), b)
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("project %s: up with the old images: %w", rec.Project, err)
	}
	return nil
}

// composeVersion is what the first file says of its version; "" when nothing.
func composeVersion(ctx context.Context, e Env, p docker.Project) string {
	f := p.Files[0]
	if !path.IsAbs(f) {
		f = path.Join(p.Dir, f)
	}
	b, err := remote.ReadFile(ctx, e.Host, f)
	if err != nil {
		return ""
	}
	var v struct {
		Version string `yaml:"version"`
	}
	if yaml.Unmarshal(b, &v) != nil {
		return ""
	}
	return v.Version
}

// old proves that the old images run.
func (c *composeUpgrade) old(ctx context.Context, e Env, rec composeUpgraded) error {
	all, err := docker.Containers(ctx, e.Host, rec.Project)
	if err != nil {
		return err
	}
	for _, x := range all {
		if r, ok := rec.Ran[x.Service]; ok && x.Image != r.Image {
			return fmt.Errorf("%s runs image %s, and before the upgrade it was %s", x.Name, dockerShort(x.Image), dockerShort(r.Image))
		}
	}
	return nil
}

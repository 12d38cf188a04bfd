package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"belay/remote"
)

// kept is the directory on a host for what must be put back some day. Objects
// may hold secrets, so they lie there, for the login alone, and nowhere else.
const kept = `d=${HOME:-/nonexistent}/.local/state
case ${XDG_STATE_HOME:-} in /*) d=$XDG_STATE_HOME ;; esac
d=$d/belay/kubernetes
`

// Keep stores data under a name ([A-Za-z0-9._-]) on the host, mode 0600.
func Keep(ctx context.Context, h remote.Runner, name string, data []byte) error {
	c := remote.Sh(kept + `(umask 077 && mkdir -p "$d") || exit 1
[ ! -L "$d" ] && [ -O "$d" ] || { echo "$d is a link or belongs to someone else" >&2; exit 1; }
printf %s "$d"`)
	dir, err := remote.Output(ctx, h, c)
	if err != nil {
		return fmt.Errorf("keep what is there before: %w", err)
	}
	return remote.WriteFile(ctx, h, string(dir)+"/"+name, data, 0o600)
}

// Kept reads what Keep stored.
func Kept(ctx context.Context, h remote.Runner, name string) ([]byte, error) {
	c := remote.Sh(kept+`exec cat -- "$d/$1"`, name)
	c.Pure = true
	b, err := remote.Output(ctx, h, c)
	if err != nil {
		return nil, fmt.Errorf("what was kept of before: %w", err)
	}
	return b, nil
}

// Drop removes what Keep stored.
func Drop(ctx context.Context, h remote.Runner, name string) error {
	return h.Run(ctx, remote.Sh(kept+`rm -f -- "$d/$1"`, name))
}

// Versions are the minor versions of kubectl and of the server: "1.34".
func (k Kubectl) Versions(ctx context.Context, h remote.Runner) (client, server Version, err error) {
	out, err := k.Look(ctx, h, nil, "version", "-o", "json")
	if err != nil {
		return client, server, err
	}
	all, err := Decode(out)
	if err != nil || len(all) != 1 {
		return client, server, errors.Join(err, fmt.Errorf("kubectl version: unexpected answer %.100q", out))
	}
	return version(all[0], "clientVersion"), version(all[0], "serverVersion"), nil
}

// Version is 1.34 of Kubernetes.
type Version struct{ Major, Minor int }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func version(o Object, key string) (v Version) {
	_, _ = fmt.Sscan(o.Text(key, "major"), &v.Major)
	_, _ = fmt.Sscan(strings.TrimRight(o.Text(key, "minor"), "+"), &v.Minor) // "32+" of some distributions
	return v
}

// Allowed asks whether the login may do verb to a resource
// ("deployments.apps", "pods/log").
func (k Kubectl) Allowed(ctx context.Context, h remote.Runner, verb, resource string) (bool, error) {
	args := []string{"auth", "can-i", verb}
	if kind, sub, ok := strings.Cut(resource, "/"); ok {
		args = append(args, kind, "--subresource="+sub)
	} else {
		args = append(args, resource)
	}
	out, err := k.Look(ctx, h, nil, args...)
	answer, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ") // "no - why"
	switch {
	case answer == "yes":
		return true, nil
	case answer == "no":
		return false, nil
	case err == nil:
		err = fmt.Errorf("kubectl auth can-i: unexpected answer %.100q", out)
	}
	return false, err
}

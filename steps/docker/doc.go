// Package docker is what a Docker engine and its Compose can do for a step.
//
// Open and Look reach a host's engine through its API, by the maintained
// client (github.com/moby/moby/client), over the host's own connection: the
// engine's socket, or `docker system dial-stdio` where that is refused. Nothing
// listens on a network. Look refuses whatever could change something, so it is
// for Pending, Verify and checks:
//
//	e, err := docker.Look(ctx, host)
//	if err != nil { … }
//	defer e.Close()
//	c, err := e.ContainerInspect(ctx, "web", client.ContainerInspectOptions{})
//
// Compose, images that are pulled (with the credentials that the login has) and
// bulk bytes go by the command line over a remote.Runner.
//
// Containers of a project are found by the labels that Compose v1 and v2 both
// set, and read with `docker inspect`; the output of `docker compose ps`
// changed its form too often (https://github.com/docker/compose/issues/10958:
// one JSON list before v2.21, one object a line since).
package docker

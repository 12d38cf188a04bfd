// Package docker is what a Docker engine and its Compose can do for a step, by
// their command lines over a remote.Runner: find out which Compose there is,
// what containers a project has and how they are, and read their logs.
//
// Containers are found by the labels that Compose v1 and v2 both set, and read
// with `docker inspect`; the output of `docker compose ps` changed its form
// too often (https://github.com/docker/compose/issues/10958: one JSON list
// before v2.21, one object a line since).
package docker

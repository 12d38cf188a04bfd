package main

import (
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
)

// fluxerParts are the services of Fluxer's compose file.
var fluxerParts = strings.Fields("postgres cassandra redis minio meilisearch clamav api gateway media worker metrics docs marketing admin caddy")

// stoatServer is the server of scenario 1: Stoat Chat serves 8088 from a tmux
// session, nginx stands before it, and Fluxer waits in a git repository.
func stoatServer(t *testing.T) *dockerlab.Lab {
	t.Helper()
	files := dockerlab.Tree(t, "testdata/scenario1")
	l := dockerlab.Up(t, dockerlab.Server{Name: "chat", Docker: true, Files: files})
	l.Exec("chat", `cd /srv/fluxer && git init -q -b main . && git add -A &&
git -c user.name=lab -c user.email=lab@localhost commit -q -m "Fluxer" && git clone -q --bare . /srv/fluxer.git &&
/root/stoatchat/start.sh`)
	var tags []string
	for _, part := range fluxerParts {
		tags = append(tags, "ghcr.io/fluxerapp/"+part+":lab")
	}
	l.Standins("chat", tags...)
	return l
}

// served is what people see on the domain, through nginx.
func served(t *testing.T, l *dockerlab.Lab) string {
	t.Helper()
	return l.Exec("chat", "curl -kfsS --resolve chat.example.org:443:127.0.0.1 https://chat.example.org/")
}

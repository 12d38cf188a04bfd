package dockerlab

import (
	"fmt"
	"os/exec"
	"testing"
)

// CoAIProgram is the program remote/lab/dockerlab/coai, static, for
// Server.Files.
func CoAIProgram(t testing.TB) string {
	t.Helper()
	return string(build(t, "coai"))
}

// CoAI brings the program coai to a server's own engine, in the given versions,
// each as an image of its own: programzmh/chatnio:v1.8.0.
func (l *Lab) CoAI(name string, versions ...string) {
	l.t.Helper()
	program := build(l.t, "coai")
	args := []string{"save"}
	for _, v := range versions {
		image := coaiImage(l.t, program, v)
		tag := "programzmh/chatnio:v" + v
		docker(l.t, "tag", image, tag)
		args = append(args, tag)
	}
	save := exec.Command("docker", args...)
	load := exec.Command("docker", "exec", "-i", l.servers[name].container, "docker", "load")
	pipe, err := save.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	load.Stdin = pipe
	if err := save.Start(); err != nil {
		l.t.Fatal(err)
	}
	out, loadErr := load.CombinedOutput()
	if err := save.Wait(); err != nil || loadErr != nil {
		l.t.Fatalf("on %s: docker save | docker load: %v, %v, %s", name, err, loadErr, out)
	}
}

func coaiImage(t testing.TB, program []byte, version string) string {
	dockerfile := fmt.Sprintf("FROM scratch\nCOPY coai /bin/coai\nENV VERSION=%s\nENTRYPOINT [\"/bin/coai\"]\n", version)
	return recipe{name: "belay-lab-coai", files: map[string][]byte{"Dockerfile": []byte(dockerfile), "coai": program}}.build(t)
}

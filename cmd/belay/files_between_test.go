package main

import (
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
)

const betweenPlan = `belay: 1
name: uploads
hosts: {old: {}, new: {}}
prepare:
  - step: Copy the uploads
    files.sync: {from: {host: old, path: /srv/uploads}, to: {host: new, path: /srv/uploads}, live: true}
  - step: Users go on
    on: old
    run: {script: "cd /srv/uploads && echo changed >>big && echo new >new && rm gone", verify: "true"}
cutover:
  - step: Copy what has changed since
    files.sync: {from: {host: old, path: /srv/uploads}, to: {host: new, path: /srv/uploads}, delta: true, delete: true}
  - step: Prove them alike
    compare: {pairs: [{name: uploads, files: {old: {host: old, path: /srv/uploads}, new: {host: new, path: /srv/uploads}}}]}
`

// TestFilesBetweenServers copies between two machines that have no way to each
// other but belay's own connections, with rsync on both, on one, and on none;
// neither has a key of the other's before, meanwhile or afterwards.
func TestFilesBetweenServers(t *testing.T) {
	l := dockerlab.Up(t, dockerlab.Server{Name: "old"}, dockerlab.Server{Name: "new"})
	dir := t.TempDir()
	env := []string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real"}
	write(t, filepath.Join(dir, "plan.yaml"), betweenPlan)
	write(t, filepath.Join(dir, "answers.yaml"), labAnswers("old", "  - {question: close, choice: close, text: old}"))
	const keys = `find / -xdev \( -path /proc -o -path /sys \) -prune -o -type f \( -path '*/.ssh/*' -o -name 'id_*' -o -name 'ssh_host_*' \) -exec sha256sum {} + | sort; pgrep -c ssh-agent || :`
	before := l.Exec("old", keys) + l.Exec("new", keys)
	for _, road := range []struct{ name, prepare, said string }{
		{"rsync on both", ":", "rsync brought over, it sent"},
		{"rsync on one", "rm $(command -v rsync)", ""},
		{"rsync on neither", "rm $(command -v rsync)", ""},
	} {
		l.Exec("old", "rm -rf /srv/uploads; mkdir -p /srv/uploads/deep && cd /srv/uploads && head -c 3000000 /dev/urandom >big && echo a >'deep/with space' && ln -s big link && echo x >gone && chmod 640 big && chown 33:33 deep")
		l.Exec("new", "rm -rf /srv/uploads")
		switch road.name {
		case "rsync on one":
			l.Exec("old", road.prepare)
		case "rsync on neither":
			l.Exec("new", road.prepare)
		}
		code, out := belay(t, dir, env, "run", "plan.yaml", "--headless", "--answers", "answers.yaml")
		if code != exitClosed {
			t.Fatalf("%s: belay ended with %d:\n%s", road.name, code, out)
		}
		if logs, _ := filepath.Glob(filepath.Join(dir, "state", "runs", "*", "logs", "copy-what*")); len(logs) == 0 {
			t.Errorf("%s: no log of the delta pass", road.name)
		}
		const list = `cd /srv/uploads && find . -printf '%p %y %m %U %G %s %l %T@\n' | sort && sha256sum big new`
		if a, b := l.Exec("old", list), l.Exec("new", list); a != b || !strings.Contains(a, "./new f") {
			t.Errorf("%s: on old\n%son new\n%s", road.name, a, b)
		}
	}
	if after := l.Exec("old", keys) + l.Exec("new", keys); after != before {
		t.Errorf("keys before:\n%safter:\n%s", before, after)
	}
}

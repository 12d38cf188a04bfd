package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/remote/lab"
	"belay/steps/engine"
	"belay/steps/plan"
)

// planted are the secrets by where they come from. Nobody may find them.
var planted = map[string]string{
	"by_env":     "env:Zq7+Vw/3pä%f&='x",
	"by_file":    "file Kd9#Rm2\"$(false)`\\n",
	"by_command": "command-Tb5!Lx8*?~",
	"by_prompt":  "prompt-Hn4^Gc6|<>;",
	"by_lines":   "-----BEGIN\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END",
}

// needles are the ways in which a planted secret would be found.
func needles() map[string]string {
	all := map[string]string{}
	for name, s := range planted {
		for i, text := range []string{
			s, url.QueryEscape(s), url.PathEscape(s), base64.RawStdEncoding.EncodeToString([]byte(s)),
			base64.RawURLEncoding.EncodeToString([]byte(s)), hex.EncodeToString([]byte(s)), fmt.Sprintf("%q", s),
		} {
			all[fmt.Sprintf("%s, form %d", name, i)] = text
		}
	}
	for i, line := range strings.Split(planted["by_lines"], "\n")[1:3] {
		all[fmt.Sprintf("by_lines, line %d", i+1)] = line
	}
	return all
}

// hunt looks for planted secrets in text.
func hunt(t *testing.T, where string, text []byte) {
	t.Helper()
	for what, needle := range needles() {
		if i := bytes.Index(text, []byte(needle)); i >= 0 {
			t.Errorf("%s holds %s: …%q…", where, what, text[max(0, i-80):min(len(text), i+len(needle)+40)])
		}
	}
}

func huntIn(t *testing.T, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		hunt(t, path, b)
		hunt(t, "a name", []byte(path))
		files++
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// huntProcesses looks at the command lines of all processes until stopped.
func huntProcesses(t *testing.T) (stop func()) {
	t.Helper()
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		seen := map[string]bool{} // by process and start: arguments do not change often
		for {
			lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range lines {
				b, err := os.ReadFile(path)
				if key := path + string(b); err == nil && !seen[key] {
					seen[key] = true
					hunt(t, path, b)
				}
			}
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() { close(over); wg.Wait() }
}

const secretive = `belay: 1
name: secretive
hosts: {here: {local: true}, far: {}}
vars: {w: %[1]q, far: %[2]q}
secrets:
  by_env: {env: BELAY_TEST_SECRET}
  by_file: {file: %[1]s/secret}
  by_command: {command: [cat, %[1]s/command]}
  by_prompt: {prompt: The password of the shop}
  by_lines: {file: %[1]s/lines}
prepare:
  - step: Say them all
    on: [here, far]
    run:
      secrets: [by_env, by_file, by_command, by_prompt, by_lines]
      script: |
        set -x
        for s in "$by_env" "$by_file" "$by_command" "$by_prompt" "$by_lines"; do
          printf '%%s\n' "$s"
          echo "in the midst ${s}of a line"
          head=${s%%?????}
          printf %%s "$head"; sleep 0.4; printf '%%s\n' "${s#"$head"}"
          printf %%s "$s" | base64 -w 0; echo
          printf 'user:%%s' "$s" | base64 -w 0; echo
        done
        cat "${{ w }}/forms"
        echo "told $(printf %%s "$by_prompt" | wc -c)"
      pending: 'echo "not said yet: $by_env"'
      verify: 'echo "all said: $by_file"'
  - step: Write them down
    on: far
    files.edit:
      path: ${{ far }}/app.env
      env: {set: {DB_PASSWORD: {secret: by_prompt}, TOKEN: {secret: by_env}, PORT: "90"}}
  - step: Fail with them
    on: here
    run:
      secrets: [by_command, by_env]
      script: 'echo "cannot log in with $by_command or $by_env" >&2; exit 3'
  - step: Prove nothing
    on: far
    run:
      secrets: [by_file, by_env]
      script: "true"
      verify: 'echo "no such user: $by_file, $by_env" >&2; exit 4'
`

const secretiveAnswers = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: a test, times: 99}
  - {question: findings, choice: go}
  - {question: failed, choice: skip, reason: it was to fail, times: 2}
  - {question: close, choice: close, text: here}
`

// TestSecretsAreFoundNowhere plants secrets from everywhere, uses them in
// every way, has the scripts themselves give them away, and looks for them in
// all that belay writes and shows and on every command line.
func TestSecretsAreFoundNowhere(t *testing.T) {
	dir := t.TempDir()
	l, err := lab.Start(t.Context(), filepath.Join(dir, "lab"), "far")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Stop(); err != nil {
			t.Error(err)
		}
	})
	w, home, state := filepath.Join(dir, "w"), filepath.Join(dir, "home"), filepath.Join(dir, "state")
	var forms strings.Builder
	for _, f := range needles() {
		forms.WriteString(f + "\nAuthorization: " + f + "&x=1\n")
	}
	for path, text := range map[string]string{
		w + "/secret": planted["by_file"] + "\n", w + "/command": planted["by_command"] + "\n", w + "/lines": planted["by_lines"] + "\n",
		w + "/forms": forms.String(), home + "/x": "", l.Home("far") + "/app.env": "PORT=80\nTOKEN=old\n",
		w + "/plan.yaml": fmt.Sprintf(secretive, w, l.Home("far")), w + "/answers.yaml": secretiveAnswers,
	} {
		write(t, path, text)
	}
	t.Setenv("BELAY_TEST_SECRET", planted["by_env"])
	for name, value := range map[string]string{"HOME": home, "BELAY_STATE": state, "BELAY_SSH_CONFIG": l.SSHConfig()} {
		t.Setenv(name, value)
	}
	defer huntProcesses(t)()

	_, out := belay(t, w, nil, "plan", "plan.yaml")
	hunt(t, "belay plan", []byte(out))
	if !strings.Contains(out, "Say them all") {
		t.Errorf("belay plan said:\n%s", out)
	}

	said := secretiveRun(t, filepath.Join(w, "plan.yaml"), filepath.Join(w, "answers.yaml"))
	hunt(t, "the headless output", said)
	if !bytes.Contains(said, []byte("run ended: closed")) || !bytes.Contains(said, []byte("exit status 3")) {
		t.Errorf("the run went another way:\n%s", said)
	}
	if env := read(l.Home("far"), "app.env"); !strings.Contains(env, planted["by_prompt"]) || !strings.Contains(env, "PORT=90") {
		t.Errorf("the secret did not reach the file that it belongs into:\n%s", env)
	}
	run := theRun(t, state)
	for _, args := range [][]string{{"report", run}, {"report", run, "--format", "json"}, {"report", run, "--verify"}, {"runs"}} {
		code, out := belay(t, w, nil, args...)
		if code != exitClosed {
			t.Errorf("belay %q ended with %d:\n%s", args, code, out)
		}
		hunt(t, strings.Join(args, " "), []byte(out))
	}
	if n := huntIn(t, run); n < 8 {
		t.Errorf("only %d files in the run directory", n)
	}
	huntIn(t, home) // what the jobs left on the hosts
	huntIn(t, filepath.Join(l.Home("far"), ".local"))
	if log := read(run, "logs", "say-them-all@far.log"); strings.Count(log, "in the midst") < 5 || !strings.Contains(log, "told 18") {
		t.Errorf("the log is not that of the script:\n%s", log)
	}
}

// secretiveRun runs the plan in this process, whose screen answers prompts.
func secretiveRun(t *testing.T, path, answers string) []byte {
	t.Helper()
	p, err := plan.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, red, said, err := create(p, driveFlags{answers: answers})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := wire(p, red, r.Prompted, r.Light)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	e := r.Engine(spec(w))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go func() {
		_, err := (*engine.Engine).Walk(e, ctx)
		r.Ended(err)
	}()
	var out bytes.Buffer
	screen := &headless{run: r, answers: said, author: author(), out: &out}
	asked := 0
	for !r.Live().Ended {
		if q := screen.answer(ctx); q != nil {
			printQuestion(&out, q, r.Dir())
			cancel()
		}
		if p := r.Prompt(); p != nil {
			if asked++; !p.Hidden || !strings.Contains(p.Text, "The password of the shop") {
				t.Errorf("asked: %+v", p)
			}
			p.Reply(planted["by_prompt"], true)
		}
		for _, text := range []string{fmt.Sprint(r.Live()), fmt.Sprint(r.State().Questions)} {
			hunt(t, "the screen", []byte(text))
		}
		time.Sleep(20 * time.Millisecond)
	}
	screen.print()
	for _, line := range r.Log("", "").Lines(0, r.Log("", "").Len()) {
		hunt(t, "the log pane", []byte(line.Text))
	}
	if asked != 1 {
		t.Errorf("the password was asked for %d times", asked)
	}
	if err := r.Live().Err; err != nil {
		t.Errorf("the engine: %v", err)
	}
	return out.Bytes()
}

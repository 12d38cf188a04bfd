package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/plan/shipped"
)

// fluxerLab is the server of scenario 2: Fluxer v1.2.3 with its messages, and a
// registry with v1.3.0, with v1.4.0, whose last migration fails, and with v1.5.0,
// of which two do.
type fluxerLab struct {
	*dockerlab.Lab
	plan string
}

func fluxerServer(t *testing.T) fluxerLab {
	t.Helper()
	l := dockerlab.Up(t, dockerlab.Server{Name: "chat", Docker: dockerlab.ComposeV2, Files: dockerlab.Tree(t, "testdata/fluxer")})
	l.Standins("chat", "lab/standin", "docker.io/valkey/valkey:8-alpine")
	l.Exec("chat", "/root/make")
	text, err := shipped.Read("fluxer-upgrade")
	if err != nil {
		t.Fatal(err)
	}
	return fluxerLab{l, string(text)}
}

func (l fluxerLab) world(t *testing.T) string {
	t.Helper()
	return l.Exec("chat", "/root/world")
}

const fluxerOverlay = `environment: lab
vars:
  room: 50MiB
  start_limit: 90s
  soak: 5s
  look_every: 500ms
  bad_for: 3s
`

const (
	fluxerTo14   = fluxerOverlay + "  version: v1.4.0\n  migrations: 3\n"
	fluxerTo15   = fluxerOverlay + "  version: v1.5.0\n  migrations: 3\n"
	fluxerPeople = `  - {question: manual, choice: done, text: "none", times: 2}`
)

// run runs the shipped plan and returns the run's directory besides.
func (l fluxerLab) run(t *testing.T, overlay string, then ...string) (dir string, code int, out string) {
	t.Helper()
	at := t.TempDir()
	for name, text := range map[string]string{"plan.yaml": l.plan, "lab.yaml": overlay, "answers.yaml": labAnswers("chat", append(then, fluxerPeople)...)} {
		write(t, filepath.Join(at, name), text)
	}
	env := []string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(at, "state"), "BELAY_TEST_HOSTS=real"}
	code, out = belay(t, at, env, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
	if testing.Verbose() {
		t.Logf("belay ended with %d:\n%s", code, out)
	}
	return theRun(t, filepath.Join(at, "state")), code, out
}

// askedOf is the text of the question about a failed step.
func askedOf(t *testing.T, dir, step string) string {
	t.Helper()
	events, err := journal.Read(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		var q journal.Question
		if e.Type == journal.Asked && json.Unmarshal(e.Data, &q) == nil && q.Kind == journal.AskFailed && q.Step == step {
			return q.Text
		}
	}
	return ""
}

// logOf is the log of a step.
func logOf(t *testing.T, dir, step string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "logs", step+"*.log"))
	if err != nil || len(found) == 0 {
		t.Fatalf("logs of %s: %q, %v", step, found, err)
	}
	var all strings.Builder
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

// TestFluxerUpgrade takes one server through scenario 2: an upgrade whose
// migration fails, rolled back; failures planted in every step; and
// another one, mended twice as the guide's table says, to its close.
func TestFluxerUpgrade(t *testing.T) {
	l := fluxerServer(t)
	before := l.world(t)
	for _, want := range []string{`"version":"v1.2.3"`, `"hello","is anybody here","yes, with an ü"`, "fluxer_fluxer_data/_data/fluxer.db", "fluxer_valkey_data/_data/dump.rdb"} {
		if !strings.Contains(before, want) {
			t.Fatalf("before, the server does not say %q:\n%s", want, before)
		}
	}
	settle := func(*testing.T) { l.Exec("chat", "rm -rf /var/backups/fluxer") }
	t.Run("a migration fails", func(t *testing.T) {
		dir, code, out := l.run(t, fluxerTo14,
			`  - {question: failed, step: upgrade-fluxer, choice: rollback}`,
			`  - {question: rollback, choice: go, text: chat, reason: "the migration fails"}`)
		if code != exitRolledBack {
			t.Fatalf("belay ended with %d:\n%s", code, out)
		}
		if after := l.world(t); after != before {
			t.Errorf("before:\n%s\nafter the rollback:\n%s", before, after)
		}
		asked := askedOf(t, dir, "upgrade-fluxer")
		for _, want := range []string{"Likely cause: a migration was applied in part, or twice", "What to do: see which migrations", "duplicate column name"} {
			if !strings.Contains(asked, want) {
				t.Errorf("the question does not say %q:\n%s", want, asked)
			}
		}
		log := logOf(t, dir, "upgrade-fluxer")
		for _, want := range []string{"[INFO] Applied migration: 001_add_thread_support.sql", "[INFO] Applied migration: 002_add_user_badges.sql", "[ERROR] Migration failed: 003_schema_change.sql"} {
			if !strings.Contains(log, want) {
				t.Errorf("the log lacks %q:\n%s", want, log)
			}
		}
		if log := logOf(t, dir, "judge-the-configuration"); !strings.Contains(log, `telemetry.enable is not an option that the schema knows; did you mean "enabled"?`) {
			t.Errorf("the schema's warning is missing:\n%s", log)
		}
		settle(t)
	})
	t.Run("every step fails", func(t *testing.T) {
		failEveryStep(t, everyStep{
			plan: l.plan, overlay: fluxerOverlay, host: "chat", answers: []string{fluxerPeople},
			env:   []string{"BELAY_SSH_CONFIG=" + l.SSHConfig()},
			world: l.world, settle: settle, tries: 4,
		})
	})
	if t.Failed() {
		return
	}
	t.Run("mended", func(t *testing.T) {
		dir, code, out := l.run(t, fluxerTo15, toTheEnd,
			`  - {question: failed, step: upgrade-fluxer, choice: mend, times: 2}`,
			`  - {question: close, choice: close, text: chat}`)
		if code != exitClosed {
			t.Fatalf("belay ended with %d:\n%s\n%s", code, out, logOf(t, dir, "upgrade-fluxer"))
		}
		after := l.world(t)
		for _, want := range []string{`"version":"v1.5.0"`, `"hello","is anybody here","yes, with an ü"`, " ghcr.io/fluxerapp/fluxer-server:v1.5.0\n"} {
			if !strings.Contains(after, want) {
				t.Errorf("afterwards the server does not say %q:\n%s", want, after)
			}
		}
		kept := l.Exec("chat", `grep -o '"migration_timeout_ms": *[0-9]*' /opt/fluxer/config/config.json; docker images --format '{{.Tag}}' ghcr.io/fluxerapp/fluxer-server; zstd -dc /var/backups/fluxer/fluxer_fluxer_data-before-v1.5.0.tar.zst | tar -t; ls /var/backups/fluxer`)
		for _, want := range []string{"300000\n", "before-", "v1.2.3\n", "./fluxer.db", "config-before-v1.5.0.tar.zst\n"} {
			if !strings.Contains(kept, want) {
				t.Errorf("%q is not kept:\n%s", want, kept)
			}
		}
	})
}

// TestFluxerHints: what the guide's table of troubles tells of is known by its
// lines, and mended where the table says how.
func TestFluxerHints(t *testing.T) {
	text, err := shipped.Read("fluxer-upgrade")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Load("fluxer-upgrade.yaml", text, plan.All())
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"[ERROR] Reason: duplicate column name":                         "a migration was applied in part, or twice; mended",
		`Error: column "xyz" already exists`:                            "a migration was applied in part, or twice; mended",
		"InvalidRequest: Keyspace 'fluxer' already exists":              "a migration wanted to make a keyspace of Cassandra that is there already",
		"[ERROR] Reason: migration timed out after 30000 ms":            "the database is large or the disk is slow, and a migration took longer than it may; mended",
		"Migration 003_schema_change.sql: Timeout of 30000 ms exceeded": "the database is large or the disk is slow, and a migration took longer than it may; mended",
		"[INFO] Applied migration: 001_add_thread_support.sql":          "",
	} {
		var got []string
		for _, h := range p.Step("upgrade-fluxer").AllHints() {
			if regexp.MustCompile(h.Match).MatchString(line) {
				told := h.Cause
				if h.Mend != nil {
					told += "; mended"
				}
				got = append(got, told)
			}
		}
		if strings.Join(got, " | ") != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

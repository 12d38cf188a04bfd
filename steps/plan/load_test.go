package plan

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps"
	"belay/steps/journal"

	"github.com/google/go-cmp/cmp"
)

const full = `belay: 1
name: stoat-to-fluxer
about: Replace Stoat Chat with Fluxer.
environment: production
window: {start: 2026-12-01T22:00Z, length: 45m}
hosts:
  chat: {address: 10.0.0.5, user: root, port: 2222, sudo: {password: {secret: pg_password}}, jump: bastion.example}
  db:
  here: {local: true, sudo: true}
vars:
  port: 8088
  url: "http://127.0.0.1:${{ port }}"
  shell: $${{ not_a_var }} ${x} {{.Names}}
secrets:
  pg_password: {env: PG_PASSWORD}
assess:
  - port: {on: chat, port: "${{ port }}"}
  - http: "${{ url }}/_health"
    title: The old chat answers
prepare:
  - step: Take a copy
    why: Rollback starts here.
    files.copy:
      from: /root/stoatchat
      to: chat:/var/backups
      limit: 5GiB
      port: "${{ port }}"
      count: 3
      set: {PORT: 0644, on: true}
      parts: [/a, {path: /b, skip: true}]
      any: {n: "${{ port }}", list: [1, x, 2.5, true, null]}
      until: {port: {on: db, port: 1}}
      password: {secret: pg_password}
  - together:
      - step: One ${{ db }}
        on: [chat, db]
        run: "echo ${{ db }} ${{ port }}"
      - lane: Two
        steps:
          - step: Dump
            on: db
            run: {script: dump, again: true, secrets: [pg_password]}
            retry: 3
          - step: Restore
            on: db
            run: restore
    each: {db: [gitlab, keycloak]}
  - step: Make ${{ db.name }}
    on: db
    run: createdb -p ${{ db.port }}
    each: {db: [{name: shop, port: 1}, {name: blog, port: 2}]}
signoff:
  - The team knows
  - check: prepare
  - {check: take-a-copy, text: We have a copy}
  - check: The old chat answers
approvers: 2
cutover:
  - step: Stop Stoat Chat
    on: chat
    run: stop
    undo: {run: cd /root/stoatchat && ./start.sh}
    timeout: 1d
    when: test -e /root
    hints:
      - {match: no such session, cause: it is gone, mend: {on: db, run: ./look.sh}}
      - {match: "port .* allocated", cause: busy, fix: wait, mend: ./wait.sh}
  - step: Tell the team
    manual: Write to the channel.
soak:
  for: 10m
  watch:
    - http: {url: "${{ url }}/", every: 2s}
    - http: "${{ url }}/"
      title: again
  rollback_when: {error_rate: 5%, for: 10m}
close:
  - step: Delete
    on: chat
    optional: true
    run: rm
    undo: ./back.sh
`

func load(t *testing.T, src string) *Plan {
	t.Helper()
	p, err := Load("plan.yaml", []byte(src), fakeKinds())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return p
}

func TestLoad(t *testing.T) {
	p := load(t, full)
	eq := func(what string, got, want any) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	eq("name", p.Name, "stoat-to-fluxer")
	eq("window", p.Window, &Window{time.Date(2026, 12, 1, 22, 0, 0, 0, time.UTC), 45 * time.Minute, 270 * time.Second})
	eq("hosts", p.Hosts, []Host{
		{Name: "chat", Address: "10.0.0.5", User: "root", Port: 2222, Jump: "bastion.example", Sudo: &Sudo{"pg_password"}, Line: 7},
		{Name: "db", Line: 8},
		{Name: "here", Local: true, Sudo: &Sudo{}, Line: 9},
	})
	eq("vars", p.Vars, map[string]string{"port": "8088", "url": "http://127.0.0.1:8088", "shell": "${{ not_a_var }} ${x} {{.Names}}"})
	eq("secrets", p.Secrets, map[string]secret.Source{"pg_password": {Env: "PG_PASSWORD"}})
	eq("assess", []string{p.Assess[0].Title, p.Assess[1].Title}, []string{"port 8088 on chat", "The old chat answers"})
	var ids, titles []string
	for _, s := range p.Steps() {
		ids = append(ids, s.ID)
		titles = append(titles, s.Title)
	}
	eq("ids", ids, []string{"take-a-copy", "one-gitlab", "dump-gitlab", "restore-gitlab", "one-keycloak", "dump-keycloak", "restore-keycloak",
		"make-shop", "make-blog", "stop-stoat-chat", "tell-the-team", "delete"})
	eq("titles", titles[1:4], []string{"One gitlab", "Dump (gitlab)", "Restore (gitlab)"})
	var lanes []string
	for _, l := range p.Prepare[1].Lanes {
		lanes = append(lanes, l.Title)
	}
	eq("lanes", lanes, []string{"One gitlab", "Two (gitlab)", "One keycloak", "Two (keycloak)"})
	eq("together's script", p.Step("one-gitlab").Do.(*fakeRun).Script, "echo gitlab 8088")
	eq("each of maps", p.Step("make-blog").Do.(*fakeRun).Script, "createdb -p 2")
	eq("retry", p.Step("dump-gitlab").Retry, Retry{3, 5 * time.Second})

	copied := p.Step("take-a-copy").Do.(*fakeCopy)
	three := 3
	want := &fakeCopy{From: "/root/stoatchat", To: "chat:/var/backups", Mode: "0644", Proto: "tcp", Grace: 30 * time.Second,
		Limit: remote.Size(5 << 30), Port: 8088, Count: &three, Set: map[string]string{"PORT": "0644", "on": "true"},
		Parts: []fakePart{{Path: "/a"}, {Path: "/b", Skip: true}}, Any: map[string]any{"n": 8088, "list": []any{1, "x", 2.5, true, nil}},
		Password: secret.Ref{Name: "pg_password"}, Until: &fakePort{On: "db", Port: 1}, prepared: "yes"}
	if d := cmp.Diff(want, copied, cmp.AllowUnexported(fakeCopy{})); d != "" {
		t.Errorf("parameters (-want +got):\n%s", d)
	}
	if got := p.Step("take-a-copy").Params; !strings.HasPrefix(got, "from: /root/stoatchat\nto: chat:/var/backups\nlimit: 5GiB\nport: 8088\n") {
		t.Errorf("Params: %q", got)
	}
	eq("parameters of the second step", p.Step("one-gitlab").Params, "echo gitlab 8088\n")
	eq("parameters of a mapping", p.Step("dump-keycloak").Params, "script: dump\nagain: true\nsecrets: [pg_password]\n")
	stop := p.Step("stop-stoat-chat")
	eq("timeout", stop.Timeout, 24*time.Hour)
	eq("undo", []any{stop.Undo.ID, stop.Undo.On, stop.Undo.Do.(*fakeRun).Script}, []any{"stop-stoat-chat-undo", []string{"chat"}, "cd /root/stoatchat && ./start.sh"})
	eq("mends", []any{len(stop.Hints), stop.Hints[0].Mend.ID, stop.Hints[0].Mend.On, stop.Hints[0].Mend.Title, stop.Mends()[1].Do.(*fakeRun).Script, stop.Mends()[1].On},
		[]any{2, "stop-stoat-chat-mend-1", []string{"db"}, "Mend: it is gone", "./wait.sh", []string{"chat"}})
	eq("short undo", p.Step("delete").Undo.Do.(*fakeRun).Script, "./back.sh")
	eq("sign-off", p.Signoff, []Item{
		{ID: "the-team-knows", Text: "The team knows", Line: 53},
		{ID: "every-step-of-prepare-is-done", Text: "every step of prepare is done", Stage: journal.Prepare, Line: 54},
		{ID: "we-have-a-copy", Text: "We have a copy", Step: "take-a-copy", Line: 55},
		{ID: "the-old-chat-answers", Text: "The old chat answers", Finding: "The old chat answers", Line: 56},
	})
	eq("trigger", p.Soak.RollbackWhen, []Trigger{{ErrorRate: 0.05, For: 10 * time.Minute, Then: Propose}})
	eq("probes", []any{p.Soak.Watch[0].ID, p.Soak.Watch[0].Every, p.Soak.Watch[1].ID, p.Soak.Watch[1].Every},
		[]any{"http-http-127-0-0-1-8088", 2 * time.Second, "again", 5 * time.Second})
	needs := p.Needs()
	if len(needs) != 1 || needs[0].Do.(*fakePort).On != "" {
		t.Errorf("Needs: %+v", needs)
	}
	eq("hash", p.Hash, hash([]byte(full), nil))
}

func TestProgressOfAStep(t *testing.T) {
	p := load(t, inPrepare+"- step: A\n  on: db\n  run: x\n  progress: {match: 'Applied (\\d+)', total: \"${{ port }}\", unit: migrations}\n- step: B\n  on: db\n  run: x\n  progress: 'row (\\d+)'\n- step: C\n  on: db\n  run: x\n")
	want := []*steps.LogProgress{{Match: `Applied (\d+)`, Total: 8088, Unit: "migrations"}, {Match: `row (\d+)`, Unit: "steps"}, nil}
	var got []*steps.LogProgress
	for _, s := range p.Steps() {
		got = append(got, s.Progress)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestOnlyHost(t *testing.T) {
	p := load(t, "belay: 1\nname: x\nhosts: {chat: }\nassess:\n- port: 1\nprepare:\n- step: A\n  run: b\n- step: C\n  files.copy: {from: a, to: b}\n- step: M\n  manual: m\n")
	if d := cmp.Diff([][]string{{"chat"}, nil, nil}, [][]string{p.Step("a").On, p.Step("c").On, p.Step("m").On}); d != "" {
		t.Error(d)
	}
	if got := p.Assess[0].Title; got != "port 1 on chat" {
		t.Errorf("title of the check: %q", got)
	}
}

func TestMergeKeysAndAnchors(t *testing.T) {
	p := load(t, `belay: 1
name: x
hosts: {a: {}}
prepare:
  - &first
    step: A
    why: &why because
    run: {<<: {script: x}, again: true}
  - <<: *first
    step: B
    expect: *why
`)
	b := p.Step("b")
	if b == nil || b.Why != "because" || b.Expect != "because" || !b.Do.(*fakeRun).Again {
		t.Errorf("merged step: %+v", b)
	}
}

func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := "belay: 1\nname: x\nenvironment: production\nhosts: {chat: {}, db: {}}\nvars: {port: 1, dir: /a}\nsecrets: {p: {env: P}}\n"
	main := put("plan.yaml", base)
	p, err := LoadFile(main, put("s.yaml", "environment: staging\nhosts: {chat: {address: stage}}\nvars: {port: 2}\nsecrets: {p: {prompt: P}}\nwindow: {start: 2026-12-01T22:00+01:00, length: 1h}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"port": "2", "dir": "/a"}, p.Vars); d != "" {
		t.Error(d)
	}
	if p.Environment != "staging" || len(p.Hosts) != 1 || p.Hosts[0].Address != "stage" || p.Secrets["p"].Prompt != "P" || p.Window == nil {
		t.Errorf("not overlaid: %+v", p)
	}
	if p.Hash == hash([]byte(base), nil) || len(p.Overlays) != 1 {
		t.Errorf("the hash does not cover the overlay")
	}
	_, err = LoadFile(main, put("bad.yaml", "name: y\nvars: {prot: 2}\nenvironement: a\nhosts: {}\n"))
	var ps *Problems
	if !errors.As(err, &ps) {
		t.Fatalf("not Problems: %v", err)
	}
	var texts []string
	for _, q := range ps.List {
		texts = append(texts, q.Text)
	}
	want := []string{
		`an overlay may change environment, window, hosts, vars and secrets only, not "name"`,
		`the plan has no "prot" under vars; did you mean "port"?`,
		`an overlay may change environment, window, hosts, vars and secrets only, not "environement"; did you mean "environment"?`,
		`a plan has at least one host`,
	}
	if d := cmp.Diff(want, texts); d != "" {
		t.Error(d)
	}
	if _, err := LoadFile(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestDescribeStringer(t *testing.T) {
	if got := describe("x", titled{}); got != "my title" {
		t.Errorf("got %q", got)
	}
}

type titled struct{ checks.Check }

func (titled) String() string { return "my title" }

// TestWhere: a step is where its on says, else where its parameters do.
func TestWhere(t *testing.T) {
	for _, c := range []struct {
		step Step
		want []string
	}{
		{Step{On: []string{"chat"}, Do: &fakeCopy{To: "db:/x"}}, []string{"chat"}},
		{Step{Do: &fakeCopy{To: "db:/x"}}, []string{"db"}},
		{Step{Do: &fakeCopy{}}, nil},
		{Step{Do: &fakeManual{}}, nil},
	} {
		if d := cmp.Diff(c.want, c.step.Where()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// problems loads src and returns its problems as line:col: text.
func problems(t *testing.T, src string) []string {
	t.Helper()
	_, err := Load("plan.yaml", []byte(src), fakeKinds())
	if err == nil {
		return nil
	}
	var ps *Problems
	if !errors.As(err, &ps) {
		t.Fatalf("not Problems: %v", err)
	}
	var all []string
	for _, p := range ps.List {
		all = append(all, fmt.Sprintf("%d:%d: %s", p.Line, p.Col, p.Text))
	}
	return all
}

const (
	head      = "belay: 1\nname: x\nhosts: {chat: {}, db: {}}\nvars: {port: 8088}\nsecrets: {pw: {env: PW}}\n" // 5 lines
	inPrepare = head + "prepare:\n"                                                                            // the first step is line 7
)

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		src  string
		want []string
	}{
		"unknown key in a check": {head + "assess:\n- port: {on: chat, prot: 8088}\n", []string{
			`7:3: "port" is missing in check "port"`, `7:20: unknown key "prot" in check "port"; did you mean "port"?`}},
		"unknown key of the plan": {head + "prepair: []\n", []string{`6:1: unknown key "prepair" in the plan; did you mean "prepare"?`}},
		"unknown kind":            {inPrepare + "- step: A\n  on: chat\n  files.cpoy: {}\n", []string{`9:3: unknown key "files.cpoy" in a step; did you mean "files.copy"?`}},
		"two kinds":               {inPrepare + "- step: A\n  on: chat\n  run: a\n  manual: b\n", []string{`10:3: a step has two kinds, "run" and "manual"; make two of it`}},
		"no kind":                 {inPrepare + "- step: A\n  on: chat\n", []string{"7:3: a step has no kind; it needs one of files.copy, manual, run (see `belay kinds`)"}},
		"unknown host":            {inPrepare + "- step: A\n  on: chta\n  run: a\n", []string{`8:7: unknown host "chta"; did you mean "chat"?`}},
		"unknown host in a list":  {inPrepare + "- step: A\n  on: [db, nowhere]\n  run: a\n", []string{`8:12: unknown host "nowhere"; hosts of this plan: chat, db`}},
		"a host twice":            {inPrepare + "- step: A\n  on: [db, db]\n  run: a\n", []string{`8:7: host "db" stands there twice`}},
		"no host":                 {inPrepare + "- step: A\n  run: a\n", []string{"8:3: `on` is missing; the plan has several hosts, so say where this runs: chat, db"}},
		"host for NoHost":         {inPrepare + "- step: A\n  on: chat\n  manual: a\n", []string{"8:3: \"manual\" runs on no host; remove `on`"}},
		"when without host":       {inPrepare + "- step: A\n  when: x\n  manual: a\n", []string{"8:9: `when` is asked on the step's host, and this step has none"}},
		"hidden host":             {inPrepare + "- step: A\n  files.copy: {from: a, to: \"dc:/x\"}\n", []string{`8:29: unknown host "dc"; did you mean "db"?`}},
		"tagged host":             {inPrepare + "- step: A\n  files.copy: {from: a, to: b, via: q}\n", []string{`8:37: unknown host "q"; hosts of this plan: chat, db`}},
		"source is target":        {inPrepare + "- step: A\n  files.copy: {from: /a, to: /a}\n", []string{`8:22: "from" and "to" are the same`}},
		"undefined variable":      {inPrepare + "- step: A\n  on: db\n  run: |\n    echo\n    echo é ${{ prot }}\n", []string{`11:12: undefined variable "prot"; did you mean "port"?`}},
		"bad reference": {inPrepare + "- step: A\n  on: db\n  run: echo ${{ a b }} ${{ x\n", []string{
			`9:13: "a b" is not the name of a variable; write $${{ for the characters themselves`,
			`9:24: ${{ is never closed by }}; write $${{ for the characters themselves`}},
		"reference in a key": {inPrepare + "- step: A\n  on: db\n  files.copy: {from: a, to: b, set: {\"${{ port }}\": 1}}\n", []string{`9:38: ${{ }} is filled in values only, never in keys`}},
		"a circle": {"belay: 1\nname: x\nhosts: {a: {}}\nvars: {a: \"${{ b }}\", b: \"${{ c }}\", c: \"${{ a }}\", d: \"${{ e }}\"}\n", []string{
			`4:11: variables refer to each other in a circle: a → b → c → a`, `4:57: undefined variable "e"`}},
		"duplicate ids": {inPrepare + "- step: A b\n  on: db\n  run: a\n- step: A-B\n  on: db\n  run: b\n", []string{"10:9: step id \"a-b\" is taken by the step in line 7; give one of them another `id`"}},
		"duplicate key": {head + "name: y\n", []string{`6:1: key "name" a second time; it already stands in line 2`}},
		"bad duration":  {inPrepare + "- step: A\n  on: db\n  timeout: 5x\n  run: b\n", []string{`9:12: "timeout": "5x" is not a duration such as 90s, 5m, 1h30m or 7d`}},
		"bad size":      {inPrepare + "- step: A\n  files.copy: {from: a, to: b, limit: 5 elephants}\n", []string{`8:39: "limit": "5 elephants" is not a size such as 512MiB or 5GB`}},
		"wrong types": {inPrepare + "- step: A\n  files.copy: {from: [a], to: {b: c}, port: 70000, count: x, set: 1, parts: {}, ratio: much, wait: , until: 3}\n", []string{
			`8:22: "from" takes a text, not a list`, `8:31: "to" takes a text, not a mapping`, `8:45: "port" takes a whole number, not "70000"`,
			`8:59: "count" takes a whole number, not the text "x"`, `8:67: "set" takes a mapping, not "1"`, `8:77: "path" is missing in "parts" of files.copy`,
			`8:88: "ratio" takes a number, not the text "much"`, `8:100: "wait" is empty; it takes a duration`,
			"8:109: \"until\" takes a check such as `port: {port: 8088}`, not \"3\""}},
		"enum":           {inPrepare + "- step: A\n  files.copy: {from: a, to: b, proto: tpc}\n", []string{`8:39: "proto" must be one of tcp, udp, not "tpc"; did you mean "tcp"?`}},
		"octal number":   {inPrepare + "- step: A\n  files.copy: {from: a, to: b, port: 0644}\n", []string{`8:38: "port" takes a whole number, not "0644"`}},
		"empty required": {inPrepare + "- step: \"\"\n  on: db\n  run: \"\"\n", []string{`7:9: "step" must not be empty`, `9:8: "script" must not be empty`}},
		"refused by the kind": {inPrepare + "- step: A\n  files.copy: {from: a, to: b, ratio: 2, set: {X.Y: bad}, parts: [x, /]}\n", []string{
			`8:3: "files.copy": ratio and count do not go together`, `8:53: "set.X.Y": must not be bad`, `8:70: "parts.1.path": is the root`}},
		"refused check": {head + "assess:\n- port: 70000\n- port: {on: db, port: 70000}\n", []string{
			`7:3: "on" is missing in check "port"`, `8:24: "port": must be below 65536`}},
		"retry": {inPrepare + "- step: A\n  on: db\n  retry: 3\n  run: b\n- step: B\n  on: db\n  retry: 0\n  run: {script: b, again: true}\n", []string{
			"9:10: doing \"run\" twice may not equal doing it once, so it is never tried again by itself; remove `retry`", "13:10: `retry` takes 1 to 100 times"}},
		"secrets": {inPrepare + "- step: A\n  on: db\n  run: {script: x, secrets: [pw, pv]}\n- step: B\n  files.copy: {from: a, to: b, password: {secret: nope}}\n", []string{
			`9:34: secret "pv" is not declared under secrets; did you mean "pw"?`, `11:51: secret "nope" is not declared under secrets`}},
		"progress": {inPrepare + "- step: A\n  on: db\n  run: x\n  progress: {match: \"(\", total: 3}\n- step: B\n  on: db\n  run: x\n  progress: \"(\"\n- step: C\n  on: db\n  run: x\n  progress: {match: a, total: -1}\n", []string{
			"10:21: not a regular expression: error parsing regexp: missing closing ): `(`", "14:13: not a regular expression: error parsing regexp: missing closing ): `(`", "18:31: -1 is less than nothing"}},
		"hints": {inPrepare + "- step: A\n  on: db\n  run: x\n  hints: [{match: \"(\", cause: a, fix: b}]\n", []string{"10:19: not a regular expression: error parsing regexp: missing closing ): `(`"}},
		"hosts": {"belay: 1\nname: x\nhosts:\n  a: {address: h, user: root}\n  b: {address: H, user: root}\n  c: {local: true, port: 22}\n  d: {jump: e}\n  e: {jump: d}\n  f: {address: root@h, port: 99999}\n  -g: {sudo: maybe}\n  h: {sudo: {password: hunter2}}\n", []string{
			`5:3: host "b" is the same machine as "a" in line 4`, `6:20: a local host is this very machine; it has no "port"`,
			`7:13: host "d" is reached through itself: d → e → d`, `8:13: host "e" is reached through itself: e → d → e`,
			"9:16: \"root@h\" is not the name or address of a machine; login and port have keys of their own, `user` and `port`", `9:30: a port is between 1 and 65535`,
			`10:3: "-g" cannot name a host: letters, digits, dots, - and _, at most 80 of them`, "10:14: `sudo` takes true, or {password: {secret: name}}",
			`11:24: "password" takes {secret: name}, with the name of a secret that is declared under secrets`}},
		"sources": {"belay: 1\nname: x\nhosts: {a: {}}\nsecrets:\n  a: hunter2\n  b: {}\n  c: {env: A, file: B}\n  d: {evn: A}\n", []string{
			`5:6: secret "a" takes one of {env: …}, {file: …}, {command: …}, {prompt: …}; a secret itself never stands in the plan`,
			`6:3: secret "b" says nowhere to take the secret from: give one of env, file, command, prompt`,
			`7:3: secret "c" names several places to take the secret from: give one of env, file, command, prompt`,
			`8:7: unknown key "evn" in secret "d"; did you mean "env"?`}},
		"sign-off": {inPrepare + "- step: A\n  on: db\n  run: a\ncutover:\n- step: B\n  on: db\n  run: b\nsignoff:\n- x\n- x\n- check: b\n- check: soak\n- check: c\n- {}\napprovers: 0\n", []string{
			"16:3: sign-off item \"x\" is the same as the one in line 15; give one of them another `id`", `17:10: step "b" belongs to cutover, which comes after the sign-off`,
			`18:10: "soak" comes after the sign-off, so the checklist cannot wait for it`, `19:10: no stage, step or check is called "c"`,
			"20:3: a sign-off item has a text, or a `check`", `21:12: approvers is between 1 and 20`}},
		"soak": {head + "soak:\n  for: 1m\n  watch:\n  - http: {url: x, every: 1ms}\n  rollback_when: {for: 2m}\nwindow: {start: 2026-12-01T22:00, length: 0s}\n", []string{
			"9:5: `every` is at least 10ms", `10:18: rollback_when has no limit; give error_rate or latency, or slower_than or more_errors to compare with the old server`, `10:24: longer than the whole soak, so it could never come true`,
			`11:17: "start": "2026-12-01T22:00" is not a time with its zone, such as 2026-12-01T22:00Z or 2026-12-01T23:00+01:00`}},
		"then": {head + "soak:\n  for: 1h\n  watch: [{http: {on: db, url: x}, title: A}]\n  rollback_when:\n" +
			"  - {error_rate: 5%, for: 1m, then: atomatic}\n  - {error_rate: 5%, for: 1m, countdown: 5s}\n  - {error_rate: 5%, for: 1m, then: tell, way: b}\n" +
			"  - {error_rate: 5%, for: 1m, then: automatic}\n  - {error_rate: 5%, for: 1m, then: automatic, countdown: 0s, way: grateful}\n  - {slower_than: 2x, for: 1m}\n  - {slower_than: 1x, more_errors: 2, for: 1m, of: B}\n" +
			"rollback:\n  graceful: {loses: a}\n  hard: {loses: b}\n", []string{
			`10:37: "then" must be one of propose, tell, automatic, not "atomatic"; did you mean "automatic"?`, "11:5: `countdown` and `way` belong to `then: automatic`", "12:5: `countdown` and `way` belong to `then: automatic`",
			"13:5: nobody is there to choose a way back: `way` is one of graceful, hard", "14:59: nobody could stop it: `countdown` is at least 1s", `14:68: no way back is called "grateful"; did you mean "graceful"?`,
			"15:5: no probe has `old`, so there is nothing to compare with", "16:5: no probe has `old`, so there is nothing to compare with", `16:19: "slower_than": "1x" is not so many times as much, such as 1.5x or 2x`,
			`16:36: "more_errors": "2" is not a share between 0 and 100, such as 5%`, `16:52: no probe has the title "B"`}},
		"old": {head + "prepare:\n- step: A\n  on: db\n  run: a\nsoak:\n  for: 1h\n  watch:\n  - {http: {on: db, url: x}, title: A, old: {on: nowhere}}\n  - {http: {on: db, url: x}, title: B, old: {ulr: y}}\n", []string{
			`13:50: unknown host "nowhere"; hosts of this plan: chat, db`, `14:46: unknown key "ulr" in old of check "http"; did you mean "url"?`}},
		"share": {head + "soak:\n  for: 1m\n  watch: [{http: x}]\n  rollback_when: {error_rate: 0.05, for: 1m}\n", []string{
			`9:31: "error_rate": "0.05" is not a share between 0 and 100, such as 5%`}},
		"each": {inPrepare + "- step: A\n  on: db\n  each: {port: [a]}\n  run: a\n- step: B ${{ d }}\n  on: db\n  each: {d: [{n: 1}, {n: 1}, [x]]}\n  run: ${{ d.m }}\n", []string{
			`9:10: there is a variable "port" already; take another name`, `11:11: "d" has several values; say which: d.n`, `13:22: too like the value in line 13 to tell their steps apart`,
			"13:30: a value of `each` is a single value or a mapping of them, not a list", `14:8: undefined variable "d.m"; did you mean "d.n"?`}},
		"together": {inPrepare + "- together: []\n- together:\n  - together: [{}]\n  - lane: x\n  - {lane: y, steps: []}\n  - 3\n", []string{
			"7:13: `together` takes a list of steps or of lanes, not an empty list", "9:5: `together` cannot stand inside another; lanes hold steps only",
			`10:5: "steps" is missing in a lane`, "11:22: `steps` of a lane takes a list of steps, not an empty list", "12:5: a step is a mapping that begins with `step:` and its title, not \"3\""}},
		"missing head":    {"about: x\n", []string{`1:1: "belay" is missing in the plan`, `1:1: "name" is missing in the plan`, `1:1: "hosts" is missing in the plan`}},
		"version":         {"belay: 2\nname: x\nhosts: {a: {}}\n", []string{`1:8: "belay" must be one of 1, not "2"`}},
		"empty":           {"", []string{"0:0: empty; a plan starts with `belay: 1` and `name: …` (see `belay init`)"}},
		"only a comment":  {"# x\n", []string{"0:0: empty; a plan starts with `belay: 1` and `name: …` (see `belay init`)"}},
		"not a mapping":   {"- a\n", []string{"1:1: a plan is a mapping that starts with `belay: 1`, not a list"}},
		"two documents":   {head + "---\na: 1\n", []string{"6:1: a second document; a plan is one document, so remove the --- line"}},
		"NUL":             {"belay: 1\nname: \"a\x00\"\n", []string{"2:9: a NUL character must not be in a plan"}},
		"escaped escape":  {"belay: 1\nname: \"a\\e[2J\"\nhosts: {a: {}}\n", []string{"2:7: the invisible character U+001B must not be in a plan, not even escaped"}},
		"turned writing":  {"belay: 1\nname: a\u202eb\n", []string{"2:8: the invisible character U+202E must not be in a plan"}},
		"invalid UTF-8":   {"belay: 1\nname: \xff\n", []string{"2:7: byte 0xff is not UTF-8"}},
		"lone CR":         {"belay: 1\rname: x\n", []string{"1:9: a carriage return without a line feed; save the file with plain line ends"}},
		"tabs":            {"belay: 1\nhosts:\n\ta: {}\n", []string{"3:2: not readable as YAML: found character that cannot start any token; YAML is indented with spaces, not tabs"}},
		"syntax":          {"belay: 1\nname: [a\n", nil},
		"own tag":         {"belay: 1\nname: !x a\nhosts: {a: {}}\n", []string{`2:7: the YAML tag "!x" has no meaning in a plan`}},
		"merge of a list": {"belay: 1\nname: a\nhosts: {a: {<<: [x]}}\n", []string{`3:18: << takes in mappings (*name, or a list of them), not a single value`}},
		"alias in itself": {"a: &a [*a]\n", []string{`1:8: *a stands inside what it repeats`}},
		"deep":            {strings.Repeat("[", 100) + strings.Repeat("]", 100), []string{"1:66: nested more than 64 levels deep"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := problems(t, tc.src)
			if tc.want == nil && len(got) > 0 {
				return // whatever the parser calls it
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestBombs(t *testing.T) {
	var aliases, vars strings.Builder
	aliases.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	vars.WriteString("belay: 1\nname: x\nhosts: {a: {}}\nvars:\n  v0: xxxxxxxxxxxxxxxxxxxx\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&aliases, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), i-1)
		fmt.Fprintf(&vars, "  v%d: \"%s\"\n", i, strings.Repeat(fmt.Sprintf("${{ v%d }}", i-1), 10))
	}
	values := ""
	for i := range 3000 {
		values += fmt.Sprintf("%d,", i)
	}
	each := inPrepare + "- together:\n"
	for i := range 100 {
		each += fmt.Sprintf("  - step: S%d ${{ v }}\n    on: db\n    run: ${{ v }}\n", i)
	}
	each += "  each: {v: [" + values + "]}\n"
	for name, tc := range map[string]struct{ src, want string }{
		"aliases":   {aliases.String(), "aliases written out; that is no plan"},
		"variables": {vars.String(), "longer than 1 MiB when it is filled in"},
		"each":      {each, "the plan has more than 20000 steps"},
		"size":      {"# " + strings.Repeat("x", maxFile), "larger than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(problems(t, tc.src), "\n"); !strings.Contains(got, tc.want) {
				t.Errorf("want %q in:\n%.2000s", tc.want, got)
			}
		})
	}
}

func TestRender(t *testing.T) {
	_, err := Load("plan.yaml", []byte("belay: 1\nname: x\nhosts:\n  chat: {}\nassess:\n  - port: {about: 日本, prot: 8088, port: 1}\n"), fakeKinds())
	want := `plan.yaml:6:12: unknown key "about" in check "port"; it has: on, port
  6 |   - port: {about: 日本, prot: 8088, port: 1}
    |            ^
plan.yaml:6:23: unknown key "prot" in check "port"; did you mean "port"?
  6 |   - port: {about: 日本, prot: 8088, port: 1}
    |                         ^`
	if d := cmp.Diff(want, fmt.Sprint(err)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	line, caret := excerpt("\ta\t\x1b[2Jb", 7)
	if line != "\ta\t�[2Jb" || caret != "\t \t    ^"[:len("\t \t ")]+"  ^" {
		t.Errorf("tabs: %q %q", line, caret)
	}
	line, caret = excerpt(strings.Repeat("x", 5000), 4000)
	if line != "…"+strings.Repeat("x", before+after)+"…" || caret != strings.Repeat(" ", before+1)+"^" {
		t.Errorf("long line: %q %q", line, caret)
	}
}

func TestRenderHidesWhatMayBeSecret(t *testing.T) {
	_, err := Load("plan.yaml", []byte(inPrepare+"- step: A\n  files.copy: {from: a, to: b, password: hunter2}\n"), fakeKinds())
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestManyProblems(t *testing.T) {
	src := head
	for i := range 3000 {
		src += fmt.Sprintf("k%d: 1\n", i)
	}
	_, err := Load("plan.yaml", []byte(src), fakeKinds())
	text := fmt.Sprint(err)
	if !strings.HasSuffix(text, "\nand 2950 more") || strings.Count(text, "unknown key") != 50 {
		t.Errorf("got %.300s … %s", text, text[max(0, len(text)-100):])
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"prot": "port", "hosst": "hosts", "x": "", "zzzz": "", "PORT": "port", "cutovr": "cutover", strings.Repeat("a", 10000): ""} {
		if got := nearest(word, []string{"port", "hosts", "cutover", "name"}); got != want {
			t.Errorf("%.20s: got %q, want %q", word, got, want)
		}
	}
}

func TestCloseOnly(t *testing.T) {
	const step = "- step: A\n  on: chat\n  files.remove_renamed: /var/backups/manifest\n"
	if _, err := Load("plan.yaml", []byte(head+"close:\n"+step), All()); err != nil {
		t.Error(err)
	}
	if _, err := Load("plan.yaml", []byte(inPrepare+step), All()); err == nil || !strings.Contains(err.Error(), "stands under `close` only") {
		t.Errorf("in prepare: %v", err)
	}
}

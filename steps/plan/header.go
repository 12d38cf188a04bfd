package plan

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/remote"
	"belay/remote/secret"
)

// planFields are the keys of a plan file.
type planFields struct {
	Belay       int              `yaml:"belay" required:"" enum:"1" doc:"version of the plan format"`
	Name        string           `yaml:"name" required:"" doc:"name of the plan; runs are named after it"`
	About       string           `yaml:"about" doc:"what the plan does, in a sentence or two"`
	Environment string           `yaml:"environment" doc:"production, staging, …; on every screen"`
	Window      *windowFields    `yaml:"window" doc:"the maintenance window"`
	Hosts       *node            `yaml:"hosts" required:"" doc:"the machines, by the name that the plan gives them"`
	Vars        *node            `yaml:"vars" doc:"values for ${{ name }}"`
	Secrets     *node            `yaml:"secrets" doc:"where the secrets come from, by name"`
	Assess      *node            `yaml:"assess" doc:"checks, on top of the standing ones that every host gets"`
	Prepare     *node            `yaml:"prepare" doc:"steps while the old service stays up"`
	Signoff     *node            `yaml:"signoff" doc:"the checklist before cutover: a text for people, {check: …} for the machine"`
	Rehearsal   *rehearsalFields `yaml:"rehearsal" doc:"required: a run wants a rehearsal before it (belay rehearse)"`
	Approvers   *node            `yaml:"approvers" doc:"who must say go: how many distinct people (1 when left out), a list of roles, or both; belay kinds approvers"`
	Cutover     *node            `yaml:"cutover" doc:"steps that switch from the old service to the new one"`
	Soak        *soakFields      `yaml:"soak" doc:"what is watched afterwards, and for how long"`
	Close       *node            `yaml:"close" doc:"steps after which nobody goes back"`
	Rollback    *node            `yaml:"rollback" doc:"ways back by name, of which one is chosen; without it a rollback undoes every step, last first"`
}

// overlayFields are the keys that an overlay may have.
var overlayFields = []string{"belay", "environment", "window", "hosts", "vars", "secrets"}

type windowFields struct {
	Start  moment           `yaml:"start" required:"" doc:"beginning with its time zone: 2026-12-01T22:00Z or 2026-12-01T23:00+01:00"`
	Length remote.Duration  `yaml:"length" required:"" doc:"how long it is"`
	Margin *remote.Duration `yaml:"margin" doc:"what a rollback leaves free at the end of the window: the last safe moment is that much earlier; when left out a tenth of the window, at least a minute and at most half of it"`
}

// moment is a time with its zone.
type moment struct{ time.Time }

func (m *moment) UnmarshalText(b []byte) error {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, string(b)); err == nil {
			m.Time = t
			return nil
		}
	}
	return fmt.Errorf("%s is not a time with its zone, such as 2026-12-01T22:00Z or 2026-12-01T23:00+01:00", quote(string(b)))
}

type hostFields struct {
	Local    bool   `yaml:"local" doc:"this very machine, without SSH"`
	Address  string `yaml:"address" scalar:"" doc:"name or IP address, or a Host of ~/.ssh/config; the host's name when left out"`
	User     string `yaml:"user" doc:"login; else what ~/.ssh/config says"`
	Port     int    `yaml:"port" doc:"of SSH; else what ~/.ssh/config says"`
	Jump     string `yaml:"jump" doc:"host that the connection goes through: one of the plan's, or one that ~/.ssh/config knows"`
	Identity string `yaml:"identity" doc:"private key file on this machine"`
	Sudo     *node  `yaml:"sudo" doc:"run commands as root: true, or {password: {secret: name}}"`
}

type sudoFields struct {
	Password secret.Ref `yaml:"password" required:"" doc:"what sudo asks for"`
}

var (
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)
	secretForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,79}$`)
	loginForm  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?$`)
)

// section returns the pairs of a top-level mapping.
func (b *builder) section(n *node, name string) []pair {
	switch {
	case n == nil || n.bad || n.null():
		return nil
	case n.kind != mapping:
		b.c.add(n, "%s takes a mapping of names, not %s", quote(name), n.describe())
		return nil
	}
	return n.pairs
}

// window reads the maintenance window.
func (b *builder) window(w *windowFields, n *node) {
	if w == nil || n == nil || w.Start.IsZero() {
		return
	}
	if w.Length == 0 {
		if at := n.get("length"); at != nil && !at.bad {
			b.c.add(at, "a window has a length")
		}
		return
	}
	length := time.Duration(w.Length)
	margin := min(max(time.Minute, length/10), length/2)
	if w.Margin != nil {
		margin = time.Duration(*w.Margin)
	}
	if at := n.get("margin"); margin >= length && at != nil && !at.bad {
		b.c.add(at, "the margin is a part of the window, which is %s long", length)
	}
	b.plan.Window = &Window{Start: w.Start.Time, Length: length, Margin: margin}
}

// secretSources reads where the secrets come from. Before hosts: sudo names one.
func (b *builder) secretSources(n *node) {
	for _, p := range b.section(n, "secrets") {
		if !secretForm.MatchString(p.key.text) {
			b.c.add(p.key, "%s cannot name a secret: letters, digits, - and _ only", quote(p.key.text))
		}
		b.decoder.secrets[p.key.text] = true
		told := b.c.n
		var src secret.Source
		val := b.fill(p.val, b.vars)
		if val.bad {
			continue
		}
		if val.kind != mapping { // it may well be the secret itself
			b.c.hush(val, "secret %s takes one of {env: …}, {file: …}, {command: …}, {prompt: …}; a secret itself never stands in the plan", quote(p.key.text))
			continue
		}
		b.structure(val, reflect.ValueOf(&src).Elem(), in{what: "secret " + quote(p.key.text), key: p.key}, nil)
		if b.c.n > told {
			continue
		}
		if err := src.Check(); err != nil {
			b.c.add(p.key, "secret %s %s", quote(p.key.text), oneLine(err.Error()))
			continue
		}
		b.plan.Secrets[p.key.text] = src
	}
}

// hostList reads the machines.
func (b *builder) hostList(n *node) {
	pairs := b.section(n, "hosts")
	if n != nil && !n.bad && len(pairs) == 0 && (n.kind == mapping || n.null()) {
		b.c.add(n, "a plan has at least one host")
	}
	for _, p := range pairs {
		b.hosts = append(b.hosts, p.key.text)
	}
	if len(b.hosts) == 1 {
		b.only = b.hosts[0]
	}
	for _, p := range pairs {
		if !hostForm.MatchString(p.key.text) {
			b.c.add(p.key, "%s cannot name a host: letters, digits, dots, - and _, at most 80 of them", quote(p.key.text))
		}
		told := b.c.n
		val := b.fill(p.val, b.vars)
		var f hostFields
		b.value(val, reflect.ValueOf(&f).Elem(), &field{}, in{what: "host " + quote(p.key.text), key: p.key})
		h := Host{
			Name: p.key.text, Local: f.Local, Address: f.Address, User: f.User, Port: f.Port,
			Jump: f.Jump, Identity: f.Identity, Line: p.key.line,
		}
		b.hostValues(h, val)
		h.Sudo = b.sudo(f.Sudo)
		if b.c.n == told && !val.bad {
			b.sameHost(h, p.key)
			b.plan.Hosts = append(b.plan.Hosts, h)
		}
	}
	b.jumps(n)
}

// hostValues refuses what OpenSSH would take for an option or not at all.
func (b *builder) hostValues(h Host, n *node) {
	at := func(name string) *node {
		if v := locate(n, name); v != nil {
			return v
		}
		return n
	}
	if h.Local {
		for _, other := range []string{"address", "user", "port", "jump", "identity"} {
			if n.get(other) != nil {
				b.c.add(n.pair(other).key, "a local host is this very machine; it has no %s", quote(other))
			}
		}
	}
	for name, text := range map[string]string{"address": h.Address, "jump": h.Jump} {
		if text != "" && (strings.HasPrefix(text, "-") || strings.ContainsAny(text, " \t\n@/'\"`$;&|<>")) {
			b.c.add(at(name), "%s is not the name or address of a machine; login and port have keys of their own, `user` and `port`", quote(text))
		}
	}
	if h.User != "" && !loginForm.MatchString(h.User) {
		b.c.add(at("user"), "%s is not a login", quote(h.User))
	}
	if v := n.get("port"); v != nil && (h.Port < 1 || h.Port > 65535) && isNumber(v.text) {
		b.c.add(v, "a port is between 1 and 65535")
	}
}

func (b *builder) sudo(n *node) *Sudo {
	switch {
	case n == nil || n.bad:
		return nil
	case n.kind == scalar && n.text == "true":
		return &Sudo{}
	case n.kind == scalar && n.text == "false":
		return nil
	case n.kind != mapping:
		b.c.hush(n, "`sudo` takes true, or {password: {secret: name}}")
		return nil
	}
	var f sudoFields
	b.structure(n, reflect.ValueOf(&f).Elem(), in{what: "sudo"}, nil)
	return &Sudo{Password: f.Password.Name}
}

// sameHost tells two names of what must be one machine: it would be its own
// source and target.
func (b *builder) sameHost(h Host, at *node) {
	place := func(h Host) string {
		if h.Local {
			return "this machine"
		}
		addr := h.Address
		if addr == "" {
			addr = h.Name
		}
		return fmt.Sprintf("%s@%s:%d by %s", h.User, strings.ToLower(addr), h.Port, h.Jump)
	}
	i := slices.IndexFunc(b.plan.Hosts, func(o Host) bool { return place(o) == place(h) })
	if i >= 0 {
		b.c.add(at, "host %s is the same machine as %s in line %d", quote(h.Name), quote(b.plan.Hosts[i].Name), b.plan.Hosts[i].Line)
	}
}

// jumps tells hosts that can only be reached through themselves.
func (b *builder) jumps(n *node) {
	next := map[string]string{}
	for _, h := range b.plan.Hosts {
		next[h.Name] = h.Jump
	}
	for _, h := range b.plan.Hosts {
		way := []string{h.Name}
		for at := h.Jump; at != "" && len(way) <= len(next); at = next[at] {
			way = append(way, at)
			if at == h.Name {
				b.c.add(n.get(h.Name).getOr("jump"), "host %s is reached through itself: %s", quote(h.Name), strings.Join(way, " → "))
				break
			}
		}
	}
}

func (n *node) getOr(key string) *node {
	if v := n.get(key); v != nil {
		return v
	}
	return n
}

func isNumber(s string) bool { _, err := strconv.Atoi(s); return err == nil }

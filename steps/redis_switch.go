package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/redis"
)

func init() {
	register(Kind{
		Name:    "redis.switch",
		Summary: "Makes the new Redis the master: holds the writers of the old one, waits until nothing is missing, promotes, and says how long that took.",
		Example: `- step: Switch to the new Redis
  redis.switch:
    from: {host: chat, addr: "127.0.0.1:6379", password: {secret: redis_password}}
    to: {host: chat, addr: "127.0.0.1:6380", password: {secret: redis_password}}
    pause: 10s
    old: readonly
`,
		Optional: true,
		New:      func() Step { return &redisSwitch{} },
	})
}

// redisSwitch is the cutover half of redis.copy.
type redisSwitch struct {
	redisEnds  `yaml:",inline"`
	By         string          `yaml:"by" enum:"auto|pause|failover|scan" default:"auto" doc:"pause: CLIENT PAUSE on the source and promote the replica; failover: let the servers change places by FAILOVER; scan: a last pass key by key while writers are held; auto: pause for a target that follows, else scan"`
	Pause      remote.Duration `yaml:"pause" default:"30s" doc:"longest time that writers wait; is it over before the target has everything, they go on at the source and the step fails"`
	Old        string          `yaml:"old" enum:"readonly|follow|open" default:"readonly" doc:"the source afterwards: readonly refuses writes; follow has it follow the target, so that a rollback loses nothing; open takes writes, for sources that are stopped anyway"`
	TargetAddr string          `yaml:"target_addr" doc:"host:port of the target as the source server sees it, for follow and failover; left out, the address of to where both are on one host"`
	Keep       bool            `yaml:"keep" default:"true" doc:"write the target's settings and users to its files at the end, so that a restart does not forget them"`
	AllowEmpty bool            `yaml:"allow_empty" doc:"switch although the source holds no keys at all, which is what a server looks like that came back without its data"`
}

func (r *redisSwitch) Validate() error {
	errs := []error{r.check(), redisAddr("target_addr", r.TargetAddr)}
	if time.Duration(r.Pause) < time.Second {
		errs = append(errs, Field("pause", "%v is less than 1s", r.Pause))
	}
	if r.By == "scan" && r.Old == "follow" {
		errs = append(errs, Field("old", "servers that only a scan joins cannot follow each other"))
	}
	if r.By == "failover" && r.Old == "open" {
		errs = append(errs, Field("old", "after a failover the source follows the target"))
	}
	return errors.Join(errs...)
}

func (r *redisSwitch) HostNames() []string { return r.hosts() }

// Repeatable: a target that is promoted is not promoted again.
func (r *redisSwitch) Repeatable() bool { return true }

// Needs what redis.copy has not asked for: a source that is to follow.
func (r *redisSwitch) Needs(on string) []checks.Check {
	if r.old() != "follow" {
		return nil
	}
	return []checks.Check{&redisBackNeeds{of: r, on: on}}
}

// redisSwitched is what the step has done; nothing in it is secret.
type redisSwitched struct {
	By       string         `json:"by"`
	Guard    redis.GuardWas `json:"guard"` // of the source, as it was
	Source   string         `json:"source"`
	Target   string         `json:"target"`
	Login    bool           `json:"login"` // the source was given a login for its master
	Load     string         `json:"load"`  // repl-diskless-load of the source, as it was; empty: not changed
	Promoted bool           `json:"promoted"`
	From, To time.Time      // nobody could write in between
	Done     bool           `json:"done"`
}

const redisSwitchKey = "redis.switch"

// by chooses the way, and refuses what would lose something.
func (r *redisSwitch) by(p *redisPair) (string, error) {
	follows := redis.Follows(p.b, p.a)
	by := r.By
	if by == "auto" {
		by = "pause"
		if p.b.Role != "slave" {
			by = "scan"
		}
	}
	switch {
	case p.a.Role != "master":
		return "", fmt.Errorf("%s is no master but follows %s; nothing was changed", p.from.Server, p.a.Master)
	case by != "scan" && !follows && p.find != nil && p.b.Role == "slave" && p.b.Master != p.source:
		host, port := redisHostPort(p.source)
		return "", fmt.Errorf("%s follows %s, and %s is at %s now: its container was started again since the copy. Tell the target so (REPLICAOF %s %s), wait until it has caught up, and try again; nothing was changed",
			p.to.Server, p.b.Master, p.from.Server, p.source, host, port)
	case by != "scan" && !follows:
		return "", fmt.Errorf("%s does not follow %s (it is %s, link up: %v, of another history: %v); run redis.copy again; nothing was changed",
			p.to.Server, p.from.Server, p.b.Role, p.b.LinkUp, p.b.ReplID != p.a.ReplID)
	case by == "scan" && p.b.Role != "master":
		return "", fmt.Errorf("%s follows %s; a pass key by key needs one that takes writes; nothing was changed", p.to.Server, p.b.Master)
	case by == "scan" && p.a.Keys() > 0 && p.b.Keys() == 0:
		return "", fmt.Errorf("%s is empty: redis.copy comes first; nothing was changed", p.to.Server)
	case p.a.Keys() == 0 && !r.AllowEmpty:
		return "", fmt.Errorf("%s holds no keys at all. Did it come back without its data? If it is meant to be empty: allow_empty; nothing was changed", p.from.Server)
	}
	if by == "scan" && r.old() == "follow" && !p.a.Reads(p.b) {
		return "", fmt.Errorf("%s (%s) cannot follow the target: it does not read what %s writes out; say old: readonly; nothing was changed", p.from.Server, p.a, p.b)
	}
	return by, redisRoom(p.a, p.b)
}

// target is how the source sees the target, where it shall follow it.
func (r *redisSwitch) target(p *redisPair) (string, error) {
	if r.TargetAddr != "" {
		return r.TargetAddr, nil
	}
	if p.from.Server.Host.Name == p.to.Server.Host.Name && r.From.Container == "" && redisAddr("", p.to.Server.Addr) == nil {
		return p.to.Server.Addr, nil
	}
	return "", errors.New("how the source server reaches the target is not known: give target_addr; nothing was changed")
}

// Pending is the switch, unless the target is a master of the source's history.
func (r *redisSwitch) Pending(ctx context.Context, e Env) ([]Change, error) {
	var m redisSwitched
	if _, err := e.Memory.Get(redisSwitchKey, &m); err != nil {
		return nil, err
	}
	p, err := r.open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if m.Done && p.b.Role == "master" || redisChanged(p) {
		return nil, nil
	}
	if m.Promoted {
		return []Change{{Text: "finish the switch: " + r.after()}}, nil
	}
	by, err := r.by(p)
	if err != nil {
		return nil, err
	}
	return []Change{
		{Text: fmt.Sprintf("hold the writers of %s for %v at most (by %s)", p.from.Server, r.Pause, by), Cmd: fmt.Sprintf("CLIENT PAUSE %d WRITE", time.Duration(r.Pause).Milliseconds())},
		{Text: fmt.Sprintf("make %s the master (%s)", p.to.Server, p.a.Spaces()), Cmd: "REPLICAOF NO ONE"},
		{Text: r.after()},
	}, nil
}

// redisChanged tells that source and target have changed places already.
func redisChanged(p *redisPair) bool {
	return p.b.Role == "master" && p.a.Role == "slave" && p.a.ReplID == p.b.ReplID
}

// old is what becomes of the source: FAILOVER knows one way only.
func (r *redisSwitch) old() string {
	if r.By == "failover" {
		return "follow"
	}
	return r.Old
}

func (r *redisSwitch) after() string {
	return map[string]string{"readonly": "the source refuses writes from then on", "follow": "the source follows the target from then on",
		"open": "the source takes writes again"}[r.old()]
}

// Apply switches, or finishes a switch that was cut short.
func (r *redisSwitch) Apply(ctx context.Context, e Env) error {
	var m redisSwitched
	if _, err := e.Memory.Get(redisSwitchKey, &m); err != nil {
		return err
	}
	p, err := r.open(ctx, e)
	if err != nil {
		return err
	}
	defer p.close()
	promoted, _ := redis.PromotedFrom(p.b, p.a)
	var f redis.Frozen
	switch {
	case m.Promoted || m.By == "pause" && promoted || redisChanged(p):
		fmt.Fprintln(e.Log, "-- the target is the master already")
	default:
		if f, err = r.move(ctx, e, p, &m); err != nil {
			return err
		}
		fmt.Fprintf(e.Log, "-- frozen time: writers could write nowhere for %v (%s to %s)\n", f.For().Round(time.Millisecond),
			f.From.UTC().Format("15:04:05.000"), f.To.UTC().Format("15:04:05.000"))
		m.From, m.To = f.From, f.To
	}
	m.Promoted = true
	if err := e.Memory.Put(redisSwitchKey, m); err != nil {
		return err
	}
	if err := r.finish(ctx, e, p, &m); err != nil {
		return fmt.Errorf("the target is the master and has everything, but: %w; try again", err)
	}
	m.Done = true
	return e.Memory.Put(redisSwitchKey, m)
}

// move is the frozen part.
func (r *redisSwitch) move(ctx context.Context, e Env, p *redisPair, m *redisSwitched) (f redis.Frozen, err error) {
	if m.By == "" { // else the guard may stand, and is not what was
		if m.Guard, err = p.from.ReadGuard(ctx); err != nil {
			return f, err
		}
	}
	if m.By, err = r.by(p); err != nil {
		return f, err
	}
	m.Source = p.source
	if r.old() == "follow" {
		if m.Target, err = r.target(p); err != nil {
			return f, err
		}
		if err := redisBackLogin(ctx, p, m); err != nil {
			return f, err
		}
		if err := redisBackLoad(ctx, p, m); err != nil {
			return f, err
		}
	}
	if err := e.Memory.Put(redisSwitchKey, *m); err != nil {
		return f, err
	}
	if m.Load != "" {
		if err := p.from.Set(ctx, redisLoadSetting, redisLoadSafe); err != nil {
			return f, err
		}
	}
	if m.Login {
		if err := p.from.LogInToMaster(ctx, p.to.Server.User, p.to.Server.Password); err != nil {
			return f, err
		}
	}
	h := redis.Handover{From: p.from, To: p.to, Was: m.Guard, Pause: time.Duration(r.Pause), Say: func(text string) { e.Say(Progress{Text: text}) }}
	switch m.By {
	case "failover":
		host, port := redisHostPort(m.Target)
		return h.Failover(ctx, host, port)
	case "scan":
		h.LastPass = func(ctx context.Context) error {
			if err := p.look(ctx); err != nil {
				return err
			}
			if _, err := redisScan(ctx, e, p, &redisMine{}); err != nil {
				return err
			}
			mark, err := p.to.WriteMark(ctx)
			if err != nil {
				return err
			}
			return e.Memory.Put(redisPassKey, redisPass{mark, p.a.Keys()})
		}
	}
	return h.Run(ctx)
}

// redisPass is a last pass that came to its end: the target held then what the
// source held, and nothing else. redis.copy, which filled it, recalls it.
type redisPass struct {
	Mark string `json:"mark"` // of the target, when the pass was over; it names the server, too
	Keys int64  `json:"keys"` // of the source
}

const redisPassKey = "redis.pass"

// redisPasses are those of the run.
func redisPasses(e Env) (all []redisPass) {
	if e.Recall == nil {
		return nil
	}
	for _, b := range e.Recall(redisPassKey) {
		var p redisPass
		if json.Unmarshal(b, &p) == nil && p.Mark != "" {
			all = append(all, p)
		}
	}
	return all
}

// redisBackLogin refuses to let the source log in to the target as somebody
// else than it may do already.
func redisBackLogin(ctx context.Context, p *redisPair, m *redisSwitched) error {
	foreign, err := p.from.MasterLogin(ctx, p.to.Server.User, p.to.Server.Password)
	if err != nil {
		return err
	}
	if foreign {
		return fmt.Errorf("%s has a masterauth or masteruser of its own, which belay would have to write down to put it back: take it out there first, or say old: readonly; nothing was changed", p.from.Server)
	}
	m.Login = true
	return nil
}

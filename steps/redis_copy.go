package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/redis"
)

func init() {
	register(Kind{
		Name:    "redis.copy",
		Summary: "Brings all the data of a Redis or Valkey server to an empty one, by replication or key by key, while the old one serves.",
		Example: `- step: Copy the sessions to the new Redis
  redis.copy:
    from: {host: chat, addr: "127.0.0.1:6379", password: {secret: redis_password}}
    to: {host: chat, addr: "127.0.0.1:6380", password: {secret: redis_password}}
    by: auto
    users: copy
    config: report
`,
		Optional: true,
		New:      func() Step { return &redisCopy{} },
	})
}

// redisCopy fills an empty server from another.
type redisCopy struct {
	redisEnds `yaml:",inline"`
	By        string          `yaml:"by" enum:"auto|replication|scan" default:"auto" doc:"replication: the target follows the source until redis.switch; scan: key by key, for sources that let nobody follow; auto: replication where both allow it"`
	Users     string          `yaml:"users" enum:"report|copy" default:"report" doc:"users of the ACL, which replication leaves out: tell how they differ, or make the missing ones with their hashed passwords"`
	Config    string          `yaml:"config" enum:"report|copy" default:"report" doc:"maxmemory and its policy, notify-keyspace-events, appendonly, save: tell how they differ, or set them on the target"`
	Patience  remote.Duration `yaml:"patience" default:"2m" doc:"how long to wait for a copy that makes no headway, or for a lost link"`
}

func (r *redisCopy) Validate() error {
	errs := []error{r.check()}
	if r.Patience <= 0 {
		errs = append(errs, Field("patience", "it must be more than 0"))
	}
	if r.By == "replication" && r.From.TLS != "" && r.From.TLS != "disable" {
		errs = append(errs, Field("by", "the target would follow a source with TLS; set tls-replication there and use addresses without, or copy by scan"))
	}
	return errors.Join(errs...)
}

func (r *redisCopy) HostNames() []string { return r.hosts() }

// Repeatable: a target that follows is left to follow, and keys are replaced.
func (r *redisCopy) Repeatable() bool { return true }

func (r *redisCopy) Needs(on string) []checks.Check { return []checks.Check{&redisNeeds{r, on}} }

// redisMine is what the step has done to the target; nothing in it is secret.
type redisMine struct {
	By        string            `json:"by"`
	Source    string            `json:"source"`    // as the target was told
	Before    string            `json:"before"`    // as it was told before, where the source's container got another address
	Run       string            `json:"run"`       // of the source
	HadKeys   bool              `json:"had_keys"`  // the source
	Settings  map[string]string `json:"settings"`  // of the target, as they were
	Users     []string          `json:"users"`     // made on the target
	Login     bool              `json:"login"`     // the target was given a login for its master
	Functions bool              `json:"functions"` // libraries were copied; there were none
	Done      bool              `json:"done"`
	Mark      string            `json:"mark"`   // of the source, when the pass began
	Filled    string            `json:"filled"` // of the target, when the pass was over
	At        time.Time         `json:"at"`
}

const redisMineKey = "redis.copy"

// told tells whether the target was told that this is the source.
func (m redisMine) told(master string) bool { return master == m.Source || master == m.Before }

// tell takes note of what the target is told from now on.
func (m *redisMine) tell(source string) {
	if m.Source != "" && m.Source != source {
		m.Before = m.Source
	}
	m.Source = source
}

// redisOwn says what stands in the way of filling the target; nil if nothing.
func redisOwn(p *redisPair, mine redisMine, found bool, libraries int) error {
	switch promoted, _ := redis.PromotedFrom(p.b, p.a); {
	case p.b.Role == "slave" && (p.b.ReplID == p.a.ReplID || found && mine.told(p.b.Master)):
		return nil
	case p.b.Role == "slave":
		return fmt.Errorf("%s follows %s, which is not the source; if nobody needs that, end it there (REPLICAOF NO ONE) and empty it; nothing was changed", p.to.Server, p.b.Master)
	case promoted || found:
		return nil
	case p.b.Keys() > 0:
		return fmt.Errorf("%s is not empty (%s), and none of it is of this step; a copy would replace it. Choose another target or, if nobody needs it, empty it yourself (FLUSHALL); nothing was changed", p.to.Server, p.b.Spaces())
	case libraries > 0:
		return fmt.Errorf("%s has %d libraries of functions that a copy would replace; if nobody needs them, remove them yourself (FUNCTION FLUSH); nothing was changed", p.to.Server, libraries)
	}
	return nil
}

// state opens both sides, and refuses a target that is not to be filled.
func (r *redisCopy) state(ctx context.Context, e Env) (*redisPair, redisMine, bool, error) {
	var mine redisMine
	found, err := e.Memory.Get(redisMineKey, &mine)
	if err != nil {
		return nil, mine, false, err
	}
	p, err := r.open(ctx, e)
	if err != nil {
		return nil, mine, found, err
	}
	libraries, err := p.to.Functions(ctx)
	if err == nil {
		err = redisOwn(p, mine, found, len(libraries))
	}
	if err == nil {
		err = redisRoom(p.a, p.b)
	}
	if err == nil {
		err = redisFields(ctx, p)
	}
	if err != nil {
		p.close()
		return nil, mine, found, err
	}
	return p, mine, found, nil
}

// redisRoom refuses a target whose limit is too low: it would refuse keys, or
// throw some away as soon as it is promoted, silently.
func redisRoom(a, b redis.Info) error {
	if b.MaxMemory > 0 && a.Used > b.MaxMemory {
		return fmt.Errorf("the target's maxmemory is %s (%s), the source uses %s: raise it first; nothing was changed",
			remote.FormatBytes(b.MaxMemory), b.Policy, remote.FormatBytes(a.Used))
	}
	return nil
}

// redisFields refuses a target that would keep for ever what shall expire.
func redisFields(ctx context.Context, p *redisPair) error {
	n := p.a.Fields()
	if n == 0 {
		return nil
	}
	ok, err := p.to.Has(ctx, "HPEXPIREAT")
	if err == nil && !ok {
		err = fmt.Errorf("%d hashes of the source have fields that expire, which %s (%s) does not know (Valkey since 9.0, Redis since 7.4): choose a newer target, or take the expiry away (HPERSIST); nothing was changed", n, p.to.Server, p.b)
	}
	return err
}

// how chooses the way, and says why where it is not the first choice.
func (r *redisCopy) how(ctx context.Context, p *redisPair) (by, why string, err error) {
	if r.By == "scan" {
		return "scan", "", nil
	}
	why, err = redisNoReplication(ctx, p)
	switch {
	case err != nil:
		return "", "", err
	case why == "":
		return "replication", "", nil
	case r.By == "replication":
		return "", "", fmt.Errorf("replication cannot be: %s; nothing was changed", why)
	}
	return "scan", why, nil
}

// redisNoReplication says why the target cannot follow the source; "" if it can.
func redisNoReplication(ctx context.Context, p *redisPair) (string, error) {
	if !p.b.Reads(p.a) {
		return fmt.Sprintf("%s does not read what %s writes out", p.b, p.a), nil
	}
	if t := p.from.Server.TLS; t != "" && t != "disable" {
		return "the source wants TLS", nil
	}
	for _, need := range []struct {
		c       *redis.Client
		side    string
		command []string
	}{{p.from, "source", []string{"PSYNC", "?", "-1"}}, {p.from, "source", []string{"REPLCONF", "ack", "0"}},
		{p.to, "target", []string{"REPLICAOF", "NO", "ONE"}}, {p.to, "target", []string{"CONFIG", "SET", "masterauth", ""}}} {
		ok, err := need.c.Has(ctx, need.command...)
		if err != nil {
			return "", err
		}
		if !ok {
			return fmt.Sprintf("the %s does not let belay's user call %s", need.side, need.command[0]), nil
		}
	}
	if p.b.Role == "slave" { // it has shown that it reaches the source
		return "", nil
	}
	if err := p.reach(ctx); err != nil {
		return err.Error(), nil
	}
	foreign, err := p.to.MasterLogin(ctx, p.from.Server.User, p.from.Server.Password)
	if redis.Refused(err) {
		return err.Error(), nil
	}
	if foreign {
		return "the target has a masterauth or masteruser of its own, which belay would have to write down to put it back: take it out there first", err
	}
	return "", err
}

// Pending lists the data, and the users and settings that are to be copied.
func (r *redisCopy) Pending(ctx context.Context, e Env) ([]Change, error) {
	p, mine, _, err := r.state(ctx, e)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if promoted, _ := redis.PromotedFrom(p.b, p.a); promoted {
		return nil, nil
	}
	var todo []Change
	switch by, why, err := r.how(ctx, p); {
	case err != nil:
		return nil, err
	case by == "scan" && !mine.Done:
		text := fmt.Sprintf("copy %s key by key to %s (%s)", p.from.Server, p.to.Server, p.a.Spaces())
		if why != "" {
			text += ", because " + why
		}
		todo = append(todo, Change{Text: text, Bytes: p.a.Used, Rows: p.a.Keys()})
	case by == "replication" && !redis.Follows(p.b, p.a):
		host, port, _ := strings.Cut(p.source, ":")
		todo = append(todo, Change{Text: fmt.Sprintf("make %s follow %s (%s)", p.to.Server, p.source, p.a.Spaces()), Cmd: "REPLICAOF " + host + " " + port, Bytes: p.a.Used, Rows: p.a.Keys()})
	}
	x, err := r.extras(ctx, p)
	if err != nil {
		return nil, err
	}
	return append(todo, x.changes()...), nil
}

// Apply takes over users and settings, and then fills the target. Called again
// it goes on: a target that follows follows yet, and keys are replaced.
func (r *redisCopy) Apply(ctx context.Context, e Env) error {
	p, mine, found, err := r.state(ctx, e)
	if err != nil {
		return err
	}
	defer p.close()
	if promoted, _ := redis.PromotedFrom(p.b, p.a); promoted {
		fmt.Fprintln(e.Log, "-- the target was promoted already; nothing is copied to it any more")
		return nil
	}
	by, why, err := r.how(ctx, p)
	if err != nil {
		return err
	}
	if why != "" {
		fmt.Fprintln(e.Log, "-- key by key, because", why)
	}
	if !found {
		mine = redisMine{Settings: map[string]string{}, At: time.Now()}
	}
	mine.tell(p.source)
	mine.By, mine.Run, mine.HadKeys = by, p.a.RunID, p.a.Keys() > 0
	x, err := r.extras(ctx, p)
	if err != nil {
		return err
	}
	if err := x.apply(ctx, e, p, &mine, false); err != nil {
		return err
	}
	if by == "replication" {
		err = r.replicate(ctx, e, p, &mine)
	} else {
		err = r.scan(ctx, e, p, &mine)
	}
	if err != nil {
		return err
	}
	if err := x.apply(ctx, e, p, &mine, true); err != nil {
		return err
	}
	mine.Done = true
	return e.Memory.Put(redisMineKey, mine)
}

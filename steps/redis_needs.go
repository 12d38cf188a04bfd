package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/steps/redis"
)

// redisNeeds judges, before anything has changed, whether a redis.copy can be.
type redisNeeds struct {
	copy *redisCopy
	on   string
}

// CheckName implements checks.Namer.
func (n *redisNeeds) CheckName() string { return "redis" }

// HostNames are the hosts that are looked at.
func (n *redisNeeds) HostNames() []string {
	return storeHosts(n.on, n.copy.From.store, n.copy.To.store)
}

// Assess logs in to both servers.
func (n *redisNeeds) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	p, j, err := n.open(ctx, w)
	if p == nil {
		return j.all, err
	}
	defer p.close()
	libraries, err := p.to.Functions(ctx)
	if err != nil {
		return nil, err
	}
	if err := redisOwn(p, redisMine{}, false, len(libraries)); err != nil && redisCopied(ctx, p) {
		// The step itself knows whether it is its own; an assessment does not.
		j.say("target", checks.Warn, fmt.Sprintf("%s holds %s that the source has as well: an earlier copy, it seems", p.to.Server, p.b.Spaces()), "go on if a step of this run made it; else empty it")
	} else if err != nil {
		j.say("target", checks.Block, err.Error(), "choose another target, or empty it yourself")
	} else {
		j.say("target", checks.Pass, fmt.Sprintf("%s (%s) takes the data of %s (%s, %s, %s)", p.to.Server, p.b, p.from.Server, p.a, p.a.Spaces(), remote.FormatBytes(p.a.Used)), "")
	}
	n.way(ctx, p, j)
	redisMemory(p, j)
	if err := redisFields(ctx, p); err != nil {
		j.say("fields", checks.Block, err.Error(), "choose a target of the source's version or newer")
	}
	if err := redisLibraries(ctx, p, j); err != nil {
		return j.all, err
	}
	return j.all, n.settings(ctx, p, j)
}

// open connects to both. Where it cannot, the pair is nil and the verdicts say
// so, or the error does.
func (n *redisNeeds) open(ctx context.Context, w checks.World) (*redisPair, *redisVerdicts, error) {
	key := n.copy.To.where(redisPort)
	j := &redisVerdicts{key: key, of: n.copy, source: n.copy.From.on(n.on), target: n.copy.To.on(n.on)}
	for _, name := range n.HostNames() {
		if why := w.Unreached[name]; why != nil {
			return nil, j, fmt.Errorf("host %s was not reached", name)
		}
	}
	e := Env{Host: w.Hosts[n.on], Hosts: w.Hosts, Secret: w.Secret, Memory: MapMemory{}}
	p, err := n.copy.open(ctx, e)
	if err != nil {
		awaits := ""
		if absent, yes := storeAbsent(ctx, w, n.on, n.copy.To.store, redisPort, key); yes {
			awaits = absent.Awaits // nothing else that went wrong comes right by itself
		}
		j.noLogin(err, awaits)
		return nil, j, nil
	}
	return p, j, nil
}

// redisCopied tells whether random keys of the target are those of the source.
func redisCopied(ctx context.Context, p *redisPair) bool {
	for _, db := range p.b.DBs() {
		if unlike, err := redis.Sample(ctx, p.to.Server.With(db), p.from.Server.With(db), redisSample); err != nil || len(unlike) > 0 {
			return false
		}
	}
	return p.b.Role == "master" && p.b.Keys() > 0
}

type redisVerdicts struct {
	key, source, target string
	of                  *redisCopy
	all                 []checks.Finding
}

// say judges the target.
func (j *redisVerdicts) say(about string, level checks.Level, text, fix string) {
	f := checks.Finding{Check: "redis", Key: about + " " + j.key, Host: j.target, Level: level, Text: text, Fix: fix}
	j.all = append(j.all, j.of.To.tell(f, "redis", redisPort))
}

// saySource judges the source.
func (j *redisVerdicts) saySource(about string, level checks.Level, text, fix string) {
	f := checks.Finding{Check: "redis", Key: about + " " + j.key, Host: j.source, Level: level, Text: text, Fix: fix}
	j.all = append(j.all, j.of.From.tell(f, "redis", redisPort))
}

// noLogin judges a server that could not be asked. A target may be there only
// once an earlier step has started it; one that answers and refuses is wrong
// now as well.
func (j *redisVerdicts) noLogin(err error, awaits string) {
	side, _ := errors.AsType[*redisSideError](err)
	switch {
	case side != nil && side.Side == "source":
		j.saySource("log in", checks.Block, err.Error(), "correct address, user and password, or see why the server does not answer")
	case side != nil && !redis.Refused(err):
		j.say("log in", checks.Unknown, err.Error(), "if a step of this plan starts it first, accept that: the copy looks again before it changes anything; else correct the address")
		j.all[len(j.all)-1].Awaits = awaits
	default:
		j.say("log in", checks.Block, err.Error(), "correct address, user and password")
	}
}

func (n *redisNeeds) way(ctx context.Context, p *redisPair, j *redisVerdicts) {
	by, why, err := n.copy.how(ctx, p)
	switch {
	case err != nil:
		j.say("way", checks.Block, err.Error(), "mend it, or copy by scan")
	case why != "":
		j.say("way", checks.Warn, "key by key, because replication cannot be: "+why, "the writers then wait for a whole pass at the switch; mend it if that is too long")
	default:
		j.say("way", checks.Pass, "by "+by, "")
	}
}

// redisLibraries looks for functions that only Valkey takes.
func redisLibraries(ctx context.Context, p *redisPair, j *redisVerdicts) error {
	all, err := p.from.Functions(ctx)
	for _, l := range all {
		if l.ForValkey() && p.b.Flavour != "valkey" {
			j.say("functions", checks.Warn, fmt.Sprintf("library %s says \"server.\", as Valkey has it; %s knows \"redis.\" alone and would refuse it, and the copy with it", l.Name, p.b),
				"say redis. in the source's library, which Valkey takes as well")
		}
	}
	return err
}

func redisMemory(p *redisPair, j *redisVerdicts) {
	used := remote.FormatBytes(p.a.Used)
	switch {
	case redisRoom(p.a, p.b) != nil:
		j.say("memory", checks.Block, redisRoom(p.a, p.b).Error(), "raise maxmemory on the target")
	case p.b.Memory > 0 && p.a.Used > p.b.Memory/4*3:
		j.say("memory", checks.Warn, fmt.Sprintf("the source uses %s, and the target's machine has %s in all", used, remote.FormatBytes(p.b.Memory)), "give the machine more")
	case p.b.MaxMemory > 0 && p.a.Used > p.b.MaxMemory/10*9:
		j.say("memory", checks.Warn, fmt.Sprintf("the source uses %s of the %s that the target may", used, remote.FormatBytes(p.b.MaxMemory)), "raise maxmemory on the target")
	default:
		j.say("memory", checks.Pass, used+" will fit", "")
	}
}

// settings also looks for the source that forgets everything when it is
// started again: whoever follows it forgets with it.
func (n *redisNeeds) settings(ctx context.Context, p *redisPair, j *redisVerdicts) error {
	save, err := p.from.Settings(ctx, "save")
	if err != nil && !redis.Refused(err) {
		return err
	}
	if err == nil && !p.a.Persistent(save["save"]) && p.a.Keys() > 0 {
		j.saySource("persistence", checks.Warn, "the source keeps nothing on a disk: started again it is empty, and so is a target that follows it",
			"do not restart it until the switch, or let it save (CONFIG SET save \"900 1\")")
	}
	highest := 0
	for db := range p.a.Keyspace {
		highest = max(highest, db)
	}
	if now, err := p.to.Settings(ctx, "databases"); err == nil {
		var have int
		if _, err := fmt.Sscan(now["databases"], &have); err == nil && highest >= have {
			j.say("databases", checks.Block, fmt.Sprintf("the source uses db%d, the target has %d databases", highest, have), "set `databases` in the target's configuration and start it again")
		}
	}
	x, err := n.copy.extras(ctx, p)
	if err != nil {
		j.say("settings", checks.Block, err.Error(), "give belay's user the right, or leave out what cannot be copied")
		return nil
	}
	if len(x.notes) > 0 {
		j.say("settings", checks.Warn, strings.ToUpper(x.notes[0][:1])+redisNotes(x.notes)[1:], "make them alike, say copy in the step, or accept it")
	} else {
		j.say("settings", checks.Pass, "users and settings are alike, or will be", "")
	}
	return nil
}

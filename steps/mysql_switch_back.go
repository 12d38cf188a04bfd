package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"belay/checks"
	"belay/steps/mysql"
)

func init() {
	register(Kind{
		Name:    "mysql.part",
		Summary: "Ends the way back of mysql.switch: from then on the old server does not follow the new one, and a rollback loses what is written. There is no undo.",
		Example: `- step: Part from the old server
  mysql.part:
    from: {host: old, user: root, password: {secret: old_root}}
    to: {host: new, user: root, password: {secret: new_root}}
`,
		Optional: true,
		New:      func() Step { return &mysqlPart{} },
	})
}

// back is the replication from the new server to the old one.
func (b *mysqlBoth) back(addr string, databases []string) *mysqlBoth {
	r := mysql.Replica{Source: b.Target, Target: b.Source, Name: b.Name + "_back", From: addr, Databases: databases}
	return &mysqlBoth{Replica: r, source: b.target, target: b.source}
}

func (s *mysqlSwitch) backwards(b *mysqlBoth, at mysqlSwitched) *mysqlBoth {
	return b.back(s.Reverse, at.Databases)
}

// reverse lets the old server follow the new one from the moment of the
// switch, which is before anybody writes there.
func (s *mysqlSwitch) reverse(ctx context.Context, e Env, b *mysqlBoth, at *mysqlSwitched) error {
	back := s.backwards(b, *at)
	if !at.Reversed {
		others, err := back.Others(ctx, back.target)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return fmt.Errorf("it follows another server already (%s)", strings.Join(others, ", "))
		}
		r := &mysqlReplicate{Databases: at.Databases}
		if _, at.Lock, err = r.scope(ctx, back); err != nil {
			return err
		}
		if at.Position, err = mysql.SlavePosition(ctx, back.target); err != nil {
			return err
		}
		if at.From, err = b.target.GTID(ctx); err != nil {
			return err
		}
		if err := e.Memory.Put(mysqlSwitchKey, at); err != nil {
			return err
		}
		if err := back.Begin(ctx, back.target, "GTID "+at.From); err != nil {
			return err
		}
		at.Reversed = true
		if err := e.Memory.Put(mysqlSwitchKey, at); err != nil {
			return err
		}
	}
	// They run on the new server now, and what they write comes from there.
	if err := back.SwitchEvents(ctx, back.target, at.Events, false); err != nil {
		return fmt.Errorf("events of the old server: %w", err)
	}
	l, err := back.Lag(ctx, back.source, back.target)
	if err != nil {
		return err
	}
	if !l.Running || !l.Filtered {
		if err := back.Connect(ctx, back.source, back.target, at.Lock); err != nil {
			return err
		}
	}
	if err := back.MakeCanary(ctx, back.source, at.Lock); err != nil {
		return err
	}
	limited, stop := context.WithTimeoutCause(ctx, time.Duration(s.Wait), errors.New("not within "+s.Wait.String()))
	defer stop()
	if err := back.Arrives(limited, back.source, back.target, e.ID); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- the old server follows the new one, as login %s, from %s on: a rollback loses nothing until mysql.part\n", back.Name, at.From)
	return nil
}

// Undo makes the target refuse writes again, and brings what was written on it
// to the old server, where that follows it.
func (s *mysqlSwitch) Undo(ctx context.Context, e Env) error {
	var at mysqlSwitched
	if _, err := e.Memory.Get(mysqlSwitchKey, &at); err != nil {
		return err
	}
	if !at.Level {
		fmt.Fprintln(e.Log, "-- nothing was switched, so there is nothing to undo")
		return nil
	}
	b, err := s.both(ctx, e, at)
	if err != nil {
		return err
	}
	defer b.close()
	if b.target, err = b.Target.Open(ctx); err != nil {
		if at.Reversed {
			// Not as an unreached host, which would be a debt without a question, and
			// the old server would open while people may still write to the new one.
			return fmt.Errorf("%v; %v", err, s.stranded(ctx, b, at))
		}
		return err
	}
	// Before the server refuses writes, be they of a superuser.
	if err := b.SwitchEvents(ctx, b.target, at.Events, false); err != nil {
		return err
	}
	if at.Was.On || at.Reversed {
		if err := b.target.SetReadOnly(ctx, mysql.ReadOnly{On: true, Super: at.Reversed && !b.target.Version.MariaDB}, max(time.Duration(s.Grace), time.Second)); err != nil {
			return err
		}
		ended, err := b.target.EndSessions(ctx, time.Duration(s.Grace))
		for _, x := range ended {
			fmt.Fprintf(e.Log, "ended %s\n", x)
		}
		if err != nil {
			return err
		}
	}
	if at.Reversed {
		if err := s.drainBack(ctx, e, b, at); err != nil {
			return err
		}
	} else if at.Ended {
		fmt.Fprintln(e.Log, "-- the source is as it was when it was frozen; what was written on the target since the switch is not on the source")
	}
	return e.Memory.Put(mysqlSwitchKey, mysqlSwitched{})
}

// drainBack brings the old server level with the new one, which refuses
// writes by now, and ends the way back.
func (s *mysqlSwitch) drainBack(ctx context.Context, e Env, b *mysqlBoth, at mysqlSwitched) (err error) {
	if b.source, err = b.Source.Open(ctx); err != nil {
		return fmt.Errorf("source: %v; the new server refuses writes and keeps what the old one lacks: roll back again when it is there", err) // no debt by itself
	}
	back := s.backwards(b, at)
	there, err := back.Look(ctx, back.source, back.target)
	if err != nil {
		return err
	}
	if there.Account || there.Link { // else an earlier undo was done with it
		if err := back.MakeCanary(ctx, back.source, at.Lock); err != nil {
			return err
		}
		limited, stop := context.WithTimeoutCause(ctx, time.Duration(s.Wait), fmt.Errorf("not level within %s; both servers refuse writes: roll back again, or leave it as a debt and lose what is missing", s.Wait))
		defer stop()
		m := &mysqlMender{b: back, e: e, lock: at.Lock}
		err := back.Drain(limited, back.source, back.target, e.ID+" back", func(l mysql.Lag) { mysqlSayLag(e, l) }, func(l mysql.Lag) error { return m.mend(limited, l) })
		if err != nil {
			return fmt.Errorf("bring the old server level: %w", err)
		}
		fmt.Fprintln(e.Log, "-- the old server has all that was written on the new one")
	}
	if err := mysqlEndBack(ctx, back); err != nil {
		return err
	}
	if err := back.SwitchEvents(ctx, back.target, at.Events, true); err != nil {
		return fmt.Errorf("events of the old server: %w", err)
	}
	if err := back.PutBack(ctx, back.target, at.Position); err != nil {
		fmt.Fprintf(e.Log, "-- gtid_slave_pos of the old server stays as it is: %v\n", err)
	}
	return b.target.SetReadOnly(ctx, at.Was, time.Minute)
}

// mysqlEndBack ends the way back on both sides. The source goes last: by what is
// there, the next attempt knows that it is not done.
func mysqlEndBack(ctx context.Context, back *mysqlBoth) error {
	if _, err := back.StopTarget(ctx, back.target); err != nil {
		return err
	}
	if err := back.DropCanary(ctx, back.target); err != nil {
		return err
	}
	return back.StopSource(ctx, back.source)
}

// stranded is for a new server that is not reached: the old one applies what it
// has got, and then follows no more, lest the new one, when it comes back,
// writes into an old one that is open again.
func (s *mysqlSwitch) stranded(ctx context.Context, b *mysqlBoth, at mysqlSwitched) error {
	const fix = "roll back again when it is there, or leave it as a debt: what the new server had written after that is then only there"
	var err error
	if b.source, err = b.Source.Open(ctx); err != nil {
		return err
	}
	back := s.backwards(b, at)
	limited, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	behind := back.Received(limited, back.target)
	if err := back.Pause(context.WithoutCancel(ctx), back.target); err != nil {
		return err
	}
	if err := back.SwitchEvents(ctx, back.target, at.Events, true); err != nil {
		return fmt.Errorf("events of the old server: %w", err)
	}
	if behind != nil {
		return fmt.Errorf("the new server is not reached, and the old one has not applied all that it got from it: %w; it does not follow it now: %s", behind, fix)
	}
	now, err := mysql.SlavePosition(ctx, back.target)
	if err != nil {
		return err
	}
	return fmt.Errorf("the new server is not reached; the old one has applied all that it got from it (up to %s), and does not follow it now: %s", now, fix)
}

// mysqlReverseNeed is what the way back relies on.
type mysqlReverseNeed struct {
	step *mysqlSwitch
	on   string
}

func (n *mysqlReverseNeed) CheckName() string { return "mysql" }

// HostNames are the hosts that reach the servers.
func (n *mysqlReverseNeed) HostNames() []string {
	return storeHosts(n.on, n.step.From.store, n.step.To.store)
}

// Assess judges the new server's log, and the old one as a replica.
func (n *mysqlReverseNeed) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	at := n.step.To.on(n.on)
	for _, h := range n.HostNames() {
		if err := w.Unreached[h]; err != nil {
			return []checks.Finding{{Host: at, Key: "reverse", Level: checks.Unknown, Text: "not judged: host " + h + " was not reached", Fix: "reach the host first, then re-check"}}, nil
		}
	}
	b, err := n.step.both(ctx, Env{Host: w.Hosts[n.on], Hosts: w.Hosts, Secret: w.Secret}, mysqlSwitched{})
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	v, err := b.target.Globals(ctx)
	if err != nil {
		return nil, err
	}
	j := &mysqlJudge{of: n.step.To, host: at, side: "back"}
	j.say("log_bin", v["log_bin"] == "ON" && v["binlog_format"] == "ROW", checks.Block, fmt.Sprintf("log_bin of the new server is %s, binlog_format %s", v["log_bin"], v["binlog_format"]),
		"set log_bin and binlog_format = ROW there before anything moves, or leave reverse out")
	a, z := b.source.Version, b.target.Version
	j.say("version", a.Major == z.Major && a.Minor == z.Minor, checks.Warn, fmt.Sprintf("the old server is %s, the new one %s", a, z),
		"an old release that follows a newer one is nobody's promise: rehearse it, with what the application writes")
	others, err := b.back("", nil).Others(ctx, b.source)
	if err != nil {
		return nil, err
	}
	j.say("others", len(others) == 0, checks.Block, fmt.Sprintf("the old server follows %d others", len(others)), "leave reverse out: "+strings.Join(others, ", "))
	s, err := b.source.Globals(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.stopped(ctx, j, b); err != nil {
		return nil, err
	}
	j.say("strict", !a.MariaDB || s["gtid_strict_mode"] != "ON" || v["log_slave_updates"] == "ON", checks.Block,
		"gtid_strict_mode of the old server is "+s["gtid_strict_mode"]+", log_slave_updates of the new one "+v["log_slave_updates"], "set log_slave_updates on the new server, so that its numbers go on from the old one's")
	return j.all, nil
}

// stopped names those whom read_only will not keep from writing while a
// rollback brings all back: what they write on the new server then may not
// arrive. The accounts of the old server count, for they may come along.
func (n *mysqlReverseNeed) stopped(ctx context.Context, j *mysqlJudge, b *mysqlBoth) error {
	var all []string
	for _, db := range []*mysql.DB{b.source, b.target} {
		some, err := db.Unstopped(ctx)
		if err != nil {
			return err
		}
		for _, name := range some {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	text := "read_only stops every account but the servers' own and belay's while a rollback brings all back"
	if len(all) > 0 {
		text = "read_only does not stop these accounts (READ ONLY ADMIN, or SUPER) while a rollback brings all back: " + strings.Join(all, ", ")
	}
	j.say("read_only", len(all) == 0, checks.Warn, text, "REVOKE READ ONLY ADMIN, SUPER ON *.* FROM them for the time of the move, or keep who uses them from writing then")
	return nil
}

// mysqlPart ends what mysql.switch with reverse left.
type mysqlPart struct {
	mysqlPair `yaml:",inline"`
}

func (p *mysqlPart) Validate() error { return p.check() }

// Repeatable: what is gone stays gone.
func (p *mysqlPart) Repeatable() bool { return true }

// Needs a login on both sides.
func (p *mysqlPart) Needs(on string) []checks.Check {
	return []checks.Check{&mysqlLogin{p.From, on, "part from"}, &mysqlLogin{p.To, on, "part with"}}
}

func (p *mysqlPart) look(ctx context.Context, e Env, do func(back *mysqlBoth, there mysql.There) error) error {
	r, err := p.replica(ctx, e)
	if err != nil {
		return err
	}
	b := &mysqlBoth{Replica: r}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return err
	}
	back := b.back("", nil)
	there, err := back.Look(ctx, back.source, back.target)
	if err != nil {
		return err
	}
	return do(back, there)
}

// Pending tells whether the old server still follows.
func (p *mysqlPart) Pending(ctx context.Context, e Env) (todo []Change, err error) {
	err = p.look(ctx, e, func(_ *mysqlBoth, there mysql.There) error {
		if there.Any() {
			todo = []Change{{Text: "let the old server follow the new one no more"}}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil { // Apply does what it can
		return []Change{{Text: "let the old server follow the new one no more; not both could be asked: " + err.Error()}}, nil
	}
	return todo, err
}

// Apply ends the way back, each side without the other: a source that is gone
// for good leaves nothing behind on the target.
func (p *mysqlPart) Apply(ctx context.Context, e Env) error {
	r, err := p.replica(ctx, e)
	if err != nil {
		return err
	}
	b := &mysqlBoth{Replica: r}
	defer b.close()
	back := b.back("", nil)
	var serr, terr error
	if b.source, serr = b.Source.Open(ctx); serr == nil {
		if _, serr = back.StopTarget(ctx, b.source); serr == nil {
			serr = back.DropCanary(ctx, b.source)
		}
	}
	if serr != nil {
		serr = fmt.Errorf("source: %w; it may still try to follow; if it is gone for good, skip this step once the target is done", serr)
	}
	if b.target, terr = b.Target.Open(ctx); terr == nil {
		terr = back.StopSource(ctx, b.target)
	}
	if terr != nil {
		terr = fmt.Errorf("target: %w; login and database %s may still be there: drop them", terr, back.Name)
	}
	return errors.Join(serr, terr)
}

// Verify looks for what should be gone.
func (p *mysqlPart) Verify(ctx context.Context, e Env) error {
	return p.look(ctx, e, func(back *mysqlBoth, there mysql.There) error {
		if there.Any() {
			return fmt.Errorf("of the way back %s something is left: %+v", back.Name, there)
		}
		return nil
	})
}

var _ interface {
	Repeater
	Validator
	Needer
	Hoster
} = &mysqlPart{}

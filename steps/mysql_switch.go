package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/mysql"
)

func init() {
	register(Kind{
		Name:    "mysql.switch",
		Summary: "Ends mysql.replicate without losing a change: waits until the target has all that the frozen source has, and lets it be written to.",
		Example: `- step: Switch to the new server
  mysql.switch:
    from: {host: old, user: root, password: {secret: old_root}}
    to: {host: new, user: root, password: {secret: new_root}}
    reverse: 10.0.0.85:3306
`,
		Optional: true,
		New:      func() Step { return &mysqlSwitch{} },
	})
}

// mysqlSwitch is the cutover's half of mysql.replicate, after mysql.freeze of
// the source.
type mysqlSwitch struct {
	mysqlPair `yaml:",inline"`
	Wait      remote.Duration `yaml:"wait" default:"5m" doc:"how long the target may take for what is still to come"`
	Open      bool            `yaml:"open" default:"true" doc:"the target takes writes at the end; false where mysql.thaw does that later"`
	Reverse   string          `yaml:"reverse" doc:"host:port at which the server of from reaches the server of to: from the switch on the old one follows the new one, so that a rollback loses nothing, until mysql.part"`
	Grace     remote.Duration `yaml:"grace" default:"5s" doc:"how long transactions on the target may take to end by themselves when the switch is undone"`
}

func (s *mysqlSwitch) Validate() error {
	err := s.check()
	if s.Reverse != "" {
		err = errors.Join(err, mysqlReachable("reverse", s.Reverse))
	}
	return err
}

// Repeatable: each part of it, done twice, is done once.
func (s *mysqlSwitch) Repeatable() bool { return true }

// Needs a login on both sides, and for the way back a log on the target.
func (s *mysqlSwitch) Needs(on string) []checks.Check {
	all := []checks.Check{&mysqlLogin{s.From, on, "switch from"}, &mysqlLogin{s.To, on, "switch to"}}
	if s.Reverse != "" {
		all = append(all, &mysqlReverseNeed{s, on})
	}
	return all
}

// mysqlSwitched is how far the switch has come.
type mysqlSwitched struct {
	Databases []string       `json:"databases,omitempty"`
	Level     bool           `json:"level,omitempty"` // the target had all that the source had
	Was       mysql.ReadOnly `json:"was"`             // of the target, before it was opened
	Events    []mysql.Object `json:"events,omitempty"`
	Ended     bool           `json:"ended,omitempty"`    // the target does not follow any more
	Reversed  bool           `json:"reversed,omitempty"` // the old server may have begun to follow
	Position  string         `json:"position,omitempty"` // gtid_slave_pos of the old server before
	From      string         `json:"from,omitempty"`     // where the old server began to follow
	Lock      bool           `json:"lock,omitempty"`     // as of mysqlReplicaMade, the other way round
	Done      bool           `json:"done,omitempty"`
}

const mysqlSwitchKey = "switch"

func (s *mysqlSwitch) both(ctx context.Context, e Env, at mysqlSwitched) (*mysqlBoth, error) {
	rep, err := s.replica(ctx, e)
	rep.Databases = at.Databases
	return &mysqlBoth{Replica: rep}, err
}

// Pending lists the parts of the switch that are still to do.
func (s *mysqlSwitch) Pending(_ context.Context, e Env) ([]Change, error) {
	var at mysqlSwitched
	if _, err := e.Memory.Get(mysqlSwitchKey, &at); err != nil || at.Done {
		return nil, err
	}
	var todo []Change
	if !at.Level {
		todo = append(todo, Change{Text: "wait until the target has every change that the source has"})
	}
	todo = append(todo, Change{Text: "end the replication, move sequences on, and enable the events that the source runs"})
	if s.Reverse != "" {
		todo = append(todo, Change{Text: "let the old server follow the new one"})
	}
	if s.Open {
		todo = append(todo, Change{Text: "let the target take writes"})
	}
	return todo, nil
}

// Apply switches. The source must be frozen, and stays so.
func (s *mysqlSwitch) Apply(ctx context.Context, e Env) error {
	var at mysqlSwitched
	if _, err := e.Memory.Get(mysqlSwitchKey, &at); err != nil || at.Done {
		return err
	}
	b, err := s.both(ctx, e, at)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := s.frozen(ctx, b); err != nil {
		return err
	}
	if !at.Level {
		if err := s.level(ctx, e, b, &at); err != nil {
			return err
		}
	}
	if err := s.end(ctx, e, b, &at); err != nil {
		return err
	}
	if s.Reverse != "" {
		if err := s.reverse(ctx, e, b, &at); err != nil {
			return fmt.Errorf("the old server cannot follow the new one: %w; the target does not take writes yet: mend it and try again, or roll back", err)
		}
	}
	if s.Open {
		if err := b.target.SetReadOnly(ctx, mysql.ReadOnly{}, time.Minute); err != nil {
			return err
		}
	}
	at.Done = true
	fmt.Fprintf(e.Log, "-- switched in %s; the source is frozen and stays so\n", time.Since(began).Round(time.Millisecond))
	return e.Memory.Put(mysqlSwitchKey, at)
}

func (s *mysqlSwitch) frozen(ctx context.Context, b *mysqlBoth) error {
	now, err := b.source.ReadOnly(ctx)
	if err != nil {
		return err
	}
	if !mysqlIsFrozen(b.source, now) {
		return errors.New("the source is not frozen, so there is no last change: put mysql.freeze before this step; nothing was changed")
	}
	return nil
}

// level brings the target level.
func (s *mysqlSwitch) level(ctx context.Context, e Env, b *mysqlBoth, at *mysqlSwitched) (err error) {
	there, err := b.Look(ctx, b.source, b.target)
	if err != nil {
		return err
	}
	if !there.Account || !there.SourceCanary {
		return fmt.Errorf("there is no replication %s by belay between these servers; nothing was changed", b.Name)
	}
	told, err := b.Tell(ctx, b.source)
	if err != nil {
		return err
	}
	at.Databases = told.Databases
	b.Databases, b.From = told.Databases, told.Addr
	limited, stop := context.WithTimeoutCause(ctx, time.Duration(s.Wait), fmt.Errorf("not level within %s; the replication goes on, and the source is still frozen", s.Wait))
	defer stop()
	m := &mysqlMender{b: b, e: e, lock: told.Lock}
	began := time.Now()
	if err := b.Drain(limited, b.source, b.target, e.ID, func(l mysql.Lag) { mysqlSayLag(e, l) }, func(l mysql.Lag) error { return m.mend(limited, l) }); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- the target has applied all of the source's log, and the canary row is there, after %s\n", time.Since(began).Round(time.Millisecond))
	if at.Was, err = b.target.ReadOnly(ctx); err != nil {
		return err
	}
	if at.Events, err = b.EnabledEvents(ctx, b.source); err != nil {
		return err
	}
	at.Level = true
	return e.Memory.Put(mysqlSwitchKey, at)
}

// end makes the target a server of its own.
func (s *mysqlSwitch) end(ctx context.Context, e Env, b *mysqlBoth, at *mysqlSwitched) error {
	if at.Ended {
		return nil
	}
	if _, err := b.StopTarget(ctx, b.target); err != nil {
		return err
	}
	n, err := b.Sequences(ctx, b.source, b.target)
	if err != nil {
		return err
	}
	if err := b.StopSource(ctx, b.source); err != nil {
		return err
	}
	if err := b.DropCanary(ctx, b.target); err != nil {
		return err
	}
	if err := b.SwitchEvents(ctx, b.target, at.Events, true); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- the replication is ended; %d sequences are where the source's are, %d events run\n", n, len(at.Events))
	at.Ended = true
	return e.Memory.Put(mysqlSwitchKey, at)
}

// Verify looks for what should be gone, and whether the target takes writes.
func (s *mysqlSwitch) Verify(ctx context.Context, e Env) error {
	var at mysqlSwitched
	if _, err := e.Memory.Get(mysqlSwitchKey, &at); err != nil {
		return err
	}
	b, err := s.both(ctx, e, at)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return err
	}
	there, err := b.Look(ctx, b.source, b.target)
	if err != nil {
		return err
	}
	if there.Any() {
		return fmt.Errorf("of replication %s something is left: %+v", b.Name, there)
	}
	now, err := b.target.ReadOnly(ctx)
	if err != nil {
		return err
	}
	if s.Open && now.On {
		return errors.New("the target does not take writes")
	}
	if s.Reverse == "" {
		return nil
	}
	back := s.backwards(b, at)
	l, err := back.Lag(ctx, back.source, back.target)
	if err == nil && (!l.Running || !l.Filtered) {
		err = fmt.Errorf("the old server does not follow the new one: %s", mysqlLagText(l))
	}
	return err
}

var _ interface {
	Undoer
	Repeater
	Validator
	Needer
	Hoster
} = &mysqlSwitch{}

package steps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/mysql"
)

func init() {
	register(Kind{
		Name:    "mysql.replicate",
		Summary: "Copies databases of a living MySQL or MariaDB server to another one and keeps them equal by GTID replication, up to the cutover (mysql.switch).",
		Example: `- step: Let the new server follow the old one
  mysql.replicate:
    from: {host: old, user: root, password: {secret: old_root}}
    to: {host: new, user: root, password: {secret: new_root}}
    databases: [shop, blog]
    source_addr: 10.0.0.84:3306
    accounts: copy
`,
		Optional: true,
		New:      func() Step { return &mysqlReplicate{} },
	})
}

// mysqlPair is the two servers of a replication. Its name is made of both, so
// that mysql.switch finds what mysql.replicate made.
type mysqlPair struct {
	From mysqlStore `yaml:"from" required:"" doc:"the living server"`
	To   mysqlStore `yaml:"to" required:"" doc:"the server that shall follow it, of the same flavour and as new or newer"`
}

func (p mysqlPair) check() error {
	err := errors.Join(p.From.check("from"), p.To.check("to"))
	if p.From.store == p.To.store {
		err = errors.Join(err, Field("to", "it is the server under from"))
	}
	return err
}

// HostNames are the hosts that reach the servers.
func (p mysqlPair) HostNames() []string {
	return storeHosts("", p.From.store, p.To.store)
}

// replica connects the two. What belay writes on the target is in a GTID domain of its own.
func (p mysqlPair) replica(ctx context.Context, e Env) (r mysql.Replica, err error) {
	if r.Source, err = p.From.server(ctx, e); err != nil {
		return r, fmt.Errorf("source: %w", err)
	}
	if r.Target, err = p.To.server(ctx, e); err != nil {
		return r, fmt.Errorf("target: %w", err)
	}
	h := sha256.New()
	for _, s := range []mysql.Server{r.Source, r.Target} {
		fmt.Fprintf(h, "%s\x00%s\x00%s\x00", s.Host.Name, storeLasting(s.Container, s.Addr), s.Container)
	}
	r.Name = "belay_" + hex.EncodeToString(h.Sum(nil))[:12]
	r.Target.Domain = r.Domain()
	return r, nil
}

// mysqlBoth is a login on either side.
type mysqlBoth struct {
	mysql.Replica
	source, target *mysql.DB
}

func (b *mysqlBoth) open(ctx context.Context) (err error) {
	if b.source == nil {
		if b.source, err = b.Source.Open(ctx); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	if b.target == nil {
		if b.target, err = b.Target.Open(ctx); err != nil {
			return fmt.Errorf("target: %w", err)
		}
	}
	return nil
}

func (b *mysqlBoth) close() {
	for _, db := range []*mysql.DB{b.source, b.target} {
		if db != nil {
			db.Close()
		}
	}
	b.source, b.target = nil, nil
}

// mysqlReplicate makes a first copy, sets a replication up from the moment of
// the copy, and waits until it has caught up.
type mysqlReplicate struct {
	mysqlPair  `yaml:",inline"`
	Databases  []string          `yaml:"databases" doc:"which ones, under the same names there; left out, all but the server's own that there are when the step begins"`
	SourceAddr string            `yaml:"source_addr" required:"" doc:"host:port at which the server of to reaches the server of from; it logs in with a login that the step makes, and drops again"`
	Accounts   string            `yaml:"accounts" enum:"copy|none" default:"none" doc:"copy: also the accounts that have rights on these databases; what becomes of accounts later is not replicated"`
	ReadOnly   bool              `yaml:"read_only" default:"true" doc:"the target refuses writes until mysql.switch; false where other databases there are in use"`
	Lag        remote.Duration   `yaml:"lag" default:"5s" doc:"the step is done when the target has all that the source had so long ago; the replication goes on"`
	LockWait   time.Duration     `yaml:"lock_wait" default:"10s" doc:"how long to wait for running statements to end when the source is held for the moment in which the first copy begins"`
	Lanes      int               `yaml:"lanes" default:"4" doc:"how many parts of tables are copied at a time at first"`
	PartSize   remote.Size       `yaml:"part" default:"64MiB" doc:"about how big such a part is"`
	Definers   map[string]string `yaml:"definers" doc:"account user@host as which views and code shall run, in place of another"`
}

// copying is the first copy, as mysql.copy would be asked for it.
func (r *mysqlReplicate) copyStep() *mysqlCopy {
	return &mysqlCopy{From: r.From, To: r.To, Databases: r.Databases, Accounts: r.Accounts, Events: "disabled", LockWait: r.LockWait,
		Lanes: r.Lanes, PartSize: r.PartSize, Proof: "counts", Definers: r.Definers}
}

func (r *mysqlReplicate) Validate() error {
	return errors.Join(r.check(), mysqlReachable("source_addr", r.SourceAddr), r.copyStep().Validate())
}

// mysqlReachable refuses what a server cannot be told as another one's address.
func mysqlReachable(field, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil || strings.HasPrefix(addr, "/") {
		return Field(field, "%q is not host:port", addr)
	}
	return storeCheck("", store{Addr: addr})
}

// Repeatable: what is there already is taken up.
func (r *mysqlReplicate) Repeatable() bool { return true }

// mysqlReplicaMade is remembered before anything is made.
type mysqlReplicaMade struct {
	Name      string         `json:"name"`
	Databases []string       `json:"databases"`
	Was       mysql.ReadOnly `json:"was"`                // of the target
	Held      bool           `json:"held,omitempty"`     // read_only was set there
	Position  string         `json:"position,omitempty"` // gtid_slave_pos of the target before
	Own       string         `json:"own,omitempty"`      // what the target had written itself by then
	OwnKnown  bool           `json:"own_known,omitempty"`
	Lock      bool           `json:"lock,omitempty"`    // the login is locked once it is used
	Started   bool           `json:"started,omitempty"` // the target may have applied something
	Undoing   bool           `json:"undoing,omitempty"` // by the undo the link was ended, and not by a switch
}

const mysqlReplicaKey = "replica"

func (r *mysqlReplicate) both(ctx context.Context, e Env, made mysqlReplicaMade) (*mysqlBoth, error) {
	rep, err := r.replica(ctx, e)
	rep.From, rep.Databases = r.SourceAddr, made.Databases
	return &mysqlBoth{Replica: rep}, err
}

// firstCopy is the copy that the replication begins with.
func (r *mysqlReplicate) firstCopy(ctx context.Context, e Env, b *mysqlBoth) (*mysql.Copy, error) {
	c, err := r.copyStep().copying(ctx, e)
	if err == nil {
		c.To.Domain = b.Domain()
		if b.Databases != nil {
			c.Databases = b.Databases
		}
	}
	return c, err
}

// Pending lists what is to be copied first.
func (r *mysqlReplicate) Pending(ctx context.Context, e Env) ([]Change, error) {
	var made mysqlReplicaMade
	if _, err := e.Memory.Get(mysqlReplicaKey, &made); err != nil {
		return nil, err
	}
	found := made.Name != ""
	b, err := r.both(ctx, e, made)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return nil, fmt.Errorf("%w; nothing was changed", err)
	}
	if found && r.proved(ctx, b) == nil {
		return nil, nil
	}
	follow := Change{Text: fmt.Sprintf("let %s follow %s from then on, as login %s of its own", b.Target, b.Source, b.Name)}
	if found && made.Started {
		return []Change{follow}, nil
	}
	todo, err := r.copyStep().Pending(ctx, e)
	return append(todo, follow), err
}

// Apply copies, makes the replication, and waits until it has caught up.
func (r *mysqlReplicate) Apply(ctx context.Context, e Env) error {
	made, err := r.begin(ctx, e)
	if err != nil {
		return err
	}
	b, err := r.both(ctx, e, made)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return err
	}
	if !made.Started {
		if err := r.start(ctx, e, b, &made); err != nil {
			return fmt.Errorf("%w; undo takes back what was made before that", err)
		}
	}
	return r.follow(ctx, e, b, made)
}

// begin remembers what is going to be made, having seen that nothing of that
// name is there yet.
func (r *mysqlReplicate) begin(ctx context.Context, e Env) (made mysqlReplicaMade, err error) {
	if _, err := e.Memory.Get(mysqlReplicaKey, &made); err != nil || made.Name != "" {
		return made, err
	}
	b, err := r.both(ctx, e, made)
	if err != nil {
		return made, err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return made, fmt.Errorf("%w; nothing was changed", err)
	}
	if err := mysql.Unfit(b.source.Version, b.target.Version); err != nil {
		return made, fmt.Errorf("%w; nothing was changed", err)
	}
	there, err := b.Look(ctx, b.source, b.target)
	if err != nil {
		return made, err
	}
	if there.Any() {
		return made, fmt.Errorf("a replication %s between these two servers is there already, of another run or step: roll that one back first; nothing was changed", b.Name)
	}
	others, err := b.Others(ctx, b.target)
	if err != nil {
		return made, err
	}
	if len(others) > 0 {
		return made, fmt.Errorf("the target follows another server already (%s), and has one GTID position for all: end that first, or use mysql.copy while frozen; nothing was changed", strings.Join(others, ", "))
	}
	made.Name = b.Name
	if made.Databases, made.Lock, err = r.scope(ctx, b); err != nil {
		return made, err
	}
	if made.Lock {
		if lacks, err := b.target.HoldRights(ctx); err != nil || len(lacks) > 0 {
			return made, errors.Join(err, fmt.Errorf("belay's login on the target lacks %s: a target that is started anew forgets which databases it follows, and would apply what it had got of others, which both servers have: GRANT that, or set skip_replica_start = ON there; nothing was changed", strings.Join(lacks, ", ")))
		}
	}
	if made.Was, err = b.target.ReadOnly(ctx); err != nil {
		return made, err
	}
	if made.Position, err = mysql.SlavePosition(ctx, b.target); err != nil {
		return made, err
	}
	if made.Own, made.OwnKnown, err = b.target.Own(ctx, b.Domain()); err != nil {
		return made, err
	}
	made.Held = r.ReadOnly && !made.Was.On
	return made, e.Memory.Put(mysqlReplicaKey, made)
}

// scope is which databases are followed, and whether the source has one besides
// them that the target has, too: then the target must never go on by itself
// without its filter, which it forgets when it is started anew.
func (r *mysqlReplicate) scope(ctx context.Context, b *mysqlBoth) (databases []string, lock bool, err error) {
	have, err := mysql.Databases(ctx, b.source)
	if err != nil {
		return nil, false, err
	}
	if databases = r.Databases; len(databases) == 0 {
		databases = have
	}
	there, err := mysql.Databases(ctx, b.target)
	if err != nil {
		return nil, false, err
	}
	ours, theirs := map[string]bool{}, map[string]bool{}
	for _, d := range databases {
		ours[d] = true
		if strings.Contains(d, ",") {
			return nil, false, fmt.Errorf("database %q has a comma in its name, which a filter cannot name; nothing was changed", d)
		}
	}
	for _, d := range there {
		theirs[d] = true
	}
	for _, d := range have {
		lock = lock || !ours[d] && theirs[d]
	}
	return databases, lock, nil
}

// start copies, and lets the target follow from the moment of the copy.
func (r *mysqlReplicate) start(ctx context.Context, e Env, b *mysqlBoth, made *mysqlReplicaMade) error {
	if made.Held {
		if err := b.target.SetReadOnly(ctx, mysql.ReadOnly{On: true}, time.Minute); err != nil {
			return fmt.Errorf("target: %w", err)
		}
	}
	c, err := r.firstCopy(ctx, e, b)
	if err != nil {
		return err
	}
	if !c.State.Done {
		if err := c.Run(ctx); err != nil {
			return err
		}
	}
	if err := b.Begin(ctx, b.target, c.State.Position); err != nil {
		return err
	}
	if !b.target.Version.MariaDB { // its own writes cannot be told from belay's but by when they were made
		if made.Own, made.OwnKnown, err = b.target.Own(ctx, b.Domain()); err != nil {
			return err
		}
	}
	made.Started = true
	if err := e.Memory.Put(mysqlReplicaKey, made); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- %s follows %s as login %s from %s on\n", b.Target, b.Source, b.Name, c.State.Position)
	return nil
}

// Verify asks both sides.
func (r *mysqlReplicate) Verify(ctx context.Context, e Env) error {
	var made mysqlReplicaMade
	if _, err := e.Memory.Get(mysqlReplicaKey, &made); err != nil {
		return err
	}
	b, err := r.both(ctx, e, made)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		if err = r.proved(ctx, b); err == nil || tries == 20 {
			return err
		}
		if err := pause(ctx, mysqlFollowEvery); err != nil {
			return err
		}
	}
}

// proved tells whether the replication lives.
func (r *mysqlReplicate) proved(ctx context.Context, b *mysqlBoth) error {
	l, err := b.Lag(ctx, b.source, b.target)
	switch {
	case err != nil:
		return err
	case !l.There:
		return fmt.Errorf("the target knows of no replication %s", b.Name)
	case l.Trouble != nil:
		return l.Trouble
	case !l.Running || !l.Filtered:
		return fmt.Errorf("replication %s: %s", b.Name, mysqlLagText(l))
	}
	return nil
}

// Needs what GTID replication relies on, on both servers, and what a copy does.
func (r *mysqlReplicate) Needs(on string) []checks.Check {
	return []checks.Check{&mysqlReplicateNeed{r, on}, &mysqlCopyNeed{r.copyStep(), on}}
}

var _ interface {
	Undoer
	Repeater
	Validator
	Needer
	Hoster
} = &mysqlReplicate{}

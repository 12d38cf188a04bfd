package steps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:    "postgres.replicate",
		Summary: "Keeps a second database equal to a living one by logical replication, up to the cutover (postgres.switch).",
		Example: `- step: Let the new database follow the old one
  postgres.replicate:
    from: {host: old, database: shop, password: {secret: pg_password}}
    to: {host: new, database: shop, password: {secret: pg_password}}
    source_addr: 10.0.0.84:5432
    exclude: [public.sessions]
`,
		Optional: true,
		New:      func() Step { return &postgresReplicate{} },
	})
}

// pgPair is the two databases of a replication. Its name is made of both, so
// that postgres.switch finds what postgres.replicate made.
type pgPair struct {
	From postgresStore `yaml:"from" required:"" doc:"the living database"`
	To   postgresStore `yaml:"to" required:"" doc:"the database that shall be equal to it"`
}

func (p pgPair) check() error {
	err := errors.Join(p.From.check("from"), p.To.check("to"))
	if p.From == p.To {
		err = errors.Join(err, Field("to", "it is the database under from"))
	}
	return err
}

// HostNames are the hosts that reach the databases.
func (p pgPair) HostNames() []string { return storeHosts("", p.From.store, p.To.store) }

// replica connects the two.
func (p pgPair) replica(ctx context.Context, e Env) (r postgres.Replica, err error) {
	if r.Source, err = p.From.server(ctx, e); err != nil {
		return r, err
	}
	if r.Target, err = p.To.server(ctx, e); err != nil {
		return r, err
	}
	h := sha256.New()
	for _, s := range []postgres.Server{r.Source, r.Target} {
		fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00", s.Host.Name, storeLasting(s.Container, s.Addr), s.Container, s.Database)
	}
	r.Name = "belay_" + hex.EncodeToString(h.Sum(nil))[:12]
	return r, nil
}

// pgBoth is a session on either side.
type pgBoth struct {
	postgres.Replica
	source, target *pgx.Conn
}

func (b *pgBoth) open(ctx context.Context) (err error) {
	if b.source == nil || b.source.IsClosed() {
		if b.source, err = b.Source.Connect(ctx); err != nil {
			return err
		}
	}
	if b.target == nil || b.target.IsClosed() {
		b.target, err = b.Target.Connect(ctx)
	}
	return err
}

func (b *pgBoth) close() {
	for _, c := range []*pgx.Conn{b.source, b.target} {
		if c != nil {
			pgLogout(c)
		}
	}
	b.source, b.target = nil, nil
}

// postgresReplicate sets a logical replication up and waits until it has
// caught up.
type postgresReplicate struct {
	pgPair         `yaml:",inline"`
	SourceAddr     string      `yaml:"source_addr" required:"" doc:"host:port at which the server of to reaches the server of from, or a socket's path"`
	SourceUser     string      `yaml:"source_user" doc:"role by which it does, with the right to replicate; left out, the user of from"`
	SourcePassword secret.Ref  `yaml:"source_password" doc:"secret of that role. PostgreSQL keeps it in the subscription on the target, where superusers can read it, until postgres.switch or undo drops that"`
	Tables         []string    `yaml:"tables" doc:"tables to replicate, as schema.table; left out, all"`
	Exclude        []string    `yaml:"exclude" doc:"tables to leave out: those without a key are copied while frozen"`
	Lag            remote.Size `yaml:"lag" default:"16MiB" doc:"the step is done when all tables are copied and no more than this of the log is still to come; the replication goes on"`
}

func (r *postgresReplicate) Validate() error {
	return errors.Join(r.check(), storeCheck("", store{Addr: r.SourceAddr}))
}

// Repeatable: what is there already is taken up.
func (r *postgresReplicate) Repeatable() bool { return true }

// pgReplicaMade is remembered before anything is made.
type pgReplicaMade struct {
	Name   string                  `json:"name"`
	Tables []postgres.ReplicaTable `json:"tables"`
	Slots  string                  `json:"slots,omitempty"` // beginning of the names of the first copies' slots
}

const pgReplicaKey = "replica"

func (r *postgresReplicate) both(ctx context.Context, e Env) (*pgBoth, error) {
	rep, err := r.replica(ctx, e)
	if err != nil {
		return nil, err
	}
	rep.From = r.SourceAddr
	if r.SourceUser != "" {
		rep.User.User = r.SourceUser
		if rep.User.Password, err = storePassword(ctx, store{Password: r.SourcePassword}, e.Secret); err != nil {
			return nil, err
		}
	}
	return &pgBoth{Replica: rep}, nil
}

// Pending lists what is to be published; the target need not be there yet.
func (r *postgresReplicate) Pending(ctx context.Context, e Env) ([]Change, error) {
	b, err := r.both(ctx, e)
	if err != nil {
		return nil, err
	}
	defer b.close()
	made, err := e.Memory.Get(pgReplicaKey, &pgReplicaMade{})
	if err != nil {
		return nil, err
	}
	if made {
		if err := b.open(ctx); err != nil {
			return nil, err
		}
		if r.proved(ctx, b) == nil {
			return nil, nil
		}
	} else if b.source, err = b.Source.Connect(ctx); err != nil {
		return nil, fmt.Errorf("%w; nothing was changed", err)
	}
	tables, err := r.tables(ctx, b.source)
	if err != nil {
		return nil, err
	}
	var size int64
	for _, t := range tables {
		size += t.Bytes
	}
	return []Change{
		{Text: fmt.Sprintf("publish %d tables of %s, and make slot %s there", len(tables), b.Source, b.Name)},
		{Text: fmt.Sprintf("subscribe %s to them, which copies their rows and then what changes", b.Target), Bytes: size},
	}, nil
}

// tables are what is to be replicated; what cannot be is refused by name.
func (r *postgresReplicate) tables(ctx context.Context, c *pgx.Conn) ([]postgres.ReplicaTable, error) {
	all, err := postgres.ReplicaTables(ctx, c, r.Tables, r.Exclude)
	if err != nil {
		return nil, fmt.Errorf("%w; nothing was changed", err)
	}
	var bad []string
	for _, t := range all {
		switch {
		case t.Keyless:
			bad = append(bad, t.String()+" (no primary key)")
		case t.Unlogged:
			bad = append(bad, t.String()+" (unlogged)")
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("these tables cannot be replicated, and updates of those without a key would begin to fail on the source: %s; "+
			"exclude them and copy them while frozen, or give them a key or REPLICA IDENTITY FULL; nothing was changed", strings.Join(bad, ", "))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("database %s has no table to replicate; nothing was changed", r.From.Database)
	}
	return all, nil
}

// Apply makes the replication, and waits until it has caught up.
func (r *postgresReplicate) Apply(ctx context.Context, e Env) error {
	b, err := r.both(ctx, e)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	made, err := r.begin(ctx, e, b)
	if err != nil {
		return err
	}
	if err := b.Start(ctx, b.source, b.target, made.Tables); err != nil {
		return fmt.Errorf("%w; undo takes back what was made before that", err)
	}
	fmt.Fprintf(e.Log, "-- %d tables are replicated under the name %s\n", len(made.Tables), b.Name)
	return r.follow(ctx, e, b)
}

// begin remembers what is going to be made, having seen that nothing of that
// name is there yet and that the target is empty.
func (r *postgresReplicate) begin(ctx context.Context, e Env, b *pgBoth) (made pgReplicaMade, err error) {
	if found, err := e.Memory.Get(pgReplicaKey, &made); err != nil || found {
		return made, err
	}
	there, err := b.Look(ctx, b.source, b.target)
	if err != nil {
		return made, err
	}
	if there.Any() {
		return made, fmt.Errorf("a replication %s between these two databases is there already, of another run or step: roll that one back first; nothing was changed", b.Name)
	}
	made.Name = b.Name
	if made.Tables, err = r.tables(ctx, b.source); err != nil {
		return made, err
	}
	if err := postgres.Unready(ctx, b.target, made.Tables); err != nil {
		return made, fmt.Errorf("%w; nothing was changed", err)
	}
	lacks, err := postgres.SequencesMissing(ctx, b.source, b.target)
	if err != nil {
		return made, err
	}
	if len(lacks) > 0 {
		return made, fmt.Errorf("sequences are not on the target, and could not be moved on at the switch: %s; copy the schema first (postgres.copy with schema_only); nothing was changed", strings.Join(lacks, ", "))
	}
	return made, e.Memory.Put(pgReplicaKey, made)
}

// proved tells whether the replication lives.
func (r *postgresReplicate) proved(ctx context.Context, b *pgBoth) error {
	there, err := b.Look(ctx, b.source, b.target)
	if err != nil {
		return err
	}
	if !there.Publication || !there.Slot || !there.Subscription {
		return fmt.Errorf("of replication %s only a part is there: publication %t, slot %t, subscription %t", b.Name, there.Publication, there.Slot, there.Subscription)
	}
	l, err := b.Lag(ctx, b.source, b.target)
	switch {
	case err != nil:
		return err
	case l.Ready < l.Tables:
		return fmt.Errorf("replication %s: %s", b.Name, pgLagText(l))
	case !l.Active:
		return fmt.Errorf("replication %s: the target is not connected to the source", b.Name)
	}
	return pgLagBad(l, l.Errors)
}

// Verify asks the slot on the source and the subscription on the target.
func (r *postgresReplicate) Verify(ctx context.Context, e Env) error {
	b, err := r.both(ctx, e)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		// A worker that was just started again is away for a moment.
		if err = r.proved(ctx, b); err == nil || tries == 20 {
			return err
		}
		if err := pause(ctx, pgFollowEvery); err != nil {
			return err
		}
	}
}

// Undo drops subscription, slot and publication, and empties the tables that
// the replication filled; each side without the other, so that a target that
// is down leaves no slot behind on the source.
func (r *postgresReplicate) Undo(ctx context.Context, e Env) error {
	var made pgReplicaMade
	if found, err := e.Memory.Get(pgReplicaKey, &made); err != nil {
		return err
	} else if !found {
		fmt.Fprintln(e.Log, "-- nothing was made here, so there is nothing to undo")
		return nil
	}
	b, err := r.both(ctx, e)
	if err != nil {
		return err
	}
	defer b.close()
	b.Name = made.Name
	terr := r.undoTarget(ctx, e, b, &made)
	var serr error
	if b.source, serr = b.Source.Connect(ctx); serr == nil {
		serr = b.StopSource(ctx, b.source, made.Slots)
	}
	if terr != nil {
		terr = fmt.Errorf("target: %w; subscription %s may still be there and try in vain to connect: drop it (ALTER SUBSCRIPTION … DISABLE, SET (slot_name = NONE), DROP)", terr, b.Name)
	}
	if serr != nil {
		serr = fmt.Errorf("source: %w; while slot %s is there the source keeps its log for it, and its disk fills: SELECT pg_drop_replication_slot('%[2]s')", serr, b.Name)
	} else {
		fmt.Fprintf(e.Log, "-- slot and publication %s are gone from the source\n", b.Name)
	}
	return errors.Join(terr, serr)
}

func (r *postgresReplicate) undoTarget(ctx context.Context, e Env, b *pgBoth, made *pgReplicaMade) (err error) {
	if b.target, err = b.Target.Connect(ctx); err != nil {
		return err
	}
	slots, emptied, err := b.StopTarget(ctx, b.target, made.Tables)
	if slots != "" {
		made.Slots = slots
		err = errors.Join(err, e.Memory.Put(pgReplicaKey, made))
	}
	if emptied {
		fmt.Fprintf(e.Log, "-- the subscription is gone, and the %d tables that it filled are empty again\n", len(made.Tables))
	} else if err == nil {
		fmt.Fprintln(e.Log, "-- there is no subscription on the target any more; the rows there are left alone")
	}
	return err
}

// Needs what logical replication relies on, on both servers.
func (r *postgresReplicate) Needs(on string) []checks.Check {
	return []checks.Check{
		&pgNeed{Of: r.From, On: on, What: "publish", Judge: r.judgeSource},
		&pgNeed{Of: pgBeside(r.To), On: on, What: "subscribe", Judge: pgJudgeSubscriber},
		&pgNeed{Of: r.To, On: on, What: "take in", Judge: r.judgeTarget},
		&pgReach{On: on, Of: r.From, By: r.To, Addr: r.SourceAddr, User: r.SourceUser, Password: r.SourcePassword, What: "reach"},
	}
}

var _ interface {
	Undoer
	Repeater
	Validator
	Needer
} = &postgresReplicate{}

package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
	"belay/steps/postgres"
)

// Apply copies. Nothing is changed unless all that it relies on holds.
func (c *postgresCopy) Apply(ctx context.Context, e Env) error {
	rec, _, err := postgresCopied(e)
	if err != nil {
		return err
	}
	cp, err := c.copy(ctx, e, rec)
	if err != nil {
		return err
	}
	if rec.Copied == nil {
		if err := c.ready(ctx, cp); err != nil {
			return err
		}
		if err := c.database(ctx, e, &cp, &rec); err != nil {
			return err
		}
		if err := c.roles(ctx, e, cp, &rec); err != nil {
			return err
		}
		done, err := cp.Run(ctx)
		if err != nil {
			return fmt.Errorf("%w\nThe source is as it was. The target holds a part of the copy, marked as not whole: try again to finish it, or roll back to remove it", err)
		}
		notes, err := postgres.CopyProperties(ctx, cp.From, cp.To, cp.Owners)
		if err != nil {
			return err
		}
		for _, n := range notes {
			cp.Log("%s", n)
		}
		if rec.Found != nil {
			if rec.After, err = postgres.Contents(ctx, cp.To, c.Beside); err != nil {
				return err
			}
		}
		rec.Copied = &done
		if err := e.Memory.Put(postgresCopyKey, rec); err != nil {
			return err
		}
		cp.Log("copied %s, %s, %s over the line", remote.Plural(len(done.Tables), "table"), remote.Plural(done.Rows, "row"), remote.FormatBytes(done.Bytes))
	}
	return cp.Finish(ctx)
}

// ready asks once more what the assessment asked: it may be long ago.
func (c *postgresCopy) ready(ctx context.Context, cp postgres.Copy) error {
	var errs []error
	for _, p := range c.survey(ctx, cp) {
		if p.Grade == postgres.Bad {
			errs = append(errs, errors.New(p.Text))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\nNothing was changed", err)
	}
	return nil
}

// survey is the machinery's, and what this step's way with roles relies on.
func (c *postgresCopy) survey(ctx context.Context, cp postgres.Copy) []postgres.Point {
	missing, err := c.missing(ctx, cp)
	points := cp.Survey(ctx, len(missing) > 0 && c.Roles != "present")
	if len(points) == 1 && points[0].Key == "login" {
		return points // there is nothing to ask
	}
	p := postgres.Point{OnTarget: true, Key: "roles", Grade: postgres.Good, Text: "the roles are there"}
	var names, mute []string
	var kept []postgres.Role // with the passwords that they have
	for _, r := range missing {
		names = append(names, r.Name)
		if _, given := c.Passwords[r.Name]; r.Login && !given && (c.Roles == "new" || r.Verifier.Reveal() == "") {
			mute = append(mute, r.Name)
		} else if r.Login && !given {
			kept = append(kept, r)
		}
	}
	var outdated []string
	if err == nil && c.Roles != "none" && c.Roles != "present" {
		outdated, err = postgres.Outdated(ctx, cp.To, kept)
	}
	switch {
	case err != nil:
		p.Grade, p.Text, p.Fix = postgres.Unclear, "not known: "+err.Error(), "look yourself"
	case c.Roles == "none":
		p.Text = "no roles are needed: all will belong to " + cp.To.User
	case len(names) > 0 && c.Roles == "present":
		p.Grade, p.Text, p.Fix = postgres.Bad, "the target does not have the roles "+strings.Join(names, ", "), "create them, or set roles: copy"
	case len(mute) > 0:
		p.Grade, p.Text = postgres.Doubtful, "these roles will be made, but may not log in, for no password is to be had: "+strings.Join(mute, ", ")
		p.Fix = "give passwords for those that should, or log in to the source as a superuser"
	case len(names) > 0:
		p.Text = "these roles will be made, with their passwords: " + strings.Join(names, ", ")
	}
	if len(outdated) > 0 {
		p.Text += "; the passwords of these are MD5 sums, which the target takes, but a later PostgreSQL will not: set them anew one day (password_encryption = 'scram-sha-256'): " + strings.Join(outdated, ", ")
	}
	return append(points, p)
}

// database makes the target's database where there is none, and remembers
// whose it is before a row goes in.
func (c *postgresCopy) database(ctx context.Context, e Env, cp *postgres.Copy, rec *postgresCopyRecord) error {
	now, found, err := postgres.Identify(ctx, cp.To)
	if err != nil {
		return err
	}
	switch {
	case found && (rec.Made != nil && *rec.Made == now || rec.Found != nil && *rec.Found == now):
		return nil
	case found && rec.Making && rec.Made == nil:
		rec.Made = &now // made by an attempt that ended before it could say so; it is empty
	case found:
		rec.Found, rec.Made, rec.Making = &now, nil, false
		if rec.Before, err = postgres.Contents(ctx, cp.To, c.Beside); err != nil {
			return err
		}
		cp.Before = rec.Before
	default:
		rec.Making, rec.Made, rec.Found = true, nil, nil
		if err := e.Memory.Put(postgresCopyKey, *rec); err != nil {
			return err
		}
		made, err := postgres.CreateDatabase(ctx, cp.From, cp.To)
		if err != nil {
			return err
		}
		rec.Made = &made
		cp.Log("made database %s", cp.To)
	}
	return e.Memory.Put(postgresCopyKey, *rec)
}

// roles makes those that are missing.
func (c *postgresCopy) roles(ctx context.Context, e Env, cp postgres.Copy, rec *postgresCopyRecord) error {
	if c.Roles == "none" || c.Roles == "present" {
		return nil
	}
	all, _, err := postgres.Roles(ctx, cp.From)
	if err != nil {
		return err
	}
	passwords := map[string]secret.Value{}
	for role, ref := range c.Passwords {
		if passwords[role], err = e.Secret(ctx, ref.Name); err != nil {
			return err
		}
	}
	if c.Roles == "new" {
		for i := range all {
			all[i].Verifier = secret.Value{}
		}
	}
	notes, err := postgres.MakeRoles(ctx, cp.To, all, passwords, func(name string) error {
		cp.Log("made role %s", name)
		rec.Roles = append(rec.Roles, name)
		return e.Memory.Put(postgresCopyKey, *rec)
	})
	for _, n := range notes {
		cp.Log("%s", n)
	}
	return err
}

// Undo drops the database if this step made it, else what it copied into it;
// then the roles that it made and that nobody uses. A database that was written
// to since is set aside under another name: it may hold what is nowhere else.
func (c *postgresCopy) Undo(ctx context.Context, e Env) error {
	rec, found, err := postgresCopied(e)
	if err != nil {
		return err
	}
	if !found {
		fmt.Fprintln(e.Log, "-- nothing was copied, so there is nothing to undo")
		return nil
	}
	cp, err := c.copy(ctx, e, rec)
	if err != nil {
		return err
	}
	if err := c.takeBack(ctx, cp, rec); err != nil {
		return err
	}
	kept, err := postgres.DropRoles(ctx, cp.To, rec.Roles)
	for _, k := range kept {
		cp.Log("%s", k)
	}
	if err != nil {
		return err
	}
	return e.Memory.Put(postgresCopyKey, postgresCopyRecord{})
}

func (c *postgresCopy) takeBack(ctx context.Context, cp postgres.Copy, rec postgresCopyRecord) error {
	now, there, err := postgres.Identify(ctx, cp.To)
	if err != nil || !there {
		return err
	}
	switch {
	case rec.Made != nil:
		return c.remove(ctx, cp, rec)
	case rec.Found != nil && *rec.Found != now:
		return fmt.Errorf("%s is not the database that was copied into: it was made anew since, and is left alone", cp.To)
	case rec.Found != nil:
		if rec.Copied != nil {
			written, err := postgres.Written(ctx, cp.To, rec.Copied.Tables)
			if err != nil {
				return err
			}
			if written {
				return fmt.Errorf("%s was there before, and was written to since it was copied into, so nothing in it was dropped: save what may be missed, drop the database yourself, and roll back again", cp.To)
			}
		}
		did, err := cp.Empty(ctx, rec.After)
		if err != nil {
			return err
		}
		if did {
			cp.Log("emptied database %s, which was there before", cp.To)
		}
	case rec.Making:
		return fmt.Errorf("%s: whether this step made it is not known, for it ended in that very moment: drop it yourself if it is empty and nobody needs it", cp.To)
	}
	return nil
}

// remove drops the database that this step made, or sets it aside.
func (c *postgresCopy) remove(ctx context.Context, cp postgres.Copy, rec postgresCopyRecord) error {
	if rec.Copied != nil {
		written, err := postgres.Written(ctx, cp.To, rec.Copied.Tables)
		if err != nil {
			return err
		}
		if written {
			name, err := postgres.SetAside(ctx, cp.To, *rec.Made, time.Now())
			if err == nil && name != "" {
				cp.Log("%s was written to since it was copied, so it is not dropped: it is called %s now; drop it when nobody misses what is in it", cp.To, name)
			}
			return err
		}
	}
	if err := postgres.DropDatabase(ctx, cp.To, *rec.Made); err != nil {
		return err
	}
	cp.Log("dropped database %s", cp.To)
	return nil
}

// postgresCopyNeed judges both servers before anything has changed.
type postgresCopyNeed struct {
	of *postgresCopy
	on string
}

// CheckName implements checks.Namer.
func (n *postgresCopyNeed) CheckName() string { return "postgres" }

// HostNames are the hosts of both servers.
func (n *postgresCopyNeed) HostNames() []string {
	return storeHosts(n.on, n.of.From.store, n.of.To.store)
}

// Assess gives a finding a point, of the host that it is about.
func (n *postgresCopyNeed) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	for _, h := range n.HostNames() {
		if why, ok := w.Unreached[h]; ok {
			return nil, fmt.Errorf("host %s was not reached: %w", h, why)
		}
	}
	if f, absent := storeAbsent(ctx, w, n.on, n.of.To.store, postgresPort, n.of.To.Database+" target"); absent {
		return []checks.Finding{f}, nil
	}
	e := Env{Host: w.Hosts[n.on], Hosts: w.Hosts, Secret: w.Secret}
	cp, err := n.of.copy(ctx, e, postgresCopyRecord{})
	if f, gone := storeGone(err, n.of.From.Database+" source", false); gone {
		return []checks.Finding{f}, nil
	}
	if err != nil {
		return nil, err
	}
	levels := map[postgres.Grade]checks.Level{postgres.Good: checks.Pass, postgres.Doubtful: checks.Warn, postgres.Bad: checks.Block}
	var all []checks.Finding
	for _, p := range n.of.survey(ctx, cp) {
		s := n.of.From
		if p.OnTarget {
			s = n.of.To
		}
		f := checks.Finding{Key: s.Database + " " + s.where(postgresPort) + " " + p.Key, Host: s.on(n.on), Level: levels[p.Grade], Text: checks.OneLine(p.Text, 400), Fix: p.Fix}
		all = append(all, s.tell(f, "database "+s.Database, postgresPort))
	}
	return all, nil
}

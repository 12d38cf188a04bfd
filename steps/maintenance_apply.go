package steps

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
)

// maintenanceRec is what the step remembers.
type maintenanceRec struct {
	Was     string `json:"was,omitempty"`     // before the first attempt, by the status; "" when nobody knows
	Asked   string `json:"asked,omitempty"`   // the state that was asked for, and no answer heard
	Done    string `json:"done,omitempty"`    // the state last switched to
	File    string `json:"file,omitempty"`    // what was taken away, for switch: off; links followed
	Sum     string `json:"sum,omitempty"`     // its SHA-256
	Changed bool   `json:"changed,omitempty"` // something was asked for or written
}

const maintenanceKey = "maintenance"

func maintenanceRecall(e Env) (rec maintenanceRec, found bool, err error) {
	if e.Memory != nil {
		found, err = e.Memory.Get(maintenanceKey, &rec)
	}
	return rec, found, err
}

// Apply switches.
func (c *maintenance) Apply(ctx context.Context, e Env) error {
	rec, begun, err := maintenanceRecall(e)
	if err != nil {
		return err
	}
	if !begun && c.Status != nil {
		if rec.Was, err = c.read(ctx, e.Host, checks.World{Secret: e.Secret}); err != nil {
			return fmt.Errorf("%w; nothing was changed", err)
		}
	}
	if !begun {
		if err := e.Memory.Put(maintenanceKey, rec); err != nil {
			return err
		}
	}
	if c.File != nil {
		return c.fileApply(ctx, e, rec)
	}
	return c.request(ctx, e, &rec, c.Switch)
}

// Undo switches to the opposite, unless it was so before the step.
func (c *maintenance) Undo(ctx context.Context, e Env) error {
	rec, begun, err := maintenanceRecall(e)
	if err != nil || !begun || !rec.Changed {
		return err
	}
	if c.File != nil {
		return c.fileUndo(ctx, e, rec)
	}
	if rec.Was == c.Switch {
		fmt.Fprintf(e.Log, "maintenance was %s before this step, and stays so\n", rec.Was)
		return nil
	}
	return c.request(ctx, e, &rec, maintenanceOther(c.Switch))
}

// request asks for a state, once. It is on the disk before it is asked that it
// will be, so that after a crash nothing is asked for twice that must not be.
func (c *maintenance) request(ctx context.Context, e Env, rec *maintenanceRec, to string) error {
	put := func() error { return e.Memory.Put(maintenanceKey, *rec) }
	if c.Status != nil {
		is, err := c.read(ctx, e.Host, checks.World{Secret: e.Secret})
		if err != nil {
			return fmt.Errorf("%w; nothing was changed now", err)
		}
		if is == to {
			rec.Asked, rec.Done = "", to
			fmt.Fprintf(e.Log, "maintenance is %s\n", to)
			return put()
		}
	} else if rec.Done == to && rec.Asked == "" {
		return nil
	}
	a := c.asks(to)
	if rec.Asked == to && c.Status == nil && !a.repeatable() {
		return fmt.Errorf("maintenance may be %s or not: %s %s was asked, no answer was heard, and asking twice may not be harmless. "+
			"Look at the service; if asking again does no harm, say repeatable: true, or say with status how to see it", to, a.Method, a.URL)
	}
	if err := c.order(ctx, e, rec, a, to, put); err != nil {
		return err
	}
	rec.Asked, rec.Done = "", to
	if err := put(); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "maintenance was switched %s by %s %s\n", to, a.Method, a.URL)
	if c.Status != nil {
		return c.settle(ctx, e, to)
	}
	return nil
}

// order sends the request and judges the answer.
func (c *maintenance) order(ctx context.Context, e Env, rec *maintenanceRec, a *maintenanceAsk, to string, put func() error) error {
	q, err := a.question(ctx, e)
	if err != nil {
		return fmt.Errorf("%w; nothing was asked", err)
	}
	before := *rec
	rec.Asked, rec.Changed = to, true
	if err := put(); err != nil {
		return err
	}
	h := e.Host
	door := &maintenanceDoor{Dialer: h.Dialer}
	if h.Dialer != nil {
		h.Dialer = door
	}
	code, _, err := q.Ask(ctx, h, checks.World{Secret: e.Secret})
	cert, _ := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case err != nil && (door.closed || cert != nil):
		rec.Asked, rec.Changed = before.Asked, before.Changed
		return errors.Join(fmt.Errorf("%s %s: %w; it was not asked, and maintenance is as it was", a.Method, a.URL, err), put())
	case err != nil:
		return fmt.Errorf("%s %s: %w; whether maintenance was switched %s is not known", a.Method, a.URL, err, to)
	case a.Code != 0 && code != a.Code || a.Code == 0 && (code < 200 || code > 299):
		rec.Asked = ""
		return errors.Join(fmt.Errorf("%s %s answers %d: maintenance was not switched %s, as far as that tells", a.Method, a.URL, code, to), put())
	}
	return nil
}

// maintenanceDoor knows whether nobody was ever reached, so that nothing can
// have been asked.
type maintenanceDoor struct {
	remote.Dialer
	closed bool
}

// Dial is called once a request.
func (d *maintenanceDoor) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(ctx, network, addr)
	d.closed = err != nil && !errors.Is(err, remote.ErrNoForwarding)
	return conn, err
}

// question is the request with its secrets in it.
func (a *maintenanceAsk) question(ctx context.Context, e Env) (*checks.HTTPCheck, error) {
	q := &checks.HTTPCheck{URL: a.URL, Method: a.Method, Headers: map[string]string{}, Body: a.Body, Bearer: a.Bearer, Timeout: a.Timeout, Insecure: a.Insecure}
	if q.Method == "" {
		q.Method = "POST"
	}
	maps.Copy(q.Headers, a.Headers)
	get := func(r secret.Ref) (string, error) {
		v, err := e.Secret(ctx, r.Name)
		if err == nil && strings.ContainsAny(v.Reveal(), "\r\n\x00") && r != a.SecretBody {
			err = fmt.Errorf("secret %q holds a line break, and no header can", r.Name)
		}
		return v.Reveal(), err
	}
	for name, ref := range a.SecretHeaders {
		v, err := get(ref)
		if err != nil {
			return nil, err
		}
		q.Headers[name] = v
	}
	if a.SecretBody.Name != "" {
		v, err := get(a.SecretBody)
		if err != nil {
			return nil, err
		}
		q.Body = v
	}
	return q, nil
}

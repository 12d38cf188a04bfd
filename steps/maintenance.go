package steps

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
)

func init() {
	register(Kind{
		Name: "maintenance",
		Summary: "Switches a service's maintenance mode on or off: by a request to its URL, or by a file that it looks for " +
			"(a flag, or a piece of configuration with a reload).",
		Example: `- step: Tell the users that the chat is being moved
  on: chat
  maintenance:
    begin: {url: "http://127.0.0.1:8088/admin/maintenance", method: PUT, body: "{\"on\": true}", bearer: {secret: admin_token}}
    end: {url: "http://127.0.0.1:8088/admin/maintenance", method: PUT, body: "{\"on\": false}", bearer: {secret: admin_token}}
    status: {url: "http://127.0.0.1:8088/", code: 503}
`,
		New: func() Step { return &maintenance{} },
	})
}

type maintenance struct {
	Switch string             `yaml:"switch" default:"on" enum:"on|off" doc:"what the step does; undo does the opposite, unless it was so before"`
	File   *maintenanceFile   `yaml:"file" doc:"a file that is there while maintenance is on"`
	Begin  *maintenanceAsk    `yaml:"begin" doc:"the request that switches it on"`
	End    *maintenanceAsk    `yaml:"end" doc:"the request that switches it off"`
	Status *maintenanceStatus `yaml:"status" doc:"how to see whether it is on"`
	Within remote.Duration    `yaml:"within" default:"30s" doc:"how long it may take until status tells so"`
}

type maintenanceFile struct {
	Path    string `yaml:"path" required:"" doc:"absolute path"`
	Content string `yaml:"content" doc:"what it says; left out, nothing"`
	Mode    string `yaml:"mode" doc:"permissions, such as 0644"`
	Owner   string `yaml:"owner" doc:"user who shall own it"`
	Group   string `yaml:"group" doc:"group that shall own it"`
	Then    string `yaml:"then" doc:"shell command after every switch, such as nginx -t && nginx -s reload; where it fails, the file is put back at once"`
}

type maintenanceAsk struct {
	URL           string                `yaml:"url" scalar:"" required:"" doc:"http or https URL, as the host sees it"`
	Method        string                `yaml:"method" enum:"GET|PUT|POST|PATCH|DELETE" default:"POST" doc:"method"`
	Headers       map[string]string     `yaml:"headers" doc:"further headers; nothing secret"`
	SecretHeaders map[string]secret.Ref `yaml:"secret_headers" doc:"headers whose whole value is a secret"`
	Bearer        secret.Ref            `yaml:"bearer" doc:"token for the Authorization header"`
	Body          string                `yaml:"body" doc:"what is sent"`
	SecretBody    secret.Ref            `yaml:"secret_body" doc:"what is sent, if it is secret"`
	Code          int                   `yaml:"code" doc:"status that must be answered; any of 200 to 299 when left out"`
	Repeatable    *bool                 `yaml:"repeatable" doc:"whether asking twice equals asking once; left out, so for all methods but POST and PATCH"`
	Timeout       remote.Duration       `yaml:"timeout" default:"10s" doc:"how long the answer may take"`
	Insecure      bool                  `yaml:"insecure" doc:"take any certificate"`
}

// repeatable tells whether it may be asked again when nobody heard the answer.
func (a *maintenanceAsk) repeatable() bool {
	if a.Repeatable != nil {
		return *a.Repeatable
	}
	return a.Method != "POST" && a.Method != "PATCH" && a.Method != ""
}

type maintenanceStatus struct {
	URL      string            `yaml:"url" scalar:"" required:"" doc:"http or https URL, as the host sees it"`
	Headers  map[string]string `yaml:"headers" doc:"further headers, such as Host; nothing secret"`
	Bearer   secret.Ref        `yaml:"bearer" doc:"token for the Authorization header"`
	Code     int               `yaml:"code" doc:"status that is answered while maintenance is on, such as 503"`
	Contains string            `yaml:"contains" doc:"regular expression that the body matches while maintenance is on"`
	Insecure bool              `yaml:"insecure" doc:"take any certificate"`
}

func (c *maintenance) Validate() error {
	var errs []error
	switch {
	case c.File == nil && (c.Begin == nil || c.End == nil):
		errs = append(errs, Field("begin", "say either file, or both begin and end"))
	case c.File != nil && (c.Begin != nil || c.End != nil):
		errs = append(errs, Field("file", "file goes without begin and end"))
	}
	if f := c.File; f != nil {
		errs = append(errs, maintenanceUnder("file", errors.Join(fileCheckPath("path", f.Path), fileCheckMeta(f.Mode, f.Owner, f.Group))))
	}
	if c.Begin != nil {
		errs = append(errs, maintenanceUnder("begin", c.Begin.validate()))
	}
	if c.End != nil {
		errs = append(errs, maintenanceUnder("end", c.End.validate()))
	}
	if s := c.Status; s != nil {
		_, err := regexp.Compile(s.Contains)
		if err != nil {
			err = Field("contains", "%w", err)
		}
		if s.Code == 0 && s.Contains == "" {
			err = Field("url", "say by code or contains what is answered while maintenance is on")
		}
		errs = append(errs, maintenanceUnder("status", errors.Join(err, maintenanceURL(s.URL), maintenanceHeaders(s.Headers))))
	}
	return errors.Join(errs...)
}

// maintenanceUnder puts the place of a part before its refusals.
func maintenanceUnder(part string, err error) error {
	if err == nil {
		return nil
	}
	if f, ok := err.(*checks.FieldError); ok { //nolint:errorlint // each of a joined error is taken by itself
		return &checks.FieldError{Field: part + "." + f.Field, Err: f.Err}
	}
	var all []error
	if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // likewise
		for _, one := range many.Unwrap() {
			all = append(all, maintenanceUnder(part, one))
		}
	}
	return errors.Join(all...)
}

func (a *maintenanceAsk) validate() error {
	errs := []error{maintenanceURL(a.URL), maintenanceHeaders(a.Headers)}
	for name := range a.SecretHeaders {
		if maintenanceHeaders(map[string]string{strings.TrimSpace(name) + "x": ""}) != nil {
			errs = append(errs, Field("secret_headers."+name, "is not a header"))
		}
	}
	if a.Body != "" && a.SecretBody.Name != "" {
		errs = append(errs, Field("secret_body", "body and secret_body exclude each other"))
	}
	if a.Code != 0 && (a.Code < 100 || a.Code > 599) {
		errs = append(errs, Field("code", "%d is not a status: 100 to 599", a.Code))
	}
	return errors.Join(errs...)
}

func maintenanceURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Field("url", "%v", errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return Field("url", "%q is not an http or https URL", u.Redacted())
	case u.User != nil:
		return Field("url", "holds a user name; use bearer or secret_headers")
	}
	return nil
}

var maintenanceHeader = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func maintenanceHeaders(all map[string]string) error {
	var errs []error
	for name, value := range all {
		switch {
		case !maintenanceHeader.MatchString(name) || strings.ContainsAny(value, "\r\n\x00"):
			errs = append(errs, Field("headers."+name, "is not a header"))
		case strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "Cookie"):
			errs = append(errs, Field("headers."+name, "would write a secret into the plan; use bearer or secret_headers"))
		}
	}
	return errors.Join(errs...)
}

// Repeatable, unless a request could come through twice.
func (c *maintenance) Repeatable() bool {
	a := c.asks(c.Switch)
	return a == nil || a.repeatable() || c.Status != nil
}

// Needs reads the status, where one is given.
func (c *maintenance) Needs(on string) []checks.Check {
	if c.Status == nil {
		return nil
	}
	return []checks.Check{&maintenanceCheck{c, on}}
}

// asks is the request that switches to a state; nil for a file.
func (c *maintenance) asks(to string) *maintenanceAsk {
	switch {
	case c.File != nil:
		return nil
	case to == "off":
		return c.End
	}
	return c.Begin
}

func maintenanceOther(state string) string {
	if state == "off" {
		return "on"
	}
	return "off"
}

// read tells whether maintenance is on or off now.
func (c *maintenance) read(ctx context.Context, h remote.Host, w checks.World) (string, error) {
	s := c.Status
	q := &checks.HTTPCheck{URL: s.URL, Method: "GET", Headers: s.Headers, Bearer: s.Bearer, Insecure: s.Insecure, Timeout: remote.Duration(10 * time.Second)}
	code, body, err := q.Ask(ctx, h, w)
	if err != nil {
		return "", fmt.Errorf("maintenance: its status is not known: %s: %w", s.URL, err)
	}
	contains, err := regexp.Compile(s.Contains)
	switch {
	case err != nil:
		return "", err
	case (s.Code == 0 || code == s.Code) && contains.Match(body):
		return "on", nil
	case code >= 200 && code < 400:
		return "off", nil
	}
	return "", fmt.Errorf("maintenance: its status is not known: %s answers %d, which tells neither on nor off", s.URL, code)
}

// Pending asks for the status, where one is given; else it goes by what this
// step has heard.
func (c *maintenance) Pending(ctx context.Context, e Env) ([]Change, error) {
	rec, begun, err := maintenanceRecall(e)
	if err != nil {
		return nil, err
	}
	if c.File != nil {
		return c.filePending(ctx, e, rec, begun)
	}
	a := c.asks(c.Switch)
	ch := Change{Text: fmt.Sprintf("switch maintenance %s", c.Switch), Cmd: a.Method + " " + a.URL}
	if c.Status == nil {
		if rec.Done == c.Switch && rec.Asked == "" {
			return nil, nil
		}
		return []Change{ch}, nil
	}
	is, err := c.read(ctx, e.Host, checks.World{Secret: e.Secret})
	if err != nil || is == c.Switch {
		return nil, err
	}
	ch.Text += fmt.Sprintf(" (it is %s)", is)
	return []Change{ch}, nil
}

// Verify asks for the status until it tells so.
func (c *maintenance) Verify(ctx context.Context, e Env) error {
	if c.File != nil {
		if err := c.fileVerify(ctx, e); err != nil {
			return err
		}
	}
	if c.Status != nil {
		return c.settle(ctx, e, c.Switch)
	}
	rec, _, err := maintenanceRecall(e)
	if err == nil && c.File == nil && rec.Done != c.Switch {
		err = fmt.Errorf("maintenance was not switched %s by this step, as far as it knows", c.Switch)
	}
	return err
}

// settle waits until the status is as it shall be.
func (c *maintenance) settle(ctx context.Context, e Env, to string) error {
	limit := time.Duration(c.Within)
	if limit <= 0 {
		limit = 30 * time.Second
	}
	until, stop := context.WithTimeout(ctx, limit)
	defer stop()
	var last error
	for {
		is, err := c.read(until, e.Host, checks.World{Secret: e.Secret})
		switch {
		case err == nil && is == to:
			return nil
		case err == nil:
			last = fmt.Errorf("maintenance is %s, not %s, by %s", is, to, c.Status.URL)
		case last == nil || until.Err() == nil:
			last = err
		}
		if pause(until, 500*time.Millisecond) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w, within %v", last, limit)
		}
	}
}

// maintenanceCheck reads the status before anything has changed.
type maintenanceCheck struct {
	step *maintenance
	on   string
}

// CheckName is how findings call it.
func (c *maintenanceCheck) CheckName() string { return "maintenance" }

// HostNames are the host of the step.
func (c *maintenanceCheck) HostNames() []string { return []string{c.on} }

// Assess finds out whether the status can be told at all.
func (c *maintenanceCheck) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	h, ok := w.Hosts[c.on]
	if !ok {
		return nil, fmt.Errorf("host %q was not reached", c.on)
	}
	is, err := c.step.read(ctx, h, w)
	if err != nil {
		return nil, err
	}
	f := checks.Finding{Key: c.step.Status.URL, Host: c.on, Level: checks.Pass, Text: "maintenance is " + is}
	if is == "on" && c.step.Switch == "on" {
		f.Level, f.Text = checks.Warn, "maintenance is on already; a rollback of the step will leave it so"
		f.Fix = "switch it off before the run, unless it is meant"
	}
	return []checks.Finding{f}, nil
}

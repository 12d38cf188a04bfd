package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/remote"
	"belay/remote/secret"
)

func init() {
	register(Kind{
		Name: "http", Summary: "a URL answers as it should, as seen from a host",
		Example: `- http: {on: chat, url: "http://127.0.0.1:8088/_health", status: 200, contains: ok, timeout: 3s}`,
		New:     func() Check { return new(HTTPCheck) },
	})
}

// HTTPCheck asks a URL as seen from the host. Redirects are not followed;
// proxies are not used; certificates are held against this machine's roots.
// Where the host passes no connections on, curl (or, for a plain http GET,
// wget) asks from there, with the roots that it has.
type HTTPCheck struct {
	On       []string          `yaml:"on" doc:"hosts from which to ask; all of the plan when left out"`
	URL      string            `yaml:"url" scalar:"" required:"" doc:"http or https URL"`
	Status   int               `yaml:"status" doc:"status that must come; any of 200 to 299 when left out"`
	Contains string            `yaml:"contains" doc:"regular expression that the body must match (of the first 1 MiB)"`
	JSON     map[string]string `yaml:"json" doc:"values that the JSON body must hold, by path: {data.ready: \"true\", \"nodes.0.name\": a}"`
	Method   string            `yaml:"method" enum:"GET|HEAD|POST|PUT|OPTIONS" default:"GET" doc:"method; a check must change nothing"`
	Body     string            `yaml:"body" doc:"what is sent"`
	Headers  map[string]string `yaml:"headers" doc:"further headers; nothing secret"`
	User     string            `yaml:"user" doc:"name for basic authentication"`
	Password secret.Ref        `yaml:"password" doc:"password for basic authentication"`
	Bearer   secret.Ref        `yaml:"bearer" doc:"token for the Authorization header"`
	Connect  string            `yaml:"connect" doc:"address:port to connect to instead of the URL's own"`
	Timeout  remote.Duration   `yaml:"timeout" default:"5s" doc:"how long the whole answer may take"`
	Insecure bool              `yaml:"insecure" doc:"take any certificate"`
}

const maxBody = 1 << 20

func (c *HTTPCheck) HostNames() []string { return c.On }
func (c *HTTPCheck) NeedsFacts() bool    { return false }

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// Validate refuses what no server could be asked.
func (c *HTTPCheck) Validate() error {
	all := []error{expression("contains", c.Contains)}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		all = append(all, Field("url", "%v", errors.Unwrap(err)))
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		all = append(all, Field("url", "%q is not an http or https URL", u.Redacted()))
	case u.User != nil:
		all = append(all, Field("url", "holds a user name; use `user` and `password: {secret: …}`"))
	}
	if c.Status != 0 && (c.Status < 100 || c.Status > 599) {
		all = append(all, Field("status", "%d is not a status: 100 to 599", c.Status))
	}
	for name, value := range c.Headers {
		switch {
		case !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00"):
			all = append(all, Field("headers."+name, "is not a header"))
		case strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "Cookie"):
			all = append(all, Field("headers."+name, "would write a secret into the plan; use `bearer` or `user` and `password`"))
		}
	}
	if c.Connect != "" {
		if _, port, err := net.SplitHostPort(c.Connect); err != nil || port == "" {
			all = append(all, Field("connect", "%q is not address:port", c.Connect))
		}
	}
	if c.Bearer.Name != "" && (c.User != "" || c.Password.Name != "") {
		all = append(all, Field("bearer", "goes without user and password"))
	}
	return errors.Join(all...)
}

// answer is what came back.
type answer struct {
	status int
	body   []byte
	took   time.Duration
}

// Assess gives one finding a host.
func (c *HTTPCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	contains, err := regexp.Compile(c.Contains)
	if err != nil {
		return nil, err
	}
	auth, err := c.authorization(ctx, w)
	if err != nil {
		return nil, err
	}
	return onHosts(ctx, c, w, c.On, c.key(), func(ctx context.Context, h remote.Host) Finding {
		a, err := c.ask(ctx, h, auth)
		var cannot cannotAsk
		switch {
		case errors.As(err, &cannot):
			return unknown("allow forwarding for that login, or install curl there", "%s", cannot.Error())
		case err != nil && lost(err):
			return couldNotLook(err)
		case err != nil:
			return block("see whether it runs, and what its log says", "%s: %s", c.URL, plainError(err))
		}
		return c.judge(a, contains)
	})
}

func (c *HTTPCheck) key() string {
	key := c.URL
	if m := c.method(); m != "GET" {
		key = m + " " + key
	}
	if c.Connect != "" {
		key += " at " + c.Connect
	}
	return key
}

func (c *HTTPCheck) method() string {
	if c.Method == "" {
		return "GET"
	}
	return c.Method
}

// authorization is the header's value; "" for none.
func (c *HTTPCheck) authorization(ctx context.Context, w World) (string, error) {
	get := func(r secret.Ref) (secret.Value, error) {
		if r.Name == "" {
			return secret.Value{}, nil
		}
		if w.Secret == nil {
			return secret.Value{}, fmt.Errorf("secret %q is not at hand here", r.Name)
		}
		return w.Secret(ctx, r.Name)
	}
	token, err := get(c.Bearer)
	if err != nil {
		return "", err
	}
	if !token.IsZero() {
		return "Bearer " + token.Reveal(), nil
	}
	password, err := get(c.Password)
	if err != nil || c.User == "" && password.IsZero() {
		return "", err
	}
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(c.User, password.Reveal())
	return r.Header.Get("Authorization"), nil
}

func (c *HTTPCheck) judge(a answer, contains *regexp.Regexp) Finding {
	saw := fmt.Sprintf("%d in %s", a.status, millis(a.took))
	const fix = "see what its log says"
	var f Finding
	switch {
	case c.Status != 0 && a.status != c.Status:
		f = block(fix, "%s answers %s, not %d", c.URL, saw, c.Status)
	case c.Status == 0 && (a.status < 200 || a.status > 299):
		f = block(fix, "%s answers %s", c.URL, saw)
	case c.Contains != "" && !contains.Match(a.body):
		f = block(fix, "%s answers %s, but the body does not match %s", c.URL, saw, c.Contains)
	default:
		if why := c.judgeJSON(a.body); why != "" {
			f = block(fix, "%s answers %s, but %s", c.URL, saw, why)
		} else {
			return pass("%s answers %s", c.URL, saw).took(a.took)
		}
	}
	f.Detail = string(a.body[:min(len(a.body), 2000)])
	return f
}

// judgeJSON says what is wrong with the body; "" if nothing.
func (c *HTTPCheck) judgeJSON(body []byte) string {
	if len(c.JSON) == 0 {
		return ""
	}
	var doc any
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return "the body is not JSON"
	}
	for _, path := range slices.Sorted(maps.Keys(c.JSON)) {
		have, found := jsonAt(doc, path)
		if !found {
			return fmt.Sprintf("the body has no %s", path)
		}
		if have != c.JSON[path] {
			return fmt.Sprintf("%s is %s, not %s", path, have, c.JSON[path])
		}
	}
	return ""
}

// jsonAt follows names and, in lists, numbers: "nodes.0.name". What is no text
// comes as JSON writes it.
func jsonAt(doc any, path string) (string, bool) {
	for name := range strings.SplitSeq(path, ".") {
		switch d := doc.(type) {
		case map[string]any:
			next, ok := d[name]
			if !ok {
				return "", false
			}
			doc = next
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(d) {
				return "", false
			}
			doc = d[i]
		default:
			return "", false
		}
	}
	if s, ok := doc.(string); ok {
		return s, true
	}
	b, err := json.Marshal(doc)
	return string(b), err == nil
}

// millis writes a latency as people read it: "12 ms".
func millis(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

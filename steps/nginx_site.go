package steps

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name: "nginx.site",
		Summary: "Puts a site of nginx in place or takes it away: tested by nginx before it counts, reloaded, and put back at once " +
			"where nginx does not take it.",
		Example: `- step: Send the chat's name to the new server
  on: web
  nginx.site:
    name: chat.example.org
    text: |
      server {
        listen 80;
        server_name chat.example.org;
        location / { proxy_pass http://127.0.0.1:8088; }
      }
    serves: {http: {on: web, url: "http://127.0.0.1/_health", headers: {Host: chat.example.org}}}
`,
		New: func() Step { return &nginxSite{} },
	})
}

//go:embed nginx_site.sh
var nginxSiteScript string

type nginxSite struct {
	Name    string          `yaml:"name" required:"" doc:"name of the site's file, such as chat.example.org; in conf.d without its .conf"`
	Text    *string         `yaml:"text" doc:"what the file shall say; with neither text nor from, the file that is there is enabled or disabled"`
	From    string          `yaml:"from" doc:"path of the file on the machine that belay runs on, or on that of host, instead of text"`
	Host    string          `yaml:"host" host:"" doc:"host that has from; no difference is shown, as it may hold secrets"`
	Enabled bool            `yaml:"enabled" default:"true" doc:"false takes the site out of service: its link in sites-enabled, or its file in conf.d, goes"`
	Dir     string          `yaml:"dir" default:"/etc/nginx" doc:"directory of nginx's configuration"`
	Layout  string          `yaml:"layout" default:"auto" enum:"auto|sites|conf.d" doc:"sites: a file in sites-available and a link in sites-enabled; conf.d: a file there; auto: sites where there is a sites-enabled"`
	Nginx   string          `yaml:"nginx" default:"nginx" doc:"command of nginx, words parted by blanks: nginx -p /srv/web -c nginx.conf, or docker exec web nginx"`
	Reload  string          `yaml:"reload" doc:"shell command that reloads nginx, such as systemctl reload nginx; left out, its own -s reload"`
	Serves  checks.Check    `yaml:"serves" doc:"a check that shall pass when the site is in service, such as http with a Host header"`
	Within  remote.Duration `yaml:"within" default:"15s" doc:"how long that check may take to pass after the reload"`
}

var nginxSiteName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+-]*$`)

func (c *nginxSite) Validate() error {
	errs := []error{fileCheckPath("dir", c.Dir)}
	if !nginxSiteName.MatchString(c.Name) {
		errs = append(errs, Field("name", "%q is not the name of a site's file", c.Name))
	}
	if c.Text != nil && c.From != "" {
		errs = append(errs, Field("from", "text and from exclude each other"))
	}
	if c.Host != "" && c.From == "" {
		errs = append(errs, Field("host", "host goes with from, the path of the file there"))
	}
	if c.Host != "" && c.From != "" {
		errs = append(errs, fileCheckPath("from", c.From))
	}
	if len(strings.Fields(c.Nginx)) == 0 {
		errs = append(errs, Field("nginx", "it is empty"))
	}
	if c.Layout == "conf.d" && c.Enabled && c.Text == nil && c.From == "" {
		errs = append(errs, Field("text", "in conf.d a site is its file: say text or from"))
	}
	return errors.Join(errs...)
}

func (c *nginxSite) HostNames() []string {
	if h, ok := c.Serves.(checks.Hoster); ok {
		return h.HostNames()
	}
	return nil
}

// Repeatable: the same file, tested and reloaded twice, is the same site.
func (c *nginxSite) Repeatable() bool { return true }

// Needs asks for nginx, or for what runs it, and for a configuration that nginx
// takes as it is.
func (c *nginxSite) Needs(on string) []checks.Check { return []checks.Check{&nginxSiteCheck{c, on}} }

// Hints are what nginx most often stumbles over.
func (c *nginxSite) Hints() []Hint {
	return []Hint{
		{`bind\(\) to .* failed \(98`, "another program has that port", "stop the program that owns it first; `ss -ltnp` on the host names it"},
		{`duplicate default server`, "another site there is already the default of that port; Debian's example site is one", "take it out of service in a step before: nginx.site: {name: default, enabled: false}"},
		{`cannot load certificate`, "a certificate that the site names is not there or not readable", "put it there in an earlier step"},
		{`host not found in upstream`, "a name in proxy_pass does not resolve on the host", "use an address, or see to the name first"},
	}
}

// nginxSiteRec is what the step remembers; put down before anything is changed.
type nginxSiteRec struct {
	File     string   `json:"file"`
	Link     string   `json:"link,omitempty"`
	FileWas  string   `json:"file_was"`           // as nginx_site.sh tells it
	LinkWas  string   `json:"link_was,omitempty"` // likewise
	FileOurs []string `json:"file_ours,omitempty"`
	Done     bool     `json:"done,omitempty"` // tested and reloaded
}

const nginxSiteKey = "site"

// nginxSiteSeen is how it looks on the host.
type nginxSiteSeen struct {
	file, link             string // paths; link "" in conf.d
	fileIs, linkIs         string
	keptFile, keptLink     string
	want, text, mode       string // what the file shall be ("file SUM", absent, or "" for as it is); its text and mode
	rec                    nginxSiteRec
	begun, filePut, linked bool
}

func (c *nginxSite) command(e Env, pure bool, verb, file, link, filedo, linkdo, sum, mode string) remote.Cmd {
	args := append([]string{verb, file, link, e.ID, filedo, linkdo, sum, mode, c.Reload}, strings.Fields(c.Nginx)...)
	cmd := remote.Sh(nginxSiteScript, args...)
	cmd.Pure = pure
	return cmd
}

func (c *nginxSite) ask(ctx context.Context, e Env, file, link string) (map[string]string, error) {
	out, err := remote.Output(ctx, e.Host, c.command(e, true, "look", file, link, "", "", "", ""))
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", c.Name, err)
	}
	said := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, val, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		said[key] = val
	}
	return said, nil
}

// look asks the host, and says what is to become of it.
func (c *nginxSite) look(ctx context.Context, e Env) (s nginxSiteSeen, err error) {
	if e.Memory != nil {
		if s.begun, err = e.Memory.Get(nginxSiteKey, &s.rec); err != nil {
			return s, err
		}
	}
	s.file, s.link = path.Join(c.Dir, "sites-available", c.Name), path.Join(c.Dir, "sites-enabled", c.Name)
	said, err := c.ask(ctx, e, s.file, s.link)
	if err != nil {
		return s, err
	}
	if c.Layout == "conf.d" || c.Layout != "sites" && said["sites"] == "0" {
		s.file, s.link = path.Join(c.Dir, "conf.d", c.Name+".conf"), ""
		if said, err = c.ask(ctx, e, s.file, s.link); err != nil {
			return s, err
		}
	}
	s.fileIs, s.linkIs, s.keptFile, s.keptLink = said["file"], said["link"], said["kept"], said["kept-link"]
	if s.fileIs == "" || s.fileIs == "other" || s.linkIs == "other" {
		return s, fmt.Errorf("site %s: %s or its link on %s is no plain file; nothing was changed", c.Name, s.file, e.Host.Name)
	}
	return s, c.wanted(ctx, e, &s)
}

// read is what the file shall say, and its mode.
func (c *nginxSite) read(ctx context.Context, e Env) (text, mode string, err error) {
	switch {
	case c.Text != nil:
		return *c.Text, "0644", nil
	case c.Host == "":
		b, err := os.ReadFile(c.From)
		if err != nil {
			return "", "", fmt.Errorf("on this machine: %w", err)
		}
		return string(b), "0644", nil
	}
	e.Host = remote.ReadOnly(e.Hosts[c.Host])
	s, err := fileLook(ctx, e, c.From)
	if err != nil {
		return "", "", fmt.Errorf("on %s: %w", c.Host, err)
	}
	if s.Kind != "file" || s.Size > 1<<20 {
		return "", "", fmt.Errorf("on %s: %s is no file of at most 1 MiB (%s); nothing was changed", c.Host, c.From, s.Kind)
	}
	b, err := remote.ReadFile(ctx, e.Host, s.Path)
	if err != nil {
		return "", "", fmt.Errorf("on %s: %w", c.Host, err)
	}
	return string(b), "0" + s.Mode, nil
}

func (c *nginxSite) wanted(ctx context.Context, e Env, s *nginxSiteSeen) (err error) {
	given := c.Text != nil || c.From != ""
	switch {
	case given && (s.link != "" || c.Enabled):
		if s.text, s.mode, err = c.read(ctx, e); err != nil {
			return err
		}
		sum := sha256.Sum256([]byte(s.text))
		s.want = "file " + hex.EncodeToString(sum[:])
	case s.link == "" && c.Enabled:
		return fmt.Errorf("site %s: nginx there has no sites-enabled, so a site is its file in conf.d: say text or from", c.Name)
	case s.link == "":
		s.want = "absent"
	case c.Enabled && s.fileIs == "absent":
		return fmt.Errorf("site %s: there is no %s to enable; nothing was changed", c.Name, s.file)
	}
	s.filePut = s.want == "" || s.fileIs == s.want
	to, isLink := strings.CutPrefix(s.linkIs, "link ")
	if !path.IsAbs(to) {
		to = path.Join(path.Dir(s.link), to)
	}
	switch {
	case s.link == "":
		s.linked = true
	case c.Enabled:
		s.linked = isLink && path.Clean(to) == s.file
	default:
		s.linked = s.linkIs == "absent"
	}
	return nil
}

// Pending shows the file as a diff.
func (c *nginxSite) Pending(ctx context.Context, e Env) ([]Change, error) {
	s, err := c.look(ctx, e)
	if err != nil {
		return nil, err
	}
	var all []Change
	if !s.filePut {
		ch, err := c.fileChange(ctx, e, s)
		if err != nil {
			return nil, err
		}
		all = append(all, ch)
	}
	switch {
	case s.linked:
	case c.Enabled:
		all = append(all, Change{Text: fmt.Sprintf("link %s to %s (now %s)", s.link, s.file, s.linkIs)})
	default:
		all = append(all, Change{Text: fmt.Sprintf("take away %s (now %s)", s.link, s.linkIs)})
	}
	if len(all) == 0 && !s.rec.Done && (s.begun || !c.serving(ctx, e)) {
		all = append(all, Change{Text: "the files are as they shall be, and nginx does not yet serve them"})
	}
	if len(all) > 0 {
		reload := c.Reload
		if reload == "" {
			reload = c.Nginx + " -s reload"
		}
		all = append(all, Change{Text: "test the configuration, put back at once what nginx does not take, and reload", Cmd: c.Nginx + " -t && " + reload})
	}
	return all, nil
}

func (c *nginxSite) fileChange(ctx context.Context, e Env, s nginxSiteSeen) (Change, error) {
	if s.want == "absent" {
		return Change{Text: "take away " + s.file}, nil
	}
	ch := Change{Text: "write " + s.file + " (new)"}
	old := ""
	if s.fileIs != "absent" {
		b, err := remote.ReadFile(ctx, e.Host, s.file)
		if err != nil {
			return ch, err
		}
		old, ch.Text = string(b), "replace "+s.file
	}
	if c.Host == "" && fileIsText([]byte(old)) && fileIsText([]byte(s.text)) {
		ch.Diff = fileDiff(s.file, old, s.text)
	}
	return ch, nil
}

// serving asks the plan's check once; without one it is taken for granted.
func (c *nginxSite) serving(ctx context.Context, e Env) bool {
	if c.Serves == nil || !c.Enabled {
		return true
	}
	passed, _, err := (&wait{For: c.Serves}).look(ctx, e)
	return err == nil && passed
}

// Verify asks nginx itself which files it reads, and then whether the running
// workers serve the site.
func (c *nginxSite) Verify(ctx context.Context, e Env) error {
	s, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	if !s.filePut || !s.linked {
		return fmt.Errorf("site %s: %s is %s, its link is %s", c.Name, s.file, s.fileIs, s.linkIs)
	}
	out, err := remote.Output(ctx, e.Host, c.command(e, true, "dump", s.file, s.link, "", "", "", ""))
	if err != nil {
		return fmt.Errorf("site %s: nginx does not take its configuration: %w%s", c.Name, err, nginxSaid(out))
	}
	reads := strings.Contains(string(out), "reads ")
	switch {
	case c.Enabled && !reads:
		return fmt.Errorf("site %s: nginx reads no %s; see what nginx.conf includes", c.Name, s.file)
	case !c.Enabled && reads:
		return fmt.Errorf("site %s: nginx reads it still, by another way: %s", c.Name, checks.OneLine(string(out), 200))
	}
	if c.Serves == nil || !c.Enabled {
		return nil
	}
	w := &wait{For: c.Serves, Timeout: c.Within, Every: remote.Duration(500 * time.Millisecond), Stable: 1}
	if err := w.Apply(ctx, e); err != nil {
		return fmt.Errorf("site %s does not serve as it should: %w", c.Name, err)
	}
	return nil
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Failures are what StartDemo can let go wrong, by the words of `belay demo --fail`.
var Failures = []string{"cutover", "soak"}

// Demo is a lab in which an old chat is running on the server "old", ready to
// be moved to "new", with its archive on "backup".
type Demo struct {
	*Lab
	Vars map[string]string // of the plan demo.yaml
	URL  string            // of the chat, before and after
}

// StartDemo starts the lab of the demo under dir. program is this belay's own
// executable, which the servers run as the chat. fail is "" or one of Failures:
// with "cutover" the new chat never becomes healthy, with "soak" it begins to
// fail a few seconds after it has taken over.
func StartDemo(ctx context.Context, dir, program, fail string) (*Demo, error) {
	flags := map[string]string{"": "--fail-after 0", "cutover": "--fail health", "soak": "--fail-after 20"}
	newFlags, ok := flags[fail]
	if !ok {
		return nil, fmt.Errorf("demo: %q is not something that can be broken; %s are", fail, strings.Join(Failures, " and "))
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	l, err := Start(ctx, dir, "old", "new", "backup")
	if err != nil {
		return nil, err
	}
	d := &Demo{Lab: l, URL: "http://" + addr}
	_, port, _ := net.SplitHostPort(addr)
	d.Vars = map[string]string{
		"chat":     filepath.Join(l.Home("new"), "bin", "chat"),
		"port":     port,
		"old":      filepath.Join(l.Home("old"), "chat"),
		"new":      filepath.Join(l.Home("new"), "chat"),
		"backup":   filepath.Join(l.Home("backup"), "archive"),
		"new_flag": newFlags,
	}
	if err := d.furnish(program, addr); err != nil {
		return nil, errors.Join(fmt.Errorf("demo: %w", err), l.Stop())
	}
	if err := d.startOld(ctx); err != nil {
		l.Stop()
		return nil, fmt.Errorf("demo: start the old chat: %w", err)
	}
	return d, nil
}

// furnish puts the chat's program and data where the plan expects them.
func (d *Demo) furnish(program, addr string) error {
	for _, host := range []string{"old", "new"} {
		// Under a name of its own, or it would pass for belay itself, which
		// no step stops.
		server := filepath.Join(d.Home(host), "bin", "chat-server")
		if err := os.Symlink(program, server); err != nil {
			return err
		}
		wrapper := "#!/bin/sh\nexec '" + strings.ReplaceAll(server, "'", `'\''`) + "' lab-chat \"$@\"\n"
		if err := os.WriteFile(filepath.Join(d.Home(host), "bin", "chat"), []byte(wrapper), 0o700); err != nil {
			return err
		}
	}
	messages := fileStore(filepath.Join(d.Vars["old"], "messages"))
	for _, dir := range []string{string(messages), d.Vars["new"], d.Vars["backup"]} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, m := range conversation {
		if err := messages.add(m); err != nil {
			return err
		}
	}
	start := "#!/bin/sh\n# Starts the old chat.\ncd " + d.Vars["old"] + " || exit 1\n" +
		"nohup " + filepath.Join(d.Home("old"), "bin", "chat") + " serve --flavour old --data " + string(messages) +
		" --addr " + addr + " >chat.log 2>&1 </dev/null &\n" +
		"echo $! >chat.pid\n"
	env := "# settings of the chat\nCHAT_NAME=Harbour Office\nCHAT_DATA=./messages\nCHAT_PORT=8080\n"
	if err := os.WriteFile(filepath.Join(d.Vars["new"], "chat.env"), []byte(env), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.Vars["old"], "start.sh"), []byte(start), 0o700)
}

// startOld starts the old chat as a server would have it running: detached,
// with the environment of its server.
func (d *Demo) startOld(ctx context.Context) error {
	if err := d.servers["old"].detached(filepath.Join(d.Vars["old"], "start.sh")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+"/_health", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(d.Vars["old"], "chat.log"))
			return fmt.Errorf("it does not answer at %s: %w; its log: %s", d.URL, ctx.Err(), log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// freeAddr finds a port that is free now.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// conversation is what the old chat holds.
var conversation = func() []message {
	lines := []message{
		{"mira", "the crane is back in service"},
		{"tobias", "berth 4 is free until noon"},
		{"mira", "then let the tanker in first"},
		{"jo", "pilot is on her way"},
		{"tobias", "wind 5, gusts 7, no problem"},
	}
	var all []message
	for i := range 40 {
		m := lines[i%len(lines)]
		m.Text = fmt.Sprintf("%s (%d)", m.Text, i+1)
		all = append(all, m)
	}
	return all
}()

package postgres

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote/remotetest"
	"belay/remote/secret"
)

// TestToolSecret: while a client program runs, its password is in no argument,
// in no environment and in no file with a name; and nothing is left behind.
func TestToolSecret(t *testing.T) {
	const password = `s:e\c'r"e t-47110815`
	p := remotetest.StartPostgres(t, remotetest.PostgresOptions{Password: password})
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("PGPASSWORD", "another")
	s := serverOf(p, "postgres")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	var out bytes.Buffer
	go func() {
		done <- s.Run(ctx, Tool{Name: "psql", Args: []string{"-XAt", "-c", "select 'in'", "-c", "select pg_sleep(600)"}, Stdout: &out})
	}()
	for len(p.Ask("postgres", "select 1 from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid() and state = 'active'")) == 0 {
		select {
		case err := <-done:
			t.Fatalf("psql ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	seen := 0
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, _ := os.ReadFile(f)
		if !bytes.Contains(line, []byte("pg_sleep(600)")) {
			continue
		}
		seen++
		env, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
		if bytes.Contains(line, []byte("47110815")) || bytes.Contains(env, []byte("47110815")) {
			t.Errorf("%s holds the password", f)
		}
	}
	if seen == 0 {
		t.Error("no psql was seen running")
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("there is a file with a name: %v", left)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("psql: %v", err)
	}
	err := s.Run(t.Context(), Tool{Name: "psql", Major: 99})
	if !errors.Is(err, ErrNoTool) || !strings.Contains(err.Error(), "psql of version 99 or newer") {
		t.Errorf("a version that is not there: %v", err)
	}
	s.Password = secret.New("a\nb")
	if err := s.Run(t.Context(), Tool{Name: "psql"}); err == nil || strings.Contains(err.Error(), "a\nb") {
		t.Errorf("a line break: %v", err)
	}
}

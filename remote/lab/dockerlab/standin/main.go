// Command standin takes the place of a real server program in the tests' lab:
// small, static, with just the behaviour that a migration looks at.
//
//	standin serve --name NAME --listen :PORT [--root DIR] [--route /prefix=host:port …] [--sick]
//	standin fall-over      ends with an error at once
//	standin probe URL      exit status 0 when the answer is 200: a health check
//	standin fluxer         a server that migrates its data when it starts: fluxer.go
//	sqlite3 DB STATEMENT   called by this name: looks at that data
//	pg_isready, cqlsh      called by these names: ask the serve in the same container
//
// serve answers GET /_health, POST /_rpc (ping), and a store of migrations
// under /migrations (GET lists, POST adds the body's line once).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch filepath.Base(args[0]) {
	case "pg_isready":
		if err := probe("http://127.0.0.1:5432/_health"); err != nil {
			fmt.Println("/var/run/postgresql:5432 - no response")
			return err
		}
		fmt.Println("/var/run/postgresql:5432 - accepting connections")
		return nil
	case "cqlsh":
		return keyspaces()
	case "sqlite3":
		return sqlite3(args[1:])
	}
	if len(args) > 1 && args[1] == "fluxer" {
		return fluxer()
	}
	if len(args) > 1 && args[1] == "fall-over" {
		return errors.New("this program falls over, as it was asked to")
	}
	if len(args) > 2 && args[1] == "probe" {
		return probe(args[2])
	}
	if len(args) > 1 && args[1] == "serve" {
		return serve(args[2:])
	}
	return errors.New("usage: standin serve … | standin probe URL")
}

func probe(url string) error {
	client := http.Client{Timeout: 3 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// keyspaces prints the keyspace of the chat once migrations have made it.
func keyspaces() error {
	resp, err := http.Get("http://127.0.0.1:9042/migrations")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var applied []string
	if err := json.NewDecoder(resp.Body).Decode(&applied); err != nil {
		return err
	}
	names := "system  system_schema"
	if len(applied) > 0 {
		names += "  fluxer"
	}
	fmt.Println(names)
	return nil
}

// migrations is what the stand-in of a database remembers.
type migrations struct {
	mu      sync.Mutex
	applied []string
}

func (m *migrations) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1024))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if name := strings.TrimSpace(string(body)); !slices.Contains(m.applied, name) {
			m.applied = append(m.applied, name)
		}
	}
	json.NewEncoder(w).Encode(append([]string{}, m.applied...))
}

func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	name := flags.String("name", "standin", "who answers")
	listenOn := flags.String("listen", ":8080", "where")
	root := flags.String("root", "", "directory that GET / serves")
	sick := flags.Bool("sick", false, "never healthy")
	mux := http.NewServeMux()
	flags.Func("route", "/prefix=host:port to pass requests on to", func(s string) error {
		prefix, target, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want /prefix=host:port")
		}
		to := &url.URL{Scheme: "http", Host: target}
		mux.Handle(prefix+"/", http.StripPrefix(prefix, httputil.NewSingleHostReverseProxy(to)))
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	mux.HandleFunc("GET /_health", func(w http.ResponseWriter, _ *http.Request) {
		if *sick {
			http.Error(w, *name+" is not healthy", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "{\"status\":\"ok\",\"name\":%q}\n", *name)
	})
	mux.HandleFunc("POST /_rpc", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"result\":\"pong\",\"from\":%q}\n", *name)
	})
	mux.Handle("/migrations", &migrations{})
	if *root != "" {
		mux.Handle("/", http.FileServer(http.Dir(*root)))
	}
	return listen(*listenOn, *name, mux)
}

// listen serves until it is told to end.
func listen(addr, name string, mux http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	fmt.Printf("%s listens on %s\n", name, addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

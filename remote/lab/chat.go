package lab

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// ChatMain is the chat of the demo, old and new, as a program of its own; cmd/belay
// offers it as the hidden subcommand lab-chat:
//
//	lab-chat serve --flavour old|new --data DIR --addr HOST:PORT [--fail health] [--fail-after N]
//	lab-chat import --from DIR --to DIR
//	lab-chat count --flavour old|new --data DIR
//
// serve answers GET /_health, GET /messages and POST /messages (text in the
// body) until it gets SIGTERM or, started by a lab, until that lab is gone.
// With --fail health its health is 500 from the start; with --fail-after N
// every answer after the Nth is 500. import brings an old chat's messages into
// a new chat's store and says how far it is, a line each; count prints how many
// there are.
func ChatMain(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("lab-chat: serve, import or count?")
	}
	flags := flag.NewFlagSet("lab-chat "+args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var c chat
	flags.StringVar(&c.flavour, "flavour", "old", "old or new")
	flags.StringVar(&c.data, "data", "", "directory of the messages")
	flags.StringVar(&c.addr, "addr", "", "where to serve")
	flags.StringVar(&c.fail, "fail", "", "health: never become healthy")
	flags.Int64Var(&c.failAfter, "fail-after", 0, "errors after so many answers")
	from := flags.String("from", "", "the old chat's messages")
	to := flags.String("to", "", "the new chat's store")
	if err := flags.Parse(args[1:]); err != nil {
		return fmt.Errorf("lab-chat %s: %w", args[0], err)
	}
	var err error
	switch args[0] {
	case "serve":
		err = c.serve(ctx)
	case "import":
		err = importMessages(*from, *to, out)
	case "count":
		var all []message
		if all, err = c.store().read(); err == nil {
			fmt.Fprintln(out, len(all))
		}
	default:
		err = errors.New("serve, import or count?")
	}
	if err != nil {
		return fmt.Errorf("lab-chat %s: %w", args[0], err)
	}
	return nil
}

type chat struct {
	flavour, data, addr, fail string
	failAfter                 int64
	answers                   atomic.Int64
}

func (c *chat) store() store {
	if c.flavour == "new" {
		return lineStore(c.data)
	}
	return fileStore(c.data)
}

func (c *chat) serve(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	if pid, err := strconv.Atoi(os.Getenv("BELAY_LAB_PID")); err == nil {
		go watch(ctx, pid, gone)
	}
	ln, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_health", c.health)
	mux.HandleFunc("GET /messages", c.list)
	mux.HandleFunc("POST /messages", c.post)
	server := &http.Server{Handler: c.failing(mux), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// watch ends a chat whose lab was killed before it could clean up.
func watch(ctx context.Context, lab int, gone func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
			if errors.Is(syscall.Kill(lab, 0), syscall.ESRCH) {
				gone()
				return
			}
		}
	}
}

// failing is the fault that a newcomer asked for.
func (c *chat) failing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Chat", c.flavour)
		n := c.answers.Add(1)
		if c.failAfter > 0 && n > c.failAfter {
			http.Error(w, "out of file descriptors (pretended)", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *chat) health(w http.ResponseWriter, _ *http.Request) {
	all, err := c.store().read()
	if c.fail == "health" {
		err = errors.New("message index is not ready (pretended)")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]any{"status": "ok", "chat": c.flavour, "messages": len(all)})
}

func (c *chat) list(w http.ResponseWriter, _ *http.Request) {
	all, err := c.store().read()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, all)
}

func (c *chat) post(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4096))
	if err == nil {
		err = c.store().add(message{From: "guest", Text: string(text)})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

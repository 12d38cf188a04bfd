// Command coai takes the place of CoAI, a chat server with users,
// conversations and uploads in MySQL and a directory, in the versions that
// VERSION says. Its other settings come from the environment as CoAI's do:
// MYSQL_HOST, MYSQL_PORT, MYSQL_USER, MYSQL_PASSWORD, MYSQL_DB; JWT_SECRET and
// OPENAI_KEY up to 1.9, SECRET and OPENAI_API_KEY from 2.0 on.
//
//	coai             serves on :8000, files from /storage; with STORAGE_TYPE s3 or
//	                 gcs from the directory that a stand-in takes for the bucket
//	coai probe URL   exit status 0 when the answer is 200: a health check
//
// GET /health, GET /v1/system/version, POST /v1/chat/completions, POST and
// DELETE /v1/files, POST /v1/conversations, POST /v1/admin/maintenance, and
// GET /v1/everything: all that its users could see, read through the database
// to the files' content, in the same words in every version.
package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

type server struct {
	db      *sql.DB
	version string
	two     bool // 2.0 or later
	key     string
	closed  atomic.Bool // for maintenance
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "probe" {
		if err := probe(os.Args[2]); err != nil {
			log.Fatal(err)
		}
		return
	}
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", net.JoinHostPort(os.Getenv("MYSQL_HOST"), os.Getenv("MYSQL_PORT"))
	c.User, c.Passwd, c.DBName = os.Getenv("MYSQL_USER"), os.Getenv("MYSQL_PASSWORD"), os.Getenv("MYSQL_DB")
	con, err := mysql.NewConnector(c)
	if err != nil {
		log.Fatal(err)
	}
	s := &server{db: sql.OpenDB(con), version: os.Getenv("VERSION")}
	s.two = strings.HasPrefix(s.version, "2.")
	secret := os.Getenv("JWT_SECRET")
	s.key = os.Getenv("OPENAI_KEY")
	if s.two {
		secret, s.key = os.Getenv("SECRET"), os.Getenv("OPENAI_API_KEY")
	}
	if secret == "" || s.key == "" {
		log.Fatal("CoAI ", s.version, ": a secret is not set under the name that this version knows")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /v1/system/version", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"version": s.version}, nil) })
	mux.HandleFunc("POST /v1/admin/maintenance", s.allowed(s.maintenance))
	mux.HandleFunc("GET /v1/everything", s.open(s.everything))
	mux.HandleFunc("POST /v1/chat/completions", s.open(s.allowed(s.chat)))
	mux.HandleFunc("POST /v1/conversations", s.open(s.allowed(s.talk)))
	mux.HandleFunc("POST /v1/files", s.open(s.allowed(s.upload)))
	mux.HandleFunc("DELETE /v1/files/{id}", s.open(s.allowed(s.drop)))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	told := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Print(r.Method, " ", r.RequestURI)
		mux.ServeHTTP(w, r)
	})
	h := &http.Server{Addr: ":8000", Handler: told, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { h.Close() })()
	log.Print("CoAI ", s.version, " listens")
	if err := h.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// root is where the uploads are.
func root() string {
	switch os.Getenv("STORAGE_TYPE") {
	case "s3":
		return "/var/lib/cloud/s3/" + os.Getenv("S3_BUCKET")
	case "gcs":
		return "/var/lib/cloud/gs/" + os.Getenv("GCS_BUCKET")
	}
	return "/storage"
}

func probe(url string) error {
	r, err := (&http.Client{Timeout: 3 * time.Second}).Get(url)
	if err == nil && r.StatusCode != http.StatusOK {
		err = errors.New(r.Status)
	}
	return err
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}

// open serves unless there is maintenance.
func (s *server) open(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.closed.Load() {
			http.Error(w, "maintenance", http.StatusServiceUnavailable)
			return
		}
		f(w, r)
	}
}

// allowed wants the key.
func (s *server) allowed(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+s.key {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		f(w, r)
	}
}

// admins is how this version knows them.
func (s *server) admins() string {
	if s.two {
		return "EXISTS (SELECT * FROM user_roles x JOIN roles r ON r.id = x.role_id WHERE x.user_id = users.id AND r.name = 'admin')"
	}
	return "is_admin = 1"
}

func (s *server) health(w http.ResponseWriter, r *http.Request) {
	var n int
	err := s.db.QueryRowContext(r.Context(), "SELECT COUNT(*) FROM users WHERE "+s.admins()).Scan(&n)
	if err == nil && n == 0 {
		err = errors.New("there is no administrator")
	}
	answer(w, map[string]any{"status": "ok", "version": s.version}, err)
}

func (s *server) maintenance(w http.ResponseWriter, r *http.Request) {
	var v struct{ Enabled bool }
	err := json.NewDecoder(r.Body).Decode(&v)
	if err == nil {
		s.closed.Store(v.Enabled)
	}
	answer(w, map[string]any{"maintenance": s.closed.Load()}, err)
}

func (s *server) everything(w http.ResponseWriter, r *http.Request) {
	var all []string
	for _, q := range []string{
		"SELECT CONCAT_WS(' ', 'user', id, username, email, IF(" + s.admins() + ", 'admin', '')) FROM users ORDER BY id",
		"SELECT CONCAT_WS(' ', 'conversation', id, user_id, title, model_name, created_at, updated_at) FROM conversations ORDER BY id",
	} {
		err := s.each(r.Context(), q, func(line string) error {
			all = append(all, line)
			return nil
		})
		if err != nil {
			answer(w, nil, err)
			return
		}
	}
	err := s.each(r.Context(), "SELECT CONCAT_WS('|', id, user_id, original_name, file_path) FROM files ORDER BY id", func(line string) error {
		f := strings.SplitN(line, "|", 4)
		b, err := os.ReadFile(filepath.Join(root(), f[3]))
		all = append(all, fmt.Sprintf("file %s %s %s %s", f[0], f[1], f[2], sum(b)))
		return err
	})
	if err != nil {
		answer(w, nil, err)
		return
	}
	fmt.Fprintln(w, strings.Join(all, "\n"))
}

func (s *server) each(ctx context.Context, query string, each func(string) error) error {
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := errors.Join(rows.Scan(&line)); err != nil {
			return err
		}
		if err := each(line); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *server) chat(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"choices": []any{map[string]any{"message": map[string]any{"role": "assistant", "content": "Hello from " + s.version}}}}, nil)
}

func (s *server) talk(w http.ResponseWriter, r *http.Request) {
	title, err := io.ReadAll(io.LimitReader(r.Body, 1000))
	if err == nil {
		_, err = s.db.ExecContext(r.Context(), "INSERT INTO conversations (user_id, title, model_name) SELECT MIN(id), ?, 'gpt-4' FROM users", string(title))
	}
	answer(w, map[string]any{"ok": true}, err)
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func (s *server) upload(w http.ResponseWriter, r *http.Request) {
	f, head, err := r.FormFile("file")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		answer(w, nil, err)
		return
	}
	p := filepath.Base(head.Filename)
	if s.two {
		p = filepath.Join("uploads", sum(b)+filepath.Ext(p))
	}
	if err = os.WriteFile(filepath.Join(root(), p), b, 0o644); err != nil {
		answer(w, nil, err)
		return
	}
	res, err := s.db.ExecContext(r.Context(), "INSERT INTO files (user_id, original_name, file_path) SELECT MIN(id), ?, ? FROM users", head.Filename, p)
	if err != nil {
		answer(w, nil, err)
		return
	}
	id, err := res.LastInsertId()
	answer(w, map[string]any{"id": id}, err)
}

func (s *server) drop(w http.ResponseWriter, r *http.Request) {
	var p string
	err := s.db.QueryRowContext(r.Context(), "SELECT file_path FROM files WHERE id = ?", r.PathValue("id")).Scan(&p)
	if err == nil {
		_, err = s.db.ExecContext(r.Context(), "DELETE FROM files WHERE id = ?", r.PathValue("id"))
	}
	if err == nil {
		err = os.Remove(filepath.Join(root(), p))
	}
	answer(w, map[string]any{"deleted": true}, err)
}

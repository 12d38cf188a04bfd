// Command api takes the place of an application that keeps its users and posts
// in PostgreSQL, before and after its move.
//
//	DATABASE_URL=postgres://… api --listen :8080 --name NAME [--users auth.users] [--sick-after 3s]
//
// GET /health tells its name and how many users and posts there are, GET
// /api/v1/feed the newest posts, POST /api/v1/posts adds one. After sick-after
// it answers 503 to everything.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

type api struct {
	name, users string
	sick        time.Time // zero: never
}

func main() {
	a := api{}
	listen := flag.String("listen", ":8080", "address")
	flag.StringVar(&a.name, "name", "api", "what it calls itself")
	flag.StringVar(&a.users, "users", "public.users", "table of the users")
	after := flag.Duration("sick-after", 0, "when it stops to answer; 0: never")
	flag.Parse()
	if *after > 0 {
		a.sick = time.Now().Add(*after)
	}
	http.HandleFunc("GET /health", a.answer(a.health))
	http.HandleFunc("GET /api/v1/feed", a.answer(a.feed))
	http.HandleFunc("POST /api/v1/posts", a.answer(a.post))
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// answer gives f a connection and writes as JSON what it returns.
func (a api) answer(f func(context.Context, *pgx.Conn, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.sick.IsZero() && time.Now().After(a.sick) {
			http.Error(w, "sick, as it was asked to be", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		db, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
		if err != nil {
			http.Error(w, "no database", http.StatusServiceUnavailable)
			log.Print(err)
			return
		}
		defer db.Close(context.WithoutCancel(ctx))
		v, err := f(ctx, db, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			log.Print(err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			log.Print(err)
		}
	}
}

func (a api) health(ctx context.Context, db *pgx.Conn, _ *http.Request) (any, error) {
	v := struct {
		Name  string `json:"name"`
		Users int    `json:"users"`
		Posts int    `json:"posts"`
	}{Name: a.name}
	query := fmt.Sprintf("SELECT (SELECT count(*) FROM %s), (SELECT count(*) FROM public.posts)", a.users)
	return &v, db.QueryRow(ctx, query).Scan(&v.Users, &v.Posts)
}

func (a api) feed(ctx context.Context, db *pgx.Conn, _ *http.Request) (any, error) {
	rows, err := db.Query(ctx, "SELECT body FROM public.posts ORDER BY id DESC LIMIT 20")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (a api) post(ctx context.Context, db *pgx.Conn, r *http.Request) (any, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	var id int64
	return &id, db.QueryRow(ctx, fmt.Sprintf("INSERT INTO public.posts (author, body) SELECT id, $1 FROM %s ORDER BY id LIMIT 1 RETURNING id", a.users), string(body)).Scan(&id)
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The stand-in of Fluxer's server keeps its messages in a file of its volume,
// and migrates that when it starts, with the lines that the real one prints.
// Its image says which version it is:
//
//	FLUXER_VERSION     v1.3.0
//	FLUXER_MIGRATIONS  the names of all, as "001_a.sql 002_b.sql"
//	FLUXER_FORMAT      of its data: an older server cannot read a newer one's
//	FLUXER_FAIL        "002_b.sql=duplicate column name;…": these migrations fail, until
//	                   they are marked as applied; "=timeout": until the configuration
//	                   allows them 300000 ms

const (
	fluxerDB     = "/data/fluxer.db"
	fluxerConfig = "/config/config.json"
)

// fluxerData is what is in the volume.
type fluxerData struct {
	Format     int      `json:"format"`
	Migrations []string `json:"migrations"`
	Messages   []string `json:"messages"`
}

func readFluxer() (d fluxerData, err error) {
	b, err := os.ReadFile(fluxerDB)
	if errors.Is(err, os.ErrNotExist) {
		return fluxerData{}, nil
	}
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(b, &d)
}

func (d fluxerData) write() error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := os.WriteFile(fluxerDB+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(fluxerDB+".new", fluxerDB)
}

func fluxer() error {
	format, err := strconv.Atoi(os.Getenv("FLUXER_FORMAT"))
	if err != nil {
		return err
	}
	d, err := readFluxer()
	if err != nil {
		return err
	}
	if d.Format > format {
		return fmt.Errorf("[ERROR] The database is of a newer version (format %d, and this server reads %d)", d.Format, format)
	}
	if err := d.migrate(format); err != nil {
		return err
	}
	var mu sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "{\"status\":\"ok\",\"version\":%q}\n", os.Getenv("FLUXER_VERSION"))
	})
	mux.HandleFunc("/api/messages", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if body, _ := io.ReadAll(io.LimitReader(r.Body, 1024)); r.Method == http.MethodPost {
			d.Messages = append(d.Messages, string(body))
			if err := d.write(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		json.NewEncoder(w).Encode(d.Messages)
	})
	return listen(":8080", "fluxer", mux)
}

// migrate applies what is lacking, each with its trace on the disk, so that one
// that fails leaves those before it behind.
func (d *fluxerData) migrate(format int) error {
	var lacking []string
	all := strings.Fields(os.Getenv("FLUXER_MIGRATIONS"))
	for _, m := range all {
		if !slices.Contains(d.Migrations, m) {
			lacking = append(lacking, m)
		}
	}
	fmt.Println("[INFO] Running database migrations...")
	failing := map[string]string{}
	for f := range strings.SplitSeq(os.Getenv("FLUXER_FAIL"), ";") {
		name, why, _ := strings.Cut(f, "=")
		failing[name] = why
	}
	for _, m := range lacking {
		time.Sleep(300 * time.Millisecond)
		if why := failing[m]; why != "" && (why != "timeout" || !patient()) {
			fmt.Println("[ERROR] Migration failed: " + m)
			return errors.New("[ERROR] Reason: " + strings.Replace(why, "timeout", "migration timed out after 30000 ms", 1))
		}
		d.Format, d.Migrations = format, append(d.Migrations, m)
		if err := d.write(); err != nil {
			return err
		}
		fmt.Println("[INFO] Applied migration: " + m)
	}
	fmt.Printf("[INFO] Migrations complete (%d applied, %d skipped)\n", len(lacking), len(all)-len(lacking))
	return nil
}

// patient tells whether the configuration gives a migration five minutes.
func patient() bool {
	var c struct {
		Database struct {
			Timeout int `json:"migration_timeout_ms"`
		} `json:"database"`
	}
	b, err := os.ReadFile(fluxerConfig)
	return err == nil && json.Unmarshal(b, &c) == nil && c.Database.Timeout >= 300_000
}

var marksApplied = regexp.MustCompile(`^INSERT INTO migrations \(version, applied_at\) VALUES \('(\w+)', datetime\('now'\)\);$`)

// sqlite3 knows the two statements of the guide's table of troubles.
func sqlite3(args []string) error {
	d, err := readFluxer()
	if err != nil || len(args) != 2 || args[0] != fluxerDB {
		return errors.Join(err, errors.New("usage: sqlite3 "+fluxerDB+" STATEMENT"))
	}
	if args[1] == "SELECT * FROM migrations;" {
		fmt.Println(strings.Join(d.Migrations, "\n"))
		return nil
	}
	m := marksApplied.FindStringSubmatch(args[1])
	if m == nil {
		return errors.New("Error: near \"" + args[1] + "\": syntax error")
	}
	d.Migrations = append(d.Migrations, m[1]+".sql")
	return d.write()
}

package remotetest

import (
	"context"
	"database/sql"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MariaDBOptions change the server of StartMariaDB.
type MariaDBOptions struct {
	User     string   // an account that may do everything, from any host; default belay
	Password string   // of that account
	Settings []string // arguments of mariadbd: "--local-infile=OFF", "--log-bin=bin"
	Dir      string   // parent of Dir, such as a small file system; default the system's own
}

// MariaDB is a MariaDB server of one test's own on 127.0.0.1. What it keeps is
// not synced to the disk: it survives Kill, not a power cut. root@localhost has
// no password, and names are not resolved: who comes by TCP is not "localhost".
type MariaDB struct {
	Addr     string // 127.0.0.1:port
	Port     int
	Socket   string // path of the socket
	User     string
	Password string
	Dir      string // Dir/data is the data directory, Dir/log what the server says

	t        testing.TB
	settings []string
	proc     *exec.Cmd
}

// StartMariaDB starts one and ends it with the test. As root it runs as nobody.
func StartMariaDB(t testing.TB, o MariaDBOptions) *MariaDB {
	t.Helper()
	Need(t, "mariadbd", "mariadb-install-db")
	files := mariadbFiles(t)
	dir, err := os.MkdirTemp(o.Dir, "belaymy") // t.TempDir is not open to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := FreePort(t)
	m := &MariaDB{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Port: port, Dir: dir, t: t,
		Socket: filepath.Join(dir, "sock"), User: or(o.User, "belay"), Password: o.Password, settings: o.Settings,
	}
	for name, data := range files {
		p := filepath.Join(m.data(), name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	giveToNobody(t, dir)
	t.Cleanup(m.Kill)
	m.Start()
	account := mariadbString(m.User) + "@'%'"
	m.Exec("", "CREATE USER "+account+" IDENTIFIED BY "+mariadbString(m.Password))
	m.Exec("", "GRANT ALL ON *.* TO "+account+" WITH GRANT OPTION")
	return m
}

func mariadbString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

func giveToNobody(t testing.TB, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, 65534, 65534)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mariadbFresh is a new data directory by path, made once a test binary (it
// takes seconds) and kept in memory so that nobody must remove it.
var mariadbFresh struct {
	sync.Mutex
	files map[string][]byte
}

func mariadbFiles(t testing.TB) map[string][]byte {
	t.Helper()
	mariadbFresh.Lock()
	defer mariadbFresh.Unlock()
	if mariadbFresh.files != nil {
		return mariadbFresh.files
	}
	dir, err := os.MkdirTemp("", "belaymy")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	giveToNobody(t, dir)
	data := filepath.Join(dir, "data")
	c := exec.Command(Find("mariadb-install-db"), "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=8M", "--innodb-flush-method=nosync")
	c.Dir = dir
	asNobody(c)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v: %s", err, out)
	}
	files := map[string][]byte{}
	err = filepath.WalkDir(data, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(data, p)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mariadbFresh.files = files
	return files
}

func asNobody(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
}

func (m *MariaDB) data() string { return filepath.Join(m.Dir, "data") }

// Start starts the server, anew after Stop or Kill, and waits until it answers.
func (m *MariaDB) Start() {
	m.t.Helper()
	log, err := os.OpenFile(filepath.Join(m.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	// The last of two like settings counts.
	args := append([]string{
		"--no-defaults", "--datadir=" + m.data(), "--socket=" + m.Socket, "--pid-file=" + filepath.Join(m.Dir, "pid"),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(m.Port), "--skip-name-resolve", "--tmpdir=" + m.Dir,
		"--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M",
		"--key-buffer-size=1M", "--aria-pagecache-buffer-size=4M", "--local-infile=ON",
	}, m.settings...)
	m.proc = exec.Command(Find("mariadbd"), args...)
	m.proc.Dir = m.Dir
	asNobody(m.proc)
	m.proc.Stdout, m.proc.Stderr = log, log
	if err := m.proc.Start(); err != nil {
		m.t.Fatal(err)
	}
	for range 2400 {
		if m.alive() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	m.t.Fatalf("mariadbd does not answer in 60 s:\n%s", m.Log())
}

func (m *MariaDB) alive() bool {
	db := m.connect("")
	defer db.Close()
	return db.Ping() == nil
}

// Log is what the server said so far.
func (m *MariaDB) Log() string {
	said, _ := os.ReadFile(filepath.Join(m.Dir, "log"))
	return string(said)
}

// Stop shuts the server down as an operator would, and waits for its end.
func (m *MariaDB) Stop() { m.end(syscall.SIGTERM) }

// Kill ends the server as a crash does.
func (m *MariaDB) Kill() { m.end(syscall.SIGKILL) }

func (m *MariaDB) end(sig syscall.Signal) {
	if m.proc == nil {
		return
	}
	_ = m.proc.Process.Signal(sig)
	_ = m.proc.Wait()
	m.proc = nil
}

// connect goes by the socket as root, whom the server asks for nothing.
func (m *MariaDB) connect(database string) *sql.DB {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.DBName = "unix", m.Socket, "root", database
	c.MultiStatements, c.InterpolateParams = true, true
	c.Collation = "utf8mb4_general_ci"
	c.Logger = &mysql.NopLogger{} // a server that is not up yet is no news
	con, err := mysql.NewConnector(c)
	if err != nil {
		m.t.Fatal(err)
	}
	return sql.OpenDB(con)
}

// Exec runs SQL, which may be several statements, in a database ("" for none)
// as root, beside belay.
func (m *MariaDB) Exec(database, query string, args ...any) {
	m.t.Helper()
	db := m.connect(database)
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		m.t.Fatalf("%.300s: %v", query, err)
	}
}

// Ask returns the first column of every row of a query, as text; NULL is "∅".
func (m *MariaDB) Ask(database, query string, args ...any) []string {
	m.t.Helper()
	db := m.connect(database)
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), query, args...)
	if err != nil {
		m.t.Fatalf("%.300s: %v", query, err)
	}
	defer rows.Close()
	var all []string
	cols, _ := rows.Columns()
	for rows.Next() {
		got := make([]sql.NullString, len(cols))
		into := make([]any, len(cols))
		for i := range got {
			into[i] = &got[i]
		}
		if err := rows.Scan(into...); err != nil {
			m.t.Fatal(err)
		}
		if !got[0].Valid {
			got[0].String = "∅"
		}
		all = append(all, got[0].String)
	}
	if err := rows.Err(); err != nil {
		m.t.Fatalf("%.300s: %v", query, err)
	}
	return all
}

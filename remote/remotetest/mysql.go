package remotetest

import (
	"bytes"
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
	"testing"

	"github.com/go-sql-driver/mysql"
)

// MySQLOptions change the server of StartMySQL or StartMariaDB.
type MySQLOptions struct {
	User     string   // an account that may do everything, from any host; default belay
	Password string   // of that account
	Settings []string // arguments of the server: "--local-infile=OFF", "--log-bin=bin"
	Dir      string   // parent of Dir, such as a small file system; default the system's own
}

// MySQL is a MySQL or MariaDB server of one test's own on 127.0.0.1. What it
// keeps is not synced to the disk: it survives Kill, not a power cut.
// root@localhost has no password, and names are not resolved: who comes by TCP
// is not "localhost".
type MySQL struct {
	Addr     string // 127.0.0.1:port
	Port     int
	Socket   string // path of the socket
	User     string
	Password string
	Dir      string // Dir/data is the data directory, Dir/log what the server says
	Programs string // directory of MySQL's programs for clients; "" for MariaDB, whose are installed

	process
	t       testing.TB
	program string   // that serves
	args    []string // the last of two like ones counts
}

// mysqlArgs are of both flavours.
var mysqlArgs = []string{"--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=2",
	"--innodb-buffer-pool-size=32M", "--key-buffer-size=1M", "--local-infile=ON"}

// StartMySQL starts a server of MySQL itself, that of Newer's BELAY_MYSQL, and
// ends it with the test. As root it runs as nobody. It keeps a binary log, as
// MySQL does unless told not to.
func StartMySQL(t testing.TB, o MySQLOptions) *MySQL {
	t.Helper()
	usr := filepath.Join(Newer(t, "BELAY_MYSQL"), "usr")
	program := filepath.Join(usr, "sbin", "mysqld")
	base := []string{"--basedir=" + usr, "--innodb-redo-log-capacity=8M", "--mysqlx=OFF", "--secure-file-priv=NULL"}
	files := mysqlFresh.get(t, func(dir, data string) *exec.Cmd {
		return exec.Command(program, append([]string{"--no-defaults", "--initialize-insecure", "--datadir=" + data, "--innodb-flush-method=nosync"}, base...)...)
	})
	m := newMySQL(t, o, program, files, append(base, "--sync-binlog=0"))
	m.Programs = filepath.Join(usr, "bin")
	return m
}

// UsePrograms puts MySQL's programs for clients before others in the PATH of
// the test, and of what it starts; it does nothing for MariaDB.
func (m *MySQL) UsePrograms() {
	m.t.Helper()
	if m.Programs == "" {
		return
	}
	dir := m.t.TempDir()
	for _, name := range []string{"mysql", "mysqldump", "mysqlbinlog"} { // not all of them: perl is there, too
		if err := os.Symlink(filepath.Join(m.Programs, name), filepath.Join(dir, name)); err != nil {
			m.t.Fatal(err)
		}
	}
	m.t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// newMySQL starts a server on a copy of a fresh data directory.
func newMySQL(t testing.TB, o MySQLOptions, program string, fresh map[string][]mysqlBlock, args []string) *MySQL {
	t.Helper()
	dir, err := os.MkdirTemp(o.Dir, "belaymy") // t.TempDir is not open to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := FreePort(t)
	m := &MySQL{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Port: port, Dir: dir, t: t, process: process{log: filepath.Join(dir, "log")},
		Socket: filepath.Join(dir, "sock"), User: or(o.User, "belay"), Password: o.Password, program: program,
	}
	m.args = append([]string{"--defaults-file=" + filepath.Join(dir, "my.cnf"), "--datadir=" + m.data(), "--socket=" + m.Socket, "--pid-file=" + filepath.Join(dir, "pid"),
		"--port=" + strconv.Itoa(port), "--tmpdir=" + dir}, mysqlArgs...)
	m.args = append(append(m.args, args...), o.Settings...)
	for name, blocks := range fresh {
		if err := writeBlocks(filepath.Join(m.data(), name), blocks); err != nil {
			t.Fatal(err)
		}
	}
	// Not --no-defaults, with which MySQL forgets what was persisted, too.
	if err := os.WriteFile(filepath.Join(dir, "my.cnf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	giveToNobody(t, dir)
	t.Cleanup(m.Kill)
	m.Start()
	account := mysqlString(m.User) + "@'%'"
	m.Exec("", "CREATE USER "+account+" IDENTIFIED BY "+mysqlString(m.Password))
	m.Exec("", "GRANT ALL ON *.* TO "+account+" WITH GRANT OPTION")
	return m
}

func mysqlString(s string) string {
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

// mysqlBlock is a part of a file that is not all zeros.
type mysqlBlock struct {
	at   int64
	data []byte // of the last one of a file, nothing: it says where the file ends
}

// freshFiles is a new data directory by path, made once a test binary (it takes
// seconds) and kept in memory so that nobody must remove it.
type freshFiles struct {
	sync.Mutex
	files map[string][]mysqlBlock
}

var mysqlFresh, mariadbFresh freshFiles

func (f *freshFiles) get(t testing.TB, install func(dir, data string) *exec.Cmd) map[string][]mysqlBlock {
	t.Helper()
	f.Lock()
	defer f.Unlock()
	if f.files != nil {
		return f.files
	}
	dir, err := os.MkdirTemp("", "belaymy")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	giveToNobody(t, dir)
	data := filepath.Join(dir, "data")
	c := install(dir, data)
	c.Dir = dir
	asNobody(c)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", c.Path, err, out)
	}
	files := map[string][]mysqlBlock{}
	err = filepath.WalkDir(data, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(data, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			files[name] = nil // MySQL does not make those that are missing
			return nil
		}
		if name == "auto.cnf" { // each makes a UUID of its own
			return nil
		}
		files[name], err = readBlocks(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.files = files
	return files
}

func readBlocks(path string) ([]mysqlBlock, error) {
	const size = 16 << 10
	all, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, size)
	var blocks []mysqlBlock
	for at := 0; at < len(all); at += size {
		if b := all[at:min(at+size, len(all))]; !bytes.Equal(b, zeros[:len(b)]) {
			blocks = append(blocks, mysqlBlock{int64(at), bytes.Clone(b)})
		}
	}
	return append(blocks, mysqlBlock{at: int64(len(all))}), nil
}

// writeBlocks makes a file with holes, or without blocks a directory.
func writeBlocks(path string, blocks []mysqlBlock) error {
	if blocks == nil {
		return os.MkdirAll(path, 0o700)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, b := range blocks {
		if _, err := f.WriteAt(b.data, b.at); err != nil {
			return err
		}
	}
	return f.Truncate(blocks[len(blocks)-1].at)
}

func (m *MySQL) data() string { return filepath.Join(m.Dir, "data") }

// Start starts the server, anew after Stop or Kill, and waits until it answers.
func (m *MySQL) Start() {
	m.t.Helper()
	m.start(m.t, exec.Command(m.program, m.args...), m.alive)
}

func (m *MySQL) alive() bool {
	db := m.connect("")
	defer db.Close()
	return db.Ping() == nil
}

// connect goes by the socket as root, whom the server asks for nothing.
func (m *MySQL) connect(database string) *sql.DB {
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
func (m *MySQL) Exec(database, query string, args ...any) {
	m.t.Helper()
	db := m.connect(database)
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		m.t.Fatalf("%.300s: %v", query, err)
	}
}

// Ask returns the first column of every row of a query, as text; NULL is "∅".
func (m *MySQL) Ask(database, query string, args ...any) []string {
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

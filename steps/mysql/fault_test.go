package mysql

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
)

// cutting is a dialer whose connections all break once some bytes went
// through them.
type cutting struct {
	remote.Dialer
	left atomic.Int64
}

func (d *cutting) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.left.Load() <= 0 {
		return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
	}
	c, err := d.Dialer.Dial(ctx, network, addr)
	return &cutConn{c, d}, err
}

type cutConn struct {
	net.Conn
	d *cutting
}

func (c *cutConn) take(n int, err error) (int, error) {
	if c.d.left.Add(int64(-n)) <= 0 {
		c.Close()
		return n, net.ErrClosed
	}
	return n, err
}

func (c *cutConn) Read(p []byte) (int, error)  { return c.take(c.Conn.Read(p)) }
func (c *cutConn) Write(p []byte) (int, error) { return c.take(c.Conn.Write(p)) }

// TestCopyCut: the link breaks at many places, writers go on meanwhile, the
// target is killed; in the end all is there once, as the source has it then.
func TestCopyCut(t *testing.T) {
	a, b := remotetest.StartMariaDB(t, remotetest.MariaDBOptions{}), remotetest.StartMariaDB(t, remotetest.MariaDBOptions{})
	nasty(t, a)
	a.Exec("shop", "CREATE TABLE `big` (`id` int PRIMARY KEY, `t` text); INSERT INTO `big` SELECT `seq`, REPEAT('x', `seq` % 300) FROM seq_1_to_20000")
	a.Exec("", "CREATE USER app@'%' IDENTIFIED BY 'pw'; GRANT SELECT ON shop.* TO app@'%'")
	var kept []byte
	attempts, failed := 0, 0
	for budget := int64(20 << 10); ; budget = budget*3/2 + 1000 {
		if attempts++; attempts > 40 {
			t.Fatal("it never arrives")
		}
		for i, side := range []string{"source", "target"} {
			cut := &cutting{Dialer: remote.Local("x")}
			cut.left.Store(budget)
			from, to := serverOf(a), serverOf(b)
			[]*Server{&from, &to}[i].Host.Dialer = cut
			err := copying(t, from, to, &kept, nil).Run(t.Context())
			if err == nil {
				t.Logf("arrived in attempt %d.%d (%s cut at %d)", attempts, i, side, budget)
				goto arrived
			}
			failed++
		}
		switch attempts {
		case 6:
			b.Kill()
			b.Start()
		case 4, 8:
			a.Exec("shop", "UPDATE many SET at = at + INTERVAL 1 SECOND WHERE id % 1000 = 0; DELETE FROM big WHERE id % 5000 = 1; INSERT INTO `no ``key` VALUES (3, 'new')")
		}
	}
arrived:
	if failed < 5 {
		t.Errorf("the link broke only %d times", failed)
	}
	if d := cmp.Diff(everything(t, a), everything(t, b)); d != "" {
		t.Errorf("source and target (-source +target):\n%s", d)
	}
}

// TestCopyHeld: a long statement at the source makes belay give up the lock
// rather than hold everybody up.
func TestCopyHeld(t *testing.T) {
	a, b := remotetest.StartMariaDB(t, remotetest.MariaDBOptions{}), remotetest.StartMariaDB(t, remotetest.MariaDBOptions{})
	a.Exec("", "CREATE DATABASE shop; CREATE TABLE shop.a (n int PRIMARY KEY); INSERT INTO shop.a VALUES (1)")
	db, err := serverOf(a).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	// MariaDB's FLUSH TABLES WITH READ LOCK waits for a LOCK TABLES … WRITE.
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLES shop.a WRITE"); err != nil {
		t.Fatal(err)
	}
	var kept []byte
	err = copying(t, serverOf(a), serverOf(b), &kept, func(c *Copy) { c.Wait = 1e9 }).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "could not be held for a moment") {
		t.Errorf("held: %v", err)
	}
	if _, err := tx.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO shop.a VALUES (2)"); err != nil {
		t.Errorf("writers after: %v", err)
	}
	if err := copying(t, serverOf(a), serverOf(b), &kept, nil).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

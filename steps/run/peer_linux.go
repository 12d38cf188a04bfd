package run

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// peer is the user and the process at the other end, as the kernel knows them.
func peer(c *net.UnixConn) (uid, pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	var got error
	err = raw.Control(func(fd uintptr) {
		cred, got = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || got != nil {
		return 0, 0, firstErr(err, got)
	}
	return int(cred.Uid), int(cred.Pid), nil
}

// cameBy is the login that a process's session began with, before any sudo: the
// kernel keeps it where pam_loginuid has set it (proc_pid_loginuid(5)). "" where
// it is not known, as in most containers. The process must still be one of uid: its
// number may be another's by now.
func cameBy(pid, uid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/loginuid", pid))
	id := strings.TrimSpace(string(b))
	if err != nil || id == "" || id == "4294967295" || !runsAs(pid, uid) {
		return ""
	}
	u, err := user.LookupId(id)
	if err != nil {
		return ""
	}
	return u.Username
}

// runsAs tells whether a process has uid as its effective user (proc_pid_status(5)).
func runsAs(pid, uid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			f := strings.Fields(ids)
			return len(f) > 1 && f[1] == strconv.Itoa(uid)
		}
	}
	return false
}

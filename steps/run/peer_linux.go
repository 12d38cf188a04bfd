package run

import (
	"fmt"
	"net"
	"os"
	"os/user"
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
// it is not known, as in most containers.
func cameBy(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/loginuid", pid))
	id := strings.TrimSpace(string(b))
	if err != nil || id == "" || id == "4294967295" {
		return ""
	}
	u, err := user.LookupId(id)
	if err != nil {
		return ""
	}
	return u.Username
}

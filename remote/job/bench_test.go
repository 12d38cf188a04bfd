package job

import (
	"fmt"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
)

// What a job costs more than a plain command, here and over OpenSSH.
func BenchmarkTrue(b *testing.B) {
	for _, kind := range []string{"dash", "bash", "busybox"} {
		for _, how := range []string{"local", "ssh"} {
			m := newMachine(b, kind)
			if how == "ssh" {
				server := remotetest.StartSSHD(b, remotetest.SSHDOptions{Extra: []string{"SetEnv HOME=" + m.home}})
				m.over = newLine(b, server)
				if err := m.Run(b.Context(), remote.Sh("true")); err != nil { // connects
					b.Fatal(err)
				}
			}
			b.Run(how+"/"+kind+"/plain", func(b *testing.B) {
				for b.Loop() {
					if err := m.Run(b.Context(), remote.Sh("true")); err != nil {
						b.Fatal(err)
					}
				}
			})
			n := 0
			b.Run(how+"/"+kind+"/job", func(b *testing.B) {
				for b.Loop() {
					n++
					if _, err := Run(b.Context(), m, Spec{ID: fmt.Sprint("b", n), Script: "true"}, Options{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// Bytes on the wire, both ways, for starting a job and following it in
// silence; the difference of the two divided by the time is what silence costs.
func BenchmarkQuietJobOnTheWire(b *testing.B) {
	m := newMachine(b, "dash")
	server := remotetest.StartSSHD(b, remotetest.SSHDOptions{Extra: []string{"SetEnv HOME=" + m.home}})
	l := newLine(b, server)
	m.over = l
	if err := m.Run(b.Context(), remote.Sh("true")); err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, seconds := range []int{0, 20} {
		b.Run(fmt.Sprintf("%ds", seconds), func(b *testing.B) {
			in, out := l.sent.in, l.sent.out
			for b.Loop() {
				n++
				if _, err := Run(b.Context(), m, Spec{ID: fmt.Sprint("q", n), Script: fmt.Sprint("sleep ", seconds)}, Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(l.sent.in-in)/float64(b.N), "B-in/op")
			b.ReportMetric(float64(l.sent.out-out)/float64(b.N), "B-out/op")
		})
	}
}

package postgres

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// pieces reads as a slow line does: a few bytes at a time, or many.
type pieces struct {
	r    io.Reader
	rand *rand.Rand
}

func (p pieces) Read(b []byte) (int, error) {
	return p.r.Read(b[:min(len(b), 1+p.rand.IntN(1<<p.rand.IntN(19)))])
}

func message(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...)
}

// messages takes a stream apart; rows are joined.
func messages(t *testing.T, all []byte) (rows []byte, others []string, count int) {
	t.Helper()
	for len(all) > 0 {
		size := 1 + int(binary.BigEndian.Uint32(all[1:]))
		if all[0] == 'd' {
			rows = append(rows, all[5:size]...)
			count++
		} else {
			others = append(others, string(all[:size]))
		}
		all = all[size:]
	}
	return rows, others, count
}

// TestMerger: whatever comes in whatever pieces, rows stay what they are and
// in their order, and all else is not touched.
func TestMerger(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		var in []byte
		n := int64(0)
		for range 100 {
			switch body := make([]byte, r.IntN(1<<r.IntN(19))); r.IntN(20) {
			case 0:
				in = append(in, message("TNCES"[r.IntN(5)], body[:min(len(body), 5000)])...)
			default:
				for i := range body {
					body[i] = byte(r.Uint32())
				}
				in, n = append(in, message('d', body)...), n+1
				for range r.IntN(200) {
					in, n = append(in, message('d', []byte("row"))...), n+1
				}
			}
		}
		m := newMerger(pieces{bytes.NewReader(in), r})
		out, err := io.ReadAll(pieces{m, r})
		if err != nil {
			t.Fatal(err)
		}
		rows, others, before := messages(t, in)
		gotRows, gotOthers, after := messages(t, out)
		if !bytes.Equal(rows, gotRows) || len(others) != len(gotOthers) {
			t.Fatalf("seed %d: %d bytes of rows became %d; %d other messages %d", seed, len(rows), len(gotRows), len(others), len(gotOthers))
		}
		for i := range others {
			if others[i] != gotOthers[i] {
				t.Fatalf("seed %d: message %d is not what it was", seed, i)
			}
		}
		if m.rows.Load() != n || after > before {
			t.Errorf("seed %d: %d rows of %d, %d messages of %d", seed, m.rows.Load(), n, after, before)
		}
	}
}

// FuzzMerger: what is no stream of messages passes, or ends; it breaks nothing.
func FuzzMerger(f *testing.F) {
	f.Add([]byte("d\x00\x00\x00\x00d\x00\x00\x00\x01"))
	f.Add(append(message('d', []byte("a")), 'd', 0xff, 0xff, 0xff, 0xff, 1))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := io.ReadAll(newMerger(iotest.OneByteReader(bytes.NewReader(in))))
		if err != nil || len(out) > len(in) {
			t.Errorf("%d bytes of %d, %v", len(out), len(in), err)
		}
	})
}

package files

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Print is a fingerprint of a tree by names, sizes and times of what is in its
// directories: unequal when somebody wrote there since.
func (t *Tree) Print() (string, error) {
	var sum [2]uint64
	err := t.Each(func(e Entry) error {
		text := e.Path + "\x00" + e.Words()
		if e.Type != 'd' {
			text += fmt.Sprintf("\x00%d", e.Sec)
		}
		add128(&sum, text)
		return nil
	})
	return hex128(sum), err
}

// add128 adds the first half of a text's SHA-256 to a sum.
func add128(sum *[2]uint64, text string) {
	h := sha256.Sum256([]byte(text))
	var carry uint64
	sum[0], carry = bits.Add64(sum[0], binary.BigEndian.Uint64(h[8:]), 0)
	sum[1], _ = bits.Add64(sum[1], binary.BigEndian.Uint64(h[:]), carry)
}

func hex128(sum [2]uint64) string {
	b := binary.BigEndian.AppendUint64(nil, sum[1])
	return hex.EncodeToString(binary.BigEndian.AppendUint64(b, sum[0]))
}

package secret

// machine finds all forms at once in a stream (Aho and Corasick, 1975): its
// state is the longest beginning of any form that the text so far ends with.
type machine struct {
	nodes []node
	root  [256]int32 // next state from the start
}

// node is a beginning of one or more forms. Children are a linked list: almost
// every node has one.
type node struct {
	child, sibling int32 // 0: none
	fail           int32 // the longest proper ending of this one that is a beginning too
	depth          int32 // its length
	found          int32 // length of the longest form that ends here; 0: none
	c              byte
}

func newMachine(forms map[string]bool) *machine {
	m := &machine{nodes: make([]node, 1)}
	for f := range forms {
		at := int32(0)
		for i := range len(f) {
			at = m.add(at, f[i])
		}
		m.nodes[at].found = int32(len(f))
	}
	m.link()
	return m
}

func (m *machine) add(at int32, c byte) int32 {
	if to := m.follow(at, c); to != 0 {
		return to
	}
	to := int32(len(m.nodes))
	m.nodes = append(m.nodes, node{sibling: m.nodes[at].child, depth: m.nodes[at].depth + 1, c: c})
	m.nodes[at].child = to
	if at == 0 {
		m.root[c] = to
	}
	return to
}

func (m *machine) follow(at int32, c byte) int32 {
	if at == 0 {
		return m.root[c]
	}
	for to := m.nodes[at].child; to != 0; to = m.nodes[to].sibling {
		if m.nodes[to].c == c {
			return to
		}
	}
	return 0
}

// link sets fail and found, shortest beginnings first.
func (m *machine) link() {
	queue := make([]int32, 1, len(m.nodes))
	for i := 0; i < len(queue); i++ {
		at := queue[i]
		for to := m.nodes[at].child; to != 0; to = m.nodes[to].sibling {
			queue = append(queue, to)
			if at != 0 {
				m.nodes[to].fail = m.next(m.nodes[at].fail, m.nodes[to].c)
			}
			if m.nodes[to].found == 0 {
				m.nodes[to].found = m.nodes[m.nodes[to].fail].found
			}
		}
	}
}

func (m *machine) next(at int32, c byte) int32 {
	for {
		if to := m.follow(at, c); to != 0 || at == 0 {
			return to
		}
		at = m.nodes[at].fail
	}
}

// skip returns how many bytes at the start of p cannot begin any form.
func (m *machine) skip(p []byte) int {
	for i, c := range p {
		if m.root[c] != 0 {
			return i
		}
	}
	return len(p)
}

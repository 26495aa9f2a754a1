package load

import "sync"

// maxIdle bounds the kept-alive connections that wait for a request. Beyond it the connection is closed after its answer.
const maxIdle = 512

// pool keeps idle connections, last in first out, as clients do.
type pool struct {
	limit int
	mu    sync.Mutex
	n     int
	idle  map[target][]*conn
}

func newPool(limit int) *pool { return &pool{limit: limit, idle: map[target][]*conn{}} }

// get returns nil where none is idle.
func (p *pool) get(to target) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle[to]
	if len(idle) == 0 {
		return nil
	}
	c := idle[len(idle)-1]
	p.idle[to] = idle[:len(idle)-1]
	p.n--
	return c
}

// put reports whether there was room; where there was none, the connection stays the caller's.
func (p *pool) put(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n >= p.limit {
		return false
	}
	p.idle[c.to] = append(p.idle[c.to], c)
	p.n++
	return true
}

// has says whether one is idle.
func (p *pool) has(to target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle[to]) > 0
}

func (p *pool) drain() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*conn
	for _, idle := range p.idle {
		all = append(all, idle...)
	}
	p.idle, p.n = map[target][]*conn{}, 0
	return all
}

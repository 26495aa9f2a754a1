package report

import (
	"cmp"
	"slices"
	"sort"
)

// fate is what a request says about whether things have settled.
type fate uint8

const (
	missing fate = iota // there is no such request
	fast
	slow
	bad
)

// fates are those of many requests, by their sequence numbers, a quarter of a byte each: a file has its requests in about the
// order in which they ended, and things settle in the order in which they were due. Should several requests have one number,
// which no bench writes, the worst counts.
type fates struct {
	pages  map[uint64]*page // by their number: the first sequence number divided by pageLen
	sorted []numbered       // the same, in order
}

// pageLen is how many fates there are in a page. Lost requests leave holes, and damaged files have numbers far apart.
const pageLen = 1024

type page [pageLen / 4]byte

type numbered struct {
	n uint64
	*page
}

func (p *page) at(i int) fate { return fate(p[i/4] >> (i % 4 * 2) & 3) }

func (p *page) set(i int, f fate) {
	if f > p.at(i) {
		p[i/4] = p[i/4]&^(3<<(i%4*2)) | byte(f)<<(i%4*2)
	}
}

func newFates() *fates { return &fates{pages: map[uint64]*page{}} }

func (f *fates) set(seq uint64, to fate) {
	p := f.pages[seq/pageLen]
	if p == nil {
		p = &page{}
		f.pages[seq/pageLen] = p
	}
	p.set(int(seq%pageLen), to)
}

// sort ends the setting.
func (f *fates) sort() {
	for n, p := range f.pages {
		f.sorted = append(f.sorted, numbered{n, p})
	}
	slices.SortFunc(f.sorted, func(a, b numbered) int { return cmp.Compare(a.n, b.n) })
}

// cursor is at a request, or past the last.
type cursor struct {
	*fates
	page int // position in sorted
	i    int // in the page
}

// from is at the first request of a sequence number or a greater one.
func (f *fates) from(seq uint64) cursor {
	n := seq / pageLen
	c := cursor{fates: f, page: sort.Search(len(f.sorted), func(i int) bool { return f.sorted[i].n >= n })}
	if c.valid() && f.sorted[c.page].n == n {
		c.i = int(seq % pageLen)
	}
	c.seek()
	return c
}

func (c *cursor) valid() bool { return c.page < len(c.sorted) }

func (c *cursor) seq() uint64 { return c.sorted[c.page].n*pageLen + uint64(c.i) }

func (c *cursor) fate() fate { return c.sorted[c.page].at(c.i) }

// seek goes on to a request, if there is none here.
func (c *cursor) seek() {
	for ; c.valid(); c.page, c.i = c.page+1, 0 {
		for p := c.sorted[c.page]; c.i < pageLen; c.i++ {
			if p.at(c.i) != missing {
				return
			}
		}
	}
}

func (c *cursor) next() {
	if c.valid() {
		c.i++
		c.seek()
	}
}

// back goes to the request before, if there is one.
func (c *cursor) back() bool {
	for {
		if c.i--; c.i < 0 {
			if c.page--; c.page < 0 {
				return false
			}
			c.i = pageLen - 1
		}
		if c.fate() != missing {
			return true
		}
	}
}

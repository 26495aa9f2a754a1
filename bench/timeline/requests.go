package timeline

import (
	"fmt"
	"slices"
	"time"
)

// Request is one request as its client lived it. All moments are on the run's clock.
type Request struct {
	Seq         uint64        // number in the schedule, from 0; its due time is Load.Due(Seq)
	Sent        time.Duration // when a worker took it up
	Done        time.Duration // last byte of the answer, or the failure
	Connect     time.Duration // time its connect took, handshakes included; 0 on a reused connection
	Bytes       int64         // of the answer's body
	Status      int           // HTTP status, 0 without a complete header
	Retransmits int           // SYN retransmits of its connect (TCP_INFO); 0 on a reused connection
	Outcome     Outcome
	Reused      bool // sent on a kept-alive connection that had served a request before
	Hidden      bool // a client that retries idempotent requests silently would have hidden this drop
}

// Requests holds many requests in columns, which makes a line of the file short and quick to read.
//
// Sequence numbers and send times are written as differences to the request before; a column that would hold one
// value N times holds it once, and one of zeros is left out. Outcome lists the positions of the requests that are not ok.
type Requests struct {
	N           int                 `json:"n"`
	Seq         []int64             `json:"seq,omitempty"`  // difference to the one before
	Sent        []int64             `json:"sent,omitempty"` // ns, difference to the one before
	Took        []int64             `json:"took,omitempty"` // ns from sent to done
	Connect     []int64             `json:"connect,omitempty"`
	Bytes       []int64             `json:"bytes,omitempty"`
	Status      []int64             `json:"status,omitempty"`
	Retransmits []int64             `json:"retransmits,omitempty"`
	Reused      []int64             `json:"reused,omitempty"`  // 1 or 0
	Outcome     map[Outcome][]int64 `json:"outcome,omitempty"` // positions, from 0
	Hidden      []int64             `json:"hidden,omitempty"`  // positions
}

// column is one of the columns that hold a number for every request.
type column struct {
	name   string // in JSON
	values *[]int64
}

// columns are in the order in which encoding/json writes them.
func (p *Requests) columns() [8]column {
	return [...]column{{"seq", &p.Seq}, {"sent", &p.Sent}, {"took", &p.Took}, {"connect", &p.Connect}, {"bytes", &p.Bytes},
		{"status", &p.Status}, {"retransmits", &p.Retransmits}, {"reused", &p.Reused}}
}

// Pack puts requests into columns.
func Pack(requests []Request) *Requests {
	p := &Requests{}
	p.pack(requests)
	return p
}

// pack puts requests into columns in place of those that were there, and uses their memory again.
func (p *Requests) pack(requests []Request) {
	p.reset()
	p.N = len(requests)
	var seq, sent int64
	for i := range requests {
		r := &requests[i]
		p.Seq = append(p.Seq, int64(r.Seq)-seq)
		p.Sent = append(p.Sent, int64(r.Sent)-sent)
		p.Took = append(p.Took, int64(r.Done-r.Sent))
		p.Connect = append(p.Connect, int64(r.Connect))
		p.Bytes = append(p.Bytes, r.Bytes)
		p.Status = append(p.Status, int64(r.Status))
		p.Retransmits = append(p.Retransmits, int64(r.Retransmits))
		p.Reused = append(p.Reused, btoi(r.Reused))
		seq, sent = int64(r.Seq), int64(r.Sent)
		if r.Outcome != OK {
			if p.Outcome == nil {
				p.Outcome = map[Outcome][]int64{}
			}
			p.Outcome[r.Outcome] = append(p.Outcome[r.Outcome], int64(i))
		}
		if r.Hidden {
			p.Hidden = append(p.Hidden, int64(i))
		}
	}
	for _, c := range p.columns() {
		*c.values = shorten(*c.values)
	}
}

// reset empties p and keeps its memory.
func (p *Requests) reset() {
	p.N, p.Hidden = 0, p.Hidden[:0]
	for _, c := range p.columns() {
		*c.values = (*c.values)[:0]
	}
	clear(p.Outcome)
}

// Unpack appends the requests of the columns to dst.
func (p *Requests) Unpack(dst []Request) ([]Request, error) {
	if err := p.check(); err != nil {
		return dst, err
	}
	base := len(dst)
	dst = slices.Grow(dst, p.N)[:base+p.N]
	rows := dst[base:]
	var seq, sent int64
	for i := range rows {
		seq += at(p.Seq, i)
		sent += at(p.Sent, i)
		rows[i] = Request{
			Seq:         uint64(seq),
			Sent:        time.Duration(sent),
			Done:        time.Duration(sent + at(p.Took, i)),
			Connect:     time.Duration(at(p.Connect, i)),
			Bytes:       at(p.Bytes, i),
			Status:      int(at(p.Status, i)),
			Retransmits: int(at(p.Retransmits, i)),
			Reused:      at(p.Reused, i) != 0,
		}
	}
	for outcome, positions := range p.Outcome {
		for _, i := range positions {
			rows[i].Outcome = outcome
		}
	}
	for _, i := range p.Hidden {
		rows[i].Hidden = true
	}
	return dst, nil
}

// maxPacked bounds what a damaged file can make a reader allocate for one line.
const maxPacked = 1 << 20

func (p *Requests) check() error {
	if p.N < 0 || p.N > maxPacked {
		return fmt.Errorf("requests: n is %d, must be 0 to %d", p.N, maxPacked)
	}
	for _, c := range p.columns() {
		if n := len(*c.values); n > 1 && n != p.N {
			return fmt.Errorf("requests: column %s has %d values for %d requests", c.name, n, p.N)
		}
	}
	if err := p.checkPositions(p.Hidden); err != nil {
		return err
	}
	for _, positions := range p.Outcome {
		if err := p.checkPositions(positions); err != nil {
			return err
		}
	}
	return nil
}

func (p *Requests) checkPositions(positions []int64) error {
	for _, i := range positions {
		if i < 0 || i >= int64(p.N) {
			return fmt.Errorf("requests: position %d is outside 0 to %d", i, p.N-1)
		}
	}
	return nil
}

// shorten leaves of a column what must be written: one value where all are the same, and none where all are 0.
func shorten(column []int64) []int64 {
	for _, v := range column {
		if v != column[0] {
			return column
		}
	}
	if len(column) == 0 || column[0] == 0 {
		return column[:0]
	}
	return column[:1]
}

func at(column []int64, i int) int64 {
	switch len(column) {
	case 0:
		return 0
	case 1:
		return column[0]
	}
	return column[i]
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

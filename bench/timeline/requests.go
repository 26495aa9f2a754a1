package timeline

import (
	"fmt"
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
	N           int               `json:"n"`
	Seq         []int64           `json:"seq,omitempty"`  // difference to the one before
	Sent        []int64           `json:"sent,omitempty"` // ns, difference to the one before
	Took        []int64           `json:"took,omitempty"` // ns from sent to done
	Connect     []int64           `json:"connect,omitempty"`
	Bytes       []int64           `json:"bytes,omitempty"`
	Status      []int64           `json:"status,omitempty"`
	Retransmits []int64           `json:"retransmits,omitempty"`
	Reused      []int64           `json:"reused,omitempty"` // 1 or 0
	Outcome     map[Outcome][]int `json:"outcome,omitempty"`
	Hidden      []int             `json:"hidden,omitempty"` // positions

	rows []Request // set instead of the columns on the way to the writer
}

// Pack puts requests into columns.
func Pack(requests []Request) *Requests {
	p := &Requests{N: len(requests)}
	var seq, sent int64
	column := func(value func(*Request) int64) []int64 { return pack(requests, value) }
	p.Seq = column(func(r *Request) int64 { d := int64(r.Seq) - seq; seq = int64(r.Seq); return d })
	p.Sent = column(func(r *Request) int64 { d := int64(r.Sent) - sent; sent = int64(r.Sent); return d })
	p.Took = column(func(r *Request) int64 { return int64(r.Done - r.Sent) })
	p.Connect = column(func(r *Request) int64 { return int64(r.Connect) })
	p.Bytes = column(func(r *Request) int64 { return r.Bytes })
	p.Status = column(func(r *Request) int64 { return int64(r.Status) })
	p.Retransmits = column(func(r *Request) int64 { return int64(r.Retransmits) })
	p.Reused = column(func(r *Request) int64 { return btoi(r.Reused) })
	for i := range requests {
		r := &requests[i]
		if r.Outcome != OK {
			if p.Outcome == nil {
				p.Outcome = map[Outcome][]int{}
			}
			p.Outcome[r.Outcome] = append(p.Outcome[r.Outcome], i)
		}
		if r.Hidden {
			p.Hidden = append(p.Hidden, i)
		}
	}
	return p
}

// Unpack appends the requests of the columns to dst.
func (p *Requests) Unpack(dst []Request) ([]Request, error) {
	if err := p.check(); err != nil {
		return dst, err
	}
	base := len(dst)
	var seq, sent int64
	for i := range p.N {
		seq += at(p.Seq, i)
		sent += at(p.Sent, i)
		dst = append(dst, Request{
			Seq:         uint64(seq),
			Sent:        time.Duration(sent),
			Done:        time.Duration(sent + at(p.Took, i)),
			Connect:     time.Duration(at(p.Connect, i)),
			Bytes:       at(p.Bytes, i),
			Status:      int(at(p.Status, i)),
			Retransmits: int(at(p.Retransmits, i)),
			Reused:      at(p.Reused, i) != 0,
		})
	}
	for outcome, positions := range p.Outcome {
		for _, i := range positions {
			dst[base+i].Outcome = outcome
		}
	}
	for _, i := range p.Hidden {
		dst[base+i].Hidden = true
	}
	return dst, nil
}

// maxPacked bounds what a damaged file can make a reader allocate for one line.
const maxPacked = 1 << 20

func (p *Requests) check() error {
	if p.N < 0 || p.N > maxPacked {
		return fmt.Errorf("requests: n is %d, must be 0 to %d", p.N, maxPacked)
	}
	columns := map[string][]int64{"seq": p.Seq, "sent": p.Sent, "took": p.Took, "connect": p.Connect, "bytes": p.Bytes,
		"status": p.Status, "retransmits": p.Retransmits, "reused": p.Reused}
	for name, c := range columns {
		if len(c) > 1 && len(c) != p.N {
			return fmt.Errorf("requests: column %s has %d values for %d requests", name, len(c), p.N)
		}
	}
	positions := append([]int(nil), p.Hidden...)
	for _, is := range p.Outcome {
		positions = append(positions, is...)
	}
	for _, i := range positions {
		if i < 0 || i >= p.N {
			return fmt.Errorf("requests: position %d is outside 0 to %d", i, p.N-1)
		}
	}
	return nil
}

func pack(requests []Request, value func(*Request) int64) []int64 {
	if len(requests) == 0 {
		return nil
	}
	column := make([]int64, len(requests))
	same := true
	for i := range requests {
		column[i] = value(&requests[i])
		same = same && column[i] == column[0]
	}
	if !same {
		return column
	}
	if column[0] == 0 {
		return nil
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

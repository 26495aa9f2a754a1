package timeline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// lineWriter writes the lines of a run file. After an error it writes no more.
type lineWriter struct {
	rows []Request // of the line to come

	z       *zstd.Encoder
	line    bytes.Buffer
	encoder *json.Encoder // to line
	columns Requests      // used again and again
	unsent  bool          // something was written since the last flush
	err     error         // the first
}

// newLineWriter compresses in the quickest way: the better ones find matches among digits, which take longer to tell than the
// digits themselves.
func newLineWriter(w io.Writer) (*lineWriter, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	f := &lineWriter{rows: make([]Request, 0, chunkLen), z: z}
	f.encoder = json.NewEncoder(&f.line)
	f.encoder.SetEscapeHTML(false)
	return f, nil
}

// window is how far back zstd looks for what it has seen: no more than a line, since lines have only numbers in common by chance.
const window = 1 << 18

func (f *lineWriter) event(e Event) {
	f.line.Reset()
	if err := f.encoder.Encode(e); err != nil {
		f.err = cmp.Or(f.err, err)
		return
	}
	f.write()
}

// requests writes the rows and empties them. In the order of their numbers they take less room than in the order in which they ended.
func (f *lineWriter) requests() {
	if len(f.rows) == 0 || f.err != nil {
		f.rows = f.rows[:0]
		return
	}
	slices.SortFunc(f.rows, func(a, b Request) int { return cmp.Compare(a.Seq, b.Seq) })
	f.columns.pack(f.rows)
	f.rows = f.rows[:0]
	f.line.Reset()
	f.line.Write(f.columns.appendLine(f.line.AvailableBuffer()))
	f.write()
}

func (f *lineWriter) write() {
	if f.err == nil {
		f.unsent = true
		_, f.err = f.z.Write(f.line.Bytes())
	}
}

// flush sends on all that there is, so that a reader finds whole lines.
func (f *lineWriter) flush() {
	f.requests()
	if f.err == nil && f.unsent {
		f.unsent = false
		f.err = f.z.Flush()
	}
}

func (f *lineWriter) close() {
	if err := f.z.Close(); f.err == nil {
		f.err = err
	}
}

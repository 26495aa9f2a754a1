package timeline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// ErrNotRunFile says that what was read is no run file.
var ErrNotRunFile = errors.New("not a restartbench run file")

// ErrTruncated ends the events of a run file that has no End: the run was killed, or the file was cut.
var ErrTruncated = errors.New("the run file is truncated: its run did not end in an orderly way")

// NewerError says that a run file was written in a later version of the format.
type NewerError struct{ Version int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("written by a newer restartbench (format %d, this one reads up to %d): report it with that one", e.Version, Version)
}

// Reader reads a run file, as often as is wanted.
type Reader struct {
	Header Header

	from   io.Reader
	start  int64 // of the file in from
	rewind error // why it cannot be read again, or nil

	z     *zstd.Decoder
	lines *bufio.Reader
	line  int    // how many were read
	long  []byte // a line that is longer than the buffer of lines
	skip  Skip
	end   bool     // the End was read
	rows  Requests // of the latest event

	last  int   // lines of a whole reading; 0: there was none yet
	ended error // what came after them
}

// Skip says which events to leave out of a reading. They are not decoded, which is what most of the time goes into.
type Skip uint8

// What can be left out: the events of which there are many.
const (
	SkipRequests Skip = 1 << iota
	SkipLogs
)

// NewReader reads the header. Its error is ErrNotRunFile, a *NewerError, or of r.
func NewReader(r io.Reader) (*Reader, error) {
	rd := &Reader{from: r}
	rd.start, rd.rewind = offset(r)
	var err error
	rd.z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunFile, err)
	}
	rd.lines = bufio.NewReaderSize(rd.z, 1<<17)
	if err := rd.readHeader(); err != nil {
		rd.z.Close()
		return nil, err
	}
	return rd, nil
}

func offset(r io.Reader) (int64, error) {
	s, ok := r.(io.Seeker)
	if !ok {
		return 0, errors.New("it is no file")
	}
	return s.Seek(0, io.SeekCurrent)
}

func (r *Reader) readHeader() error {
	line, err := r.next()
	if errors.Is(err, ErrTruncated) {
		return fmt.Errorf("%w: it has no header", ErrNotRunFile)
	}
	if err != nil {
		return err
	}
	// The version alone first: in a newer format nothing else can be relied on.
	var v struct {
		Header *struct {
			Format  string `json:"format"`
			Version int    `json:"version"`
		} `json:"header"`
	}
	if err := json.Unmarshal(line, &v); err != nil || v.Header == nil || v.Header.Format != Format {
		return fmt.Errorf("%w: it does not begin with a run file's header", ErrNotRunFile)
	}
	if v.Header.Version > Version {
		return &NewerError{v.Header.Version}
	}
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRunFile, err)
	}
	r.Header = *e.Header
	return nil
}

// Rewind begins again with the first event, and leaves out what skip names. The run file must be read from an io.Seeker that
// can seek, such as a regular file. Each reading ends where the first whole one did, should the file be growing.
func (r *Reader) Rewind(skip Skip) error {
	if r.rewind != nil {
		return fmt.Errorf("reading the run file a second time: %w", r.rewind)
	}
	if _, err := r.from.(io.Seeker).Seek(r.start, io.SeekStart); err != nil {
		return fmt.Errorf("reading the run file a second time: %w", err)
	}
	if err := r.z.Reset(r.from); err != nil {
		return fmt.Errorf("reading the run file a second time: %w", err)
	}
	r.lines.Reset(r.z)
	r.line, r.skip, r.end = 0, skip, false
	_, err := r.next()
	return err
}

// Next returns the next event. After the End it returns io.EOF, and ErrTruncated where the file stops without one.
// Any other error means that the file is damaged, and names the line.
//
// The Requests of an event are good until the next call; all else in it may be kept.
func (r *Reader) Next() (*Event, error) {
	if r.end {
		return nil, io.EOF
	}
	for {
		line, err := r.next()
		if err != nil {
			return nil, err
		}
		requests, log := bytes.HasPrefix(line, []byte(requestsPrefix)), bytes.HasPrefix(line, []byte(logPrefix))
		if requests && r.skip&SkipRequests != 0 || log && r.skip&SkipLogs != 0 {
			continue
		}
		e := &Event{}
		if requests && r.rows.parseLine(line) {
			e.Requests = &r.rows
		} else if err := json.Unmarshal(line, e); err != nil {
			return nil, fmt.Errorf("the run file is damaged at line %d: %w", r.line, err)
		}
		if e.Requests != nil && r.skip&SkipRequests != 0 || e.Log != nil && r.skip&SkipLogs != 0 {
			continue // written by another program, with spaces
		}
		r.end = e.End != nil
		return e, nil
	}
}

// Close frees the decoder.
func (r *Reader) Close() { r.z.Close() }

// next returns a whole line, which is good until the next call. Whatever ends the stream before one is a truncation, except a
// damaged stream.
func (r *Reader) next() ([]byte, error) {
	if r.last > 0 && r.line == r.last {
		return nil, r.ended
	}
	line, err := r.readLine()
	switch {
	case err == nil:
		r.line++
		return bytes.TrimSuffix(line, []byte("\n")), nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = ErrTruncated
	case r.line == 0:
		return nil, fmt.Errorf("%w: %w", ErrNotRunFile, err)
	default:
		err = fmt.Errorf("the run file is damaged after line %d: %w", r.line, err)
	}
	r.last, r.ended = r.line, err
	return nil, err
}

// readLine is bufio's ReadBytes, but for the allocation.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.lines.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	r.long = r.long[:0]
	for errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long, line...)
		line, err = r.lines.ReadSlice('\n')
	}
	r.long = append(r.long, line...)
	return r.long, err
}

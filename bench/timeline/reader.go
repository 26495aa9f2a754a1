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

// Reader reads a run file.
type Reader struct {
	Header Header

	z     *zstd.Decoder
	lines *bufio.Reader
	line  int
	end   bool
}

// NewReader reads the header. Its error is ErrNotRunFile, a *NewerError, or of r.
func NewReader(r io.Reader) (*Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunFile, err)
	}
	rd := &Reader{z: z, lines: bufio.NewReaderSize(z, 1<<16)}
	if err := rd.readHeader(); err != nil {
		z.Close()
		return nil, err
	}
	return rd, nil
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

// Next returns the next event. After the End it returns io.EOF, and ErrTruncated where the file stops without one.
// Any other error means that the file is damaged, and names the line.
func (r *Reader) Next() (*Event, error) {
	if r.end {
		return nil, io.EOF
	}
	line, err := r.next()
	if err != nil {
		return nil, err
	}
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("the run file is damaged at line %d: %w", r.line, err)
	}
	r.end = e.End != nil
	return &e, nil
}

// Close frees the decoder.
func (r *Reader) Close() { r.z.Close() }

// next returns a whole line. Whatever ends the stream before one is a truncation, except a damaged stream.
func (r *Reader) next() ([]byte, error) {
	line, err := r.lines.ReadBytes('\n')
	switch {
	case err == nil:
		r.line++
		return bytes.TrimSuffix(line, []byte("\n")), nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, ErrTruncated
	case r.line == 0:
		return nil, fmt.Errorf("%w: %w", ErrNotRunFile, err)
	}
	return nil, fmt.Errorf("the run file is damaged after line %d: %w", r.line, err)
}

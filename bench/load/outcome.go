package load

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"syscall"

	"github.com/restartbench/restartbench/bench/timeline"
)

// The error's type says how a request ended; its text is never looked at. The order of the questions matters: EAGAIN,
// for one, also counts as a timeout to package net.

// connectOutcome is for an error of dial.
func connectOutcome(err error) timeline.Outcome {
	switch {
	case isClientLimit(err):
		return timeline.ClientLimit
	case errors.Is(err, syscall.EAGAIN):
		return timeline.BacklogFull
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return timeline.Refused
	case isReset(err):
		return timeline.Reset
	case isTimeout(err):
		return timeline.ConnectTimeout
	}
	return timeline.ConnectError
}

// handshakeOutcome is for an error of a TLS handshake. What the transport below did to it keeps its own name.
func handshakeOutcome(err error) timeline.Outcome {
	switch {
	case isReset(err):
		return timeline.Reset
	case isEnd(err):
		return timeline.EOF
	case isTimeout(err):
		return timeline.ResponseTimeout
	}
	return timeline.TLS
}

// headerOutcome is for an error before a complete header, with received bytes of one.
func headerOutcome(err error, received int64) timeline.Outcome {
	switch {
	case isClientLimit(err):
		return timeline.ClientLimit
	case isReset(err):
		return timeline.Reset
	case isTimeout(err):
		return timeline.ResponseTimeout
	case isTLS(err):
		return timeline.TLS
	case isEnd(err) && received == 0:
		return timeline.EOF
	case isEnd(err):
		return timeline.Truncated
	case isMalformed(err) || received > 0:
		return timeline.Malformed
	}
	return timeline.Other
}

// bodyOutcome is for an error after a complete header. Where the connection failed, its own failure says more than what
// package http makes of it: that a trailer was cut off is an untyped error there.
func bodyOutcome(err, failure error) timeline.Outcome {
	switch {
	case isTimeout(err), isTimeout(failure):
		return timeline.ResponseTimeout
	case failure != nil, isEnd(err):
		return timeline.Truncated
	}
	return timeline.Malformed
}

func isClientLimit(err error) bool {
	for _, limit := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS} {
		if errors.Is(err, limit) {
			return true
		}
	}
	return false
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// isTLS is for what a server says only after the handshake, such as that it wants a client's certificate (RFC 8446,
// section 4.4.2.4). crypto/tls has no exported type for an alert on a connection; it marks it by the OpError's Op.
func isTLS(err error) bool {
	var op *net.OpError
	var record tls.RecordHeaderError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") || errors.As(err, &record)
}

func isMalformed(err error) bool {
	var protocol textproto.ProtocolError
	return errors.As(err, &protocol) || errors.Is(err, errHeaderTooLong)
}

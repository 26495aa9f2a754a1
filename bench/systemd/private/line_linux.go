package private

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// report is one packet to this program from the guard or from process 1.
type report struct {
	PID     int    `json:",omitempty"` // from the guard: process 1 has begun
	Failure string `json:",omitempty"` // why it ended
	Missing string `json:",omitempty"` // with Failure: what of UnsupportedError it is
	Left    bool   `json:",omitempty"` // with Failure: what could not be removed
	File    string `json:",omitempty"` // from process 1: which file comes with it
}

// The files that process 1 sends.
const (
	consoleFile = "console" // two: the other side of systemd's console, and the terminal that it is
	notifyFile  = "notify"  // the socket that systemd's READY=1 comes to
)

// send sends a report, and the files with it. An error means that this program has gone: then nobody is there to be told.
func send(r report, files ...int) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	return os.NewSyscallError("sendmsg", unix.Sendmsg(lineFD, text, rights, nil, unix.MSG_NOSIGNAL))
}

// sendFailure sends an error, with what it says about the machine. Several errors in one become several reports.
func sendFailure(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			sendFailure(err)
		}
		return
	}
	r := report{Failure: trimmed(err.Error())}
	var lack *UnsupportedError
	var left *leftError
	if errors.As(err, &lack) {
		r.Missing = lack.Missing
		r.Failure = trimmed(fmt.Sprint(lack.Err))
	}
	r.Left = errors.As(err, &left)
	send(r)
}

// receive takes one report, and the files that came with it.
func receive(line *net.UnixConn) (report, []*os.File, error) {
	text, rights := make([]byte, 16*1024), make([]byte, unix.CmsgSpace(2*4))
	n, oobn, _, _, err := line.ReadMsgUnix(text, rights)
	if err != nil {
		return report{}, nil, err
	}
	if n == 0 {
		return report{}, nil, errors.New("the guard has ended")
	}
	var r report
	if err := json.Unmarshal(text[:n], &r); err != nil {
		return report{}, nil, err
	}
	files, err := received(rights[:oobn])
	return r, files, err
}

// received are the files in a control message (unix(7), SCM_RIGHTS). Go has asked the kernel to close them at execve.
func received(rights []byte) ([]*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, fd := range fds {
		err = errors.Join(err, unix.SetNonblock(fd, true)) // so that closing the file ends a read of it
		files = append(files, os.NewFile(uintptr(fd), "received"))
	}
	return files, err
}

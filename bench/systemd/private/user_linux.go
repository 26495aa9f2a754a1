package private

import (
	"context"
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// dialAs connects to a unix socket inside, with the effective user ID uid: a session bus takes connections of its own user
// alone, and asks the kernel who connected (SO_PEERCRED in unix(7)).
func (s *System) dialAs(ctx context.Context, uid int, path string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and nobody inherits its user
		conn, err = s.dialAsThread(ctx, uid, path)
	}()
	<-done
	return conn, err
}

func (s *System) dialAsThread(ctx context.Context, uid int, path string) (net.Conn, error) {
	root, err := openPath(s.Root()) // as root: others may not follow that link
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// The raw system call, for this thread: the function of this name is for all threads.
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
		return nil, errno
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", procPath(root)+path)
}

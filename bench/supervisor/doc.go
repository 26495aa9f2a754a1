// Package supervisor is the embedded manager: it does for pairs of .socket and .service units what systemd does, on
// machines without systemd.
//
// What flows in: the text of unit files, and commands (start, stop, restart, kill). What flows out: timeline events: every
// change of a unit's state in systemd's own words, every line a service writes, and a warning for each setting that is
// ignored here. Behaviour follows systemd 252: systemd.service(5), systemd.socket(5), systemd.kill(5), systemd.unit(5).
//
// # Settings
//
// These are honoured:
//
//	[Unit] StartLimitIntervalSec, StartLimitBurst
//	[Socket] ListenStream, Backlog, NoDelay, ReusePort, FileDescriptorName, Service, Accept, SocketMode, RemoveOnStop, TriggerLimitIntervalSec, TriggerLimitBurst
//	[Service] Type, ExecStart, Environment, WorkingDirectory, TimeoutStartSec, TimeoutStopSec, TimeoutSec, KillSignal, KillMode, SendSIGKILL, Restart, RestartSec, SuccessExitStatus, Sockets, NotifyAccess
//
// These need nothing here and are accepted silently, as is all of [Install] and every section or key that begins with X-:
//
//	[Unit] quietly Description, Documentation, Requires, Wants, After, Before
//
// Anything else is ignored, and Start says so with one warning for each key. A malformed value of an honoured key is an
// error of New.
//
// # Where it differs from systemd
//
//   - Start starts every service, also one that waits for its socket elsewhere, and all at once: After= orders nothing.
//   - Requires= pulls nothing in: a service whose socket is not open starts without it.
//   - Opening a unix socket fails if something listens there, or if a file of another kind is in the way.
//   - Of stops, Close waits for at most 5 s, then it kills.
//
// What does not differ, and surprises: a service gets a clean environment (PATH, LANG, INVOCATION_ID, what sockets and
// notification need, and Environment=) and the working directory /. A connection does not cut RestartSec= short. In a crash loop
// the service keeps the result of its last crash, and only its sockets name the start limit.
//
// # One loop
//
// One goroutine, the loop, owns all state. Commands, exits, messages to NOTIFY_SOCKET, readable sockets and deadlines come in
// through its select; nothing else reads or writes a unit. It forks every service, on a thread of its own (see below).
//
// # Nothing is left behind
//
// When this program is killed with SIGKILL, no service and no listening port may stay. Four things see to it:
//
//   - Listening sockets are close-on-exec, except in the services that they are passed to.
//   - A service does not start as itself but as the shim (Config.Shim), a copy of this program in a process group of its own.
//     The shim waits to be told what to execute. The supervisor tells it only after the guard knows the group, and a shim
//     whose supervisor dies before that reads end-of-file and exits. So there is no moment at which a service runs unguarded.
//   - The guard is one more child, in its own session, whose standard input is a pipe from the supervisor. When the pipe
//     ends, it kills every process group that it was told of and not told to forget, and unlinks the unix sockets. A group is
//     forgotten as soon as its last process is gone, so that a reused number is not killed.
//   - On Linux the shim also asks for SIGKILL at its parent's death (PR_SET_PDEATHSIG), which outlives execve(2) and holds
//     even if someone killed the guard. The kernel ties this to the thread that forked: the loop therefore never leaves its
//     thread. The shim then checks that its parent has not died before the request.
//
// A process that leaves its service's process group (setsid, setpgid) escapes; systemd's control groups would catch it.
//
// The shim is also what makes LISTEN_PID right: it has the service's pid before execve(2), and keeps it.
package supervisor

package supervisor

import (
	"os"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// state is a unit's state in systemd's words.
type state struct{ active, sub string }

var (
	inactive      = state{"inactive", "dead"}
	failed        = state{"failed", "failed"}
	listening     = state{"active", "listening"}
	socketRunning = state{"active", "running"}
)

// socket is a .socket unit. It belongs to the loop.
type socket struct {
	*socketUnit
	sup     *Supervisor
	service *service // that a connection starts
	files   []*os.File
	made    []string // files of unix sockets
	state   state
	result  string
}

// set changes the state and tells of it.
func (k *socket) set(to state) {
	if k.state == to {
		return
	}
	k.state = to
	k.sup.emit(timeline.Event{Unit: &timeline.Unit{
		At: k.sup.cfg.Now(), Name: k.name, Active: to.active, Sub: to.sub, Result: k.result,
	}})
}

// open opens every address.
func (k *socket) open() error {
	k.result = success
	for _, a := range k.listen {
		file, err := listen(k.socketUnit, a)
		if err != nil {
			k.result = resources
			k.closeFiles(true)
			k.set(failed)
			return &StartError{Unit: k.name, Result: resources, Address: a.text, Err: listenError(a, err)}
		}
		if path := a.path(); path != "" {
			k.sup.guard.unlink(path)
			k.made = append(k.made, path)
		}
		k.files = append(k.files, file)
	}
	k.set(listening)
	return nil
}

// closeFiles closes the listening sockets; their ports refuse connections unless a service holds them too.
func (k *socket) closeFiles(unlink bool) {
	files := k.files
	k.files = nil
	k.sup.rearm() // the poller lets go of them first
	for _, file := range files {
		file.Close()
	}
	if unlink {
		k.unlinkAll()
	}
}

// unlinkAll removes the files of unix sockets that it made.
func (k *socket) unlinkAll() {
	for _, path := range k.made {
		os.Remove(path)
		k.sup.guard.unlinked(path)
	}
	k.made = nil
}

// fds are the listening descriptors.
func (k *socket) fds() []int {
	list := make([]int, len(k.files))
	for i, file := range k.files {
		list[i] = int(file.Fd())
	}
	return list
}

// follow takes the state that the service's state asks for (socket_trigger_notify in systemd's src/core/socket.c).
func (k *socket) follow() {
	if k.state != listening && k.state != socketRunning {
		return
	}
	switch {
	case k.service.limitHit:
		k.fail("service-start-limit-hit")
	case k.service.state == running:
		k.set(socketRunning)
	case k.service.wantStart: // a job is under way
	case k.service.idle(), k.service.state == autoRestart, k.service.state == finalSigterm, k.service.state == finalSigkill:
		k.set(listening)
	}
}

// armed says whether a connection starts the service.
func (k *socket) armed() bool {
	return k.state == listening && k.service.idle() && !k.sup.closing
}

// trigger starts the service for a connection that waits.
func (k *socket) trigger() {
	if !k.armed() {
		return
	}
	if !k.triggers.below(time.Now()) {
		k.fail("trigger-limit-hit")
		return
	}
	k.set(socketRunning)
	k.service.begin()
	k.follow()
}

// fail gives the socket up, and its port with it.
func (k *socket) fail(result string) {
	if k.state != listening && k.state != socketRunning {
		return
	}
	k.result = result
	k.closeFiles(k.removeOnStop)
	k.set(failed)
}

func (k *socket) startJob(j *job) {
	switch {
	case k.state == listening || k.state == socketRunning:
		j.reply(nil)
	case !k.service.idle() && k.service.state != autoRestart:
		// systemd refuses this, too: the running service would not get the new socket.
		k.result = resources
		k.set(failed)
		j.reply(&StartError{Unit: k.name, Result: resources, Err: errServiceActive})
	default:
		j.reply(k.open())
	}
}

func (k *socket) stopJob(j *job) {
	if k.state == listening || k.state == socketRunning {
		k.closeFiles(k.removeOnStop)
		k.set(inactive)
	}
	j.reply(nil)
}

func (k *socket) restartJob(j *job) {
	k.stopJob(&job{})
	k.startJob(j)
}

func (k *socket) status() Status {
	return Status{Active: k.state.active, Sub: k.state.sub, Result: k.result}
}

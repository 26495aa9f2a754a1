package supervisor

import (
	"runtime"
	"slices"
	"syscall"
	"time"
)

// loop owns all state until everything is stopped.
func (s *Supervisor) loop(guardGone <-chan struct{}) {
	// Never unlocked: the kernel kills the services when the thread that forked them ends (see the package comment).
	runtime.LockOSThread()
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !s.over() {
		s.rearm()
		timer.Reset(s.untilDue())
		select {
		case command := <-s.commands:
			command()
		case p := <-s.execs:
			if p.service.process == p {
				p.service.execed()
			}
		case o := <-s.exits:
			s.ended(o)
		case fds := <-s.poller.ready:
			s.readable(fds)
		case <-timer.C:
			s.tick(time.Now())
		case <-guardGone:
			guardGone = nil
			s.warn("embedded manager", "its guard process was killed; if this program is killed as well, services may stay")
		}
	}
	s.release()
}

// over says whether Close has nothing left to wait for.
func (s *Supervisor) over() bool {
	if !s.closing || s.processes > 0 || len(s.lingering) > 0 {
		return false
	}
	for _, svc := range s.services {
		if !svc.idle() {
			return false
		}
	}
	return true
}

// release gives back what the supervisor holds, once nothing runs.
func (s *Supervisor) release() {
	for _, name := range s.Sockets() {
		k := s.sockets[name]
		if k.state == listening || k.state == socketRunning {
			k.closeFiles(true)
			k.set(inactive)
		}
		k.unlinkAll()
	}
	s.poller.close()
	s.closeNotifies()
	s.guard.close() // and it removes Dir, if that was its order
}

// rearm gives the poller what the loop wants to hear of: notifications, and connections that start a service.
func (s *Supervisor) rearm() {
	var set []int
	for _, name := range s.Services() {
		if n := s.services[name].notify; n != nil {
			set = append(set, int(n.file.Fd()))
		}
	}
	for _, name := range s.Sockets() {
		if k := s.sockets[name]; k.armed() {
			set = append(set, k.fds()...)
		}
	}
	s.poller.watch(set)
}

// readable handles what the poller has told.
func (s *Supervisor) readable(fds []int) {
	s.poller.fired()
	for _, name := range s.Services() {
		if svc := s.services[name]; svc.notify != nil && slices.Contains(fds, int(svc.notify.file.Fd())) {
			svc.notified()
		}
	}
	for _, name := range s.Sockets() {
		k := s.sockets[name]
		if slices.ContainsFunc(k.fds(), func(fd int) bool { return slices.Contains(fds, fd) }) {
			k.trigger()
		}
	}
}

// untilDue is the time until something in tick is due.
func (s *Supervisor) untilDue() time.Duration {
	next := time.Now().Add(time.Hour)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for _, svc := range s.services {
		earlier(svc.deadline)
		earlier(svc.settle)
		if svc.waitsForGroup() {
			earlier(svc.nextCheck)
		}
	}
	if len(s.lingering) > 0 {
		earlier(s.lingerAt)
	}
	earlier(s.killAt)
	return max(0, time.Until(next))
}

// tick does what is due.
func (s *Supervisor) tick(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	for _, name := range s.Services() {
		svc := s.services[name]
		if due(svc.settle) {
			svc.settled()
		}
		if svc.waitsForGroup() && due(svc.nextCheck) {
			svc.checkGroup()
		}
		if due(svc.deadline) {
			svc.expired()
		}
	}
	if len(s.lingering) > 0 && !now.Before(s.lingerAt) {
		s.checkLingering(now)
	}
	if due(s.killAt) {
		s.killAt = time.Time{}
		s.killAll()
	}
}

// checkLingering forgets groups that have gone. When the supervisor closes, it kills them first.
func (s *Supervisor) checkLingering(now time.Time) {
	s.lingering = slices.DeleteFunc(s.lingering, func(group int) bool {
		if s.closing {
			killGroup(group, syscall.SIGKILL)
		}
		if groupAlive(group) {
			return false
		}
		s.guard.forget(group)
		return true
	})
	s.lingerAt = now.Add(s.lingerEvery())
}

func (s *Supervisor) lingerEvery() time.Duration {
	if s.closing {
		return shortestCheck
	}
	return lingerCheck
}

// beginClose stops everything. Sockets stay open until nothing serves them any more.
func (s *Supervisor) beginClose() {
	if s.closing {
		return
	}
	s.closing = true
	s.killAt = time.Now().Add(closePatience)
	s.lingerAt = time.Now()
	for _, name := range s.Services() {
		s.services[name].stopJob(&job{})
	}
}

// killAll ends Close's patience.
func (s *Supervisor) killAll() {
	for _, name := range s.Services() {
		svc := s.services[name]
		if svc.deactivating() {
			svc.fail(timedOut, nil)
			svc.sendSIGKILL = true
		}
		switch svc.state {
		case stopSigterm:
			svc.enterSignal(stopSigkill)
		case finalSigterm:
			svc.enterSignal(finalSigkill)
		}
	}
}

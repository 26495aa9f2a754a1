// Package systemd lets systemd do the restarting, and watches it: the system's manager, a user's, or one that was booted for
// the purpose (package private).
//
// What flows in: the names of units, or the text of units of our own, and what to do to them. What flows out: timeline events:
// every step of the units' states with systemd's own timestamps, their lines in the journal, and at the end whether the socket
// is still armed and how near the start limit came. It is the only importer of go-systemd's dbus.
//
//	Bus ──▶ Conn ──▶ Describe, Restarter     calls, by go-systemd
//	    └─▶ Watcher                          signals, on a connection of its own
//	journalctl ──▶ Journal
//	Config ──▶ Units                         all of these together, and the files that they need
//
// # Nothing is lost
//
// systemd sends a unit's changed properties as one snapshot, with the moment of the last step (StateChangeTimestamp). Steps that
// follow each other faster than it sends are merged in one snapshot; what is missing is put back from the moments at
// which the unit last became active, stopped being so, and so on. Where even that is not enough, as may be after the
// connection was lost, a gap says so.
//
// # Nothing is left
//
// Before a file is written or a unit stopped, a record of the whole change is on disk, under a lock that its run holds as long
// as it lives. Close undoes the change by that record. When the run was killed, Clean does: a record whose lock is free is a
// dead run's. Every file begins with a line that names the record, and one without that line is not ours and stays.
package systemd

package private

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// bootTarget is what systemd boots.
const bootTarget = "restartbench.target"

// ownUnits replace the machine's idea of a boot: most of it prepares hardware. Every service waits for these two targets.
var ownUnits = map[string]string{
	bootTarget: `[Unit]
Description=Private systemd of restartbench
Requires=dbus.socket systemd-journald.service
After=basic.target dbus.socket systemd-journald.service
Wants=basic.target
`,
	"sysinit.target": `[Unit]
Description=System Initialization
Conflicts=emergency.service emergency.target
After=emergency.service emergency.target
`,
	"basic.target": `[Unit]
Description=Basic System
Requires=sysinit.target
After=sysinit.target
`,
}

// ownFiles are further files that differ from the machine's. Its journal is in memory, says all that services print, and has
// nothing of the kernel's.
var ownFiles = map[string]string{
	"/run/systemd/journald.conf.d/99-restartbench.conf": `[Journal]
Storage=volatile
RateLimitIntervalSec=0
ReadKMsg=no
Audit=no
ForwardToSyslog=no
ForwardToKMsg=no
ForwardToConsole=no
ForwardToWall=no
`,
}

// unitDirs is where the machine's units lie, besides /run.
var unitDirs = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// generatorDirs hold programs that make units at each boot and reload: of no use here, and slow.
var generatorDirs = []string{
	"/etc/systemd/system-generators", "/usr/local/lib/systemd/system-generators",
	"/usr/lib/systemd/system-generators", "/lib/systemd/system-generators",
}

// layFiles writes what systemd reads when it boots, and removes what must not take part. All that in the overlay.
func (o order) layFiles() error {
	if err := removeBoot(); err != nil {
		return err
	}
	for name, text := range ownUnits {
		if err := write(filepath.Join(unitDir, name), text); err != nil {
			return err
		}
	}
	for name, text := range o.Units {
		if err := write(filepath.Join(unitDir, name), text); err != nil {
			return err
		}
	}
	for path, text := range ownFiles {
		if err := write(path, text); err != nil {
			return err
		}
	}
	// A machine without one is booting for the first time, and systemd would enable all units by their presets.
	var id [16]byte
	rand.Read(id[:]) // never fails
	return write("/etc/machine-id", hex.EncodeToString(id[:])+"\n")
}

// removeBoot removes what would make systemd prepare the machine: what the targets want, even when they are replaced by
// units in /run, and those in /etc, which would take precedence.
func removeBoot() error {
	err := error(nil)
	for _, dir := range unitDirs {
		for _, target := range []string{"sysinit.target", "basic.target"} {
			for _, suffix := range []string{"", ".d", ".wants", ".requires"} {
				err = errors.Join(err, os.RemoveAll(filepath.Join(dir, target+suffix)))
			}
		}
	}
	for _, dir := range generatorDirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// write writes a file afresh, so that neither a symbolic link nor a mount leads elsewhere.
func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

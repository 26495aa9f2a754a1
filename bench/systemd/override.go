package systemd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Override is what to set on existing units for the time of a run: keys and values as in unit files.
type Override struct {
	Socket  map[string]string // of every socket unit of the service
	Service map[string]string
}

// unitKeys are those keys that belong in [Unit], whatever the kind of unit, and may matter to a restart (systemd.unit(5)).
var unitKeys = []string{"StartLimitIntervalSec", "StartLimitBurst", "StartLimitAction", "Requires", "Requisite", "Wants",
	"BindsTo", "PartOf", "Upholds", "Conflicts", "Before", "After", "OnFailure", "OnSuccess", "PropagatesStopTo",
	"StopPropagatedFrom", "JobTimeoutSec", "JobRunningTimeoutSec", "RefuseManualStart", "RefuseManualStop"}

// replacing are keys that add to a list, but of which a run wants the one that it says.
var replacing = []string{"ExecStart", "ExecReload", "ExecStop", "ListenStream"}

// dropIn is the text of a drop-in.
func dropIn(section string, settings map[string]string) string {
	var unit, own strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		to := &own
		if slices.Contains(unitKeys, key) {
			to = &unit
		}
		if slices.Contains(replacing, key) {
			fmt.Fprintf(to, "%s=\n", key)
		}
		fmt.Fprintf(to, "%s=%s\n", key, settings[key])
	}
	var text string
	if unit.Len() > 0 {
		text += "[Unit]\n" + unit.String()
	}
	if own.Len() > 0 {
		text += "[" + section + "]\n" + own.String()
	}
	return text
}

// check finds what could break out of its line.
func (o Override) check() error {
	var all []error
	for section, settings := range map[string]map[string]string{"socket": o.Socket, "service": o.Service} {
		for key, value := range settings {
			if key == "" || strings.ContainsAny(key, "=[]\n\r \t") || strings.ContainsAny(value, "\n\r") || strings.HasSuffix(value, `\`) {
				all = append(all, fmt.Errorf("override.%s.%s: %q is not one key and one line of a unit file", section, key, value))
			}
		}
	}
	return errors.Join(all...)
}

func (o Override) empty() bool { return len(o.Socket)+len(o.Service) == 0 }

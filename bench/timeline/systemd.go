package timeline

import "time"

// Armed says, at the end of a run, whether a service's next start would get the listening socket of one of its socket units.
// Yes takes both: the socket unit holds the socket now, and systemd joins it to the service.
type Armed struct {
	At      time.Duration `json:"at_ns"`
	Service string        `json:"service"`
	Socket  string        `json:"socket"`
	Armed   bool          `json:"armed"`
	Why     string        `json:"why,omitempty"`    // not armed: what is wrong, in words
	Active  string        `json:"active"`           // of the socket unit, as in Unit
	Sub     string        `json:"sub"`              // listening; running while the service runs
	Result  string        `json:"result,omitempty"` // success, or how it failed: service-start-limit-hit, resources, …
	Joined  bool          `json:"joined"`           // the service's TriggeredBy names the socket, so that its next start is handed it
}

// StartLimit says how near a unit came to its start limit: Starts of the Burst starts that systemd allows in any Interval
// (StartLimitBurst=, StartLimitIntervalSec= in systemd.unit(5)). One more than Burst, and systemd refuses.
type StartLimit struct {
	At       time.Duration `json:"at_ns"`
	Unit     string        `json:"unit"`
	Starts   int           `json:"starts"` // the most that were seen within one Interval
	Burst    int           `json:"burst"`
	Interval time.Duration `json:"interval_ns"` // 0: there is no limit
	Hit      bool          `json:"hit"`         // systemd refused a start for it
}

// Package accuracy proves that what restartbench reports is what happened. It holds tests alone.
//
// What flows in: traffic whose fate the test itself decides, or clocks itself. What flows out: a report, every number of
// which is compared with the truth that the test holds.
//
//   - oracle_test.go: of some ten thousand requests with faults of every class at random places, each count is what was injected
//   - outage_test.go: the outage of a port that was closed for 100 ms, to 2 ms
//   - stall_test.go: the quantiles of requests that met a server that stalled, to 1 %, by the server's own log
//   - drops_test.go: one dropped request among hundreds fails a run, every time
//   - restarts_test.go: restarts that lose nothing never fail a run, on a real systemd
//   - quantiles_test.go: quantiles are within 0.1 % of the exact ones, computed from the same run file
//
// A machine that is busy with something else delays the client, the server and the test alike. What only holds on a quiet
// one is measured again, with the reason logged, where the test saw that it was disturbed. CONTRIBUTING.md names the
// variables that raise the scale.
package accuracy

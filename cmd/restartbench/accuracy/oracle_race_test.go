//go:build race

package accuracy

// The race detector makes every request some ten times as dear.
const (
	oracleRequests = 20_000
	oracleRate     = 3_000
)

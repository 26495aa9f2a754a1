//go:build !race

package accuracy

// A machine that cannot keep up with the rate is asked at half of it.
const (
	oracleRequests = 32_000
	oracleRate     = 8_000
)

package accuracy

import (
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/restartbench/restartbench/bench/systemd/private/privatetest"
	"github.com/restartbench/restartbench/cmd/restartbench/internal/trial"
)

func TestMain(m *testing.M) {
	privatetest.Shim()
	if parameters := os.Getenv(stallerEnv); parameters != "" {
		if err := runStaller(parameters); err != nil {
			log.Fatal(err)
		}
		syscall.Exit(0) // not os.Exit, which takes a second in a binary built with -race
	}
	trial.Prefer()
	goleak.VerifyTestMain(m)
}

// scale is the number in an environment variable that raises a test's scale, or else the one that suits every day.
func scale(t *testing.T, variable string, usual uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		t.Fatalf("%s=%s: want a number above 0", variable, text)
	}
	return n
}

// seeded is a source of random numbers that can be had again.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := scale(t, "RESTARTBENCH_TEST_SEED", uint64(time.Now().UnixNano()))
	t.Logf("RESTARTBENCH_TEST_SEED=%d makes the same choices", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

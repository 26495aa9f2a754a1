package scenarios_test

import (
	"fmt"

	"github.com/restartbench/restartbench/scenarios"
)

// Every mistake is reported at once, in order of position.
func ExampleParse() {
	_, err := scenarios.Parse("my-app.yaml", []byte(`name: my-app
load:
  target: localhost:8080
  durration: 10
restart:
  command: systemctl restart my-app
`))
	fmt.Println(err)
	// Output:
	// my-app.yaml:3:11: load.target: "localhost:8080" has no scheme; write http://localhost:8080
	// my-app.yaml:4:3: unknown key "durration" in load; did you mean "duration"?
	// my-app.yaml:4:14: load.duration: "10" has no unit; write 10s
	// my-app.yaml:6:12: restart.command: expects a list of words, got "systemctl restart my-app"; write [systemctl, restart, my-app]
}

// A command line makes a scenario without a file: fields it knows, texts it was given, and then defaults and checks.
func ExampleScenario_Finish() {
	s := &scenarios.Scenario{Name: "my-app"}
	s.Load.Target = "http://127.0.0.1:8080/"
	s.Restart.Command = []string{"systemctl", "restart", "my-app"}
	if err := s.Set("load.rate", "50"); err != nil {
		fmt.Println(err)
	}
	if err := s.Finish(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(s.Load.Rate, s.Load.Duration, s.Restart.Action)
	// Output: 50 6s command
}

package scenarios

import "testing"

func TestListeningFailures(t *testing.T) {
	patterns, err := Journal{Patterns: listeningFailures}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]bool{
		"app.socket: Failed to create listening socket (127.0.0.1:80): Address already in use": true,
		"Failed to listen on app.socket - socket of the sample application.":                   true,
		"app.socket: Socket service app.service already active, refusing.":                     true,
		"app.socket: Failed with result 'service-start-limit-hit'.":                            true,
		"app.socket: Trigger limit hit, refusing further activation.":                          true,
		"listening failed":                        true,
		"listen tcp :80: bind: permission denied": true,
		"http: Accept error: accept tcp [::]:80: accept4: too many open files; retrying in 5ms":   true,
		"Error: listen EACCES: permission denied 0.0.0.0:80":                                      true,
		"Error: listen EADDRINUSE :::8080":                                                        true,
		"nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)":                      true,
		"nginx: [emerg] still could not bind()":                                                   true,
		"error: Bind to port 22 on 0.0.0.0 failed: Permission denied.":                            true,
		"Starting frontend http: cannot bind socket (Permission denied) [0.0.0.0:80]":             true,
		"[ERROR] Connection in use: ('127.0.0.1', 8000)":                                          true,
		"Failed listening on port 6379 (TCP), aborting.":                                          true,
		"Web server failed to start. Port 8080 was already in use.":                               true,
		"java.net.BindException: Permission denied":                                               true,
		"[Errno 13] error while attempting to bind on address ('0.0.0.0', 80): permission denied": true,
		"Started app.service - sample application.":                                               false,
		"Listening on app.socket - socket of the sample application.":                             false,
		"serve: listening on 127.0.0.1:8080":                                                      false,
		"open /etc/shadow: permission denied":                                                     false,
		"dial tcp 10.0.0.1:5432: connect: connection refused":                                     false,
		"app.service: Main process exited, code=killed, status=9/KILL":                            false,
		"app.service: Scheduled restart job, restart counter is at 1.":                            false,
		"user already exists, name is in use":                                                     false,
	} {
		found := false
		for _, p := range patterns {
			found = found || p.MatchString(line)
		}
		if found != want {
			t.Errorf("%q is a finding: %v, want %v", line, found, want)
		}
	}
}

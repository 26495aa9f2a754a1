package supervisor

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// onlyZombies says whether every process of a group has ended. It is false when /proc does not tell.
func onlyZombies(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return false
	}
	for _, path := range stats {
		state, pgrp, ok := readStat(path)
		if ok && pgrp == group && state != 'Z' && state != 'X' {
			return false
		}
	}
	return true
}

// readStat reads state and process group from a /proc/PID/stat file (proc_pid_stat(5)).
func readStat(path string) (state byte, group int, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, false // it has gone
	}
	// The fields are counted from the last parenthesis: a program's name can hold anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 3 {
		return 0, 0, false
	}
	group, err = strconv.Atoi(string(fields[2]))
	return fields[0][0], group, err == nil
}

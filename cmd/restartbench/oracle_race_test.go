//go:build race

package main

// oracleRate under the race detector, which makes every request some ten times as dear.
const oracleRate = 2_000

//go:build !race

package main

// oracleRate makes 100,000 requests of the oracle's ten cycles. A machine that cannot keep up is asked at half of it.
const oracleRate = 10_000

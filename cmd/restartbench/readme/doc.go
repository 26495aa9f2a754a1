// Package readme holds the test that the README is true. It is a package of its own so that it runs beside the others.
package readme

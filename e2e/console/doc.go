// Package console walks through the operations page in a real browser, over the data
// that a day of the demo has left.
package console

// Package demo plays the demo with the real programs and looks at what it leaves.
package demo

// Package devices holds tests only: devices on the kernel's serial lines that are
// unplugged a thousand times, and a real posagent that is left alone with five of them.
// They take minutes and need no root. The programs are built here, without the race
// detector, because they are weighed.
package devices

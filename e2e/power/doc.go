// Package power holds tests only: whole programs on a file system that forgets
// what they did not sync (lab/forgetfs), killed and cut at random moments. They
// need root and /dev/fuse and print the seed that repeats their choices.
package power

// Package fleet knows the merchants, their stores and their terminals: who may speak,
// with which key, in which epoch, and when each was last heard.
//
// A device becomes a terminal by a one-time code (Enrol). The same way opens a
// terminal's next epoch after a restore, a fork, damage or a change of keys: a code
// that is bound to the terminal.
package fleet

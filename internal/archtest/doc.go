// Package archtest keeps the house as it is drawn in docs/ARCHITECTURE.md: who may
// import whom, which folders exist, and that every package says what it is. It has
// tests only. To add a room, draw it there first, then give it a row in rooms.
package archtest

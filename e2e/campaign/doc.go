// Package campaign plays campaigns from outside: a citizen's phone in a real browser,
// the whole programs with kills in between, and the page's own verifier of a draw held
// against posctl's.
package campaign

// Package attacks holds tests only: everything that a customer, a thief, a cashier or an
// insider could try to have money called accepted that never comes, one named attempt each,
// against the till's own code with its own journal, the centre's road, and whole programs.
//
// To add an attack: a line in one of the lists, with the threat of docs/ATTACKS.md, its
// reason, and what is tried; then go test ./e2e/attacks -run TestAttacks -update.
package attacks

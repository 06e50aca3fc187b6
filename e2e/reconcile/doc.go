// Package reconcile tests a day's reconciliation as an operator has it: the serving centre, worker
// processes that come, go and are killed, institutions that hand out statements, and the files and
// cases that must come out the same as from one process.
package reconcile

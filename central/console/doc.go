// Package console is the operations page: tills, payments, ledger, reconciliation,
// red-envelope campaigns, enrolment codes, releases and the trail of who did what.
//
// Pages are rendered here, in Chinese and English; the little script of the overview
// only replaces figures. There is no default password: the first account is made by
// CreateAccount (poscentral account add). To add a page: its file in pages/, a handler
// in the file of its noun, and its line in routes with the role that may see it.
package console

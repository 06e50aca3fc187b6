// Package webshop is the online channel: merchants' web shops take digital yuan by a
// signed HTTP API and hear of it by webhooks. DESIGN.md says why it is as it is,
// docs/PROTOCOL.md §10 what goes over the wire.
//
// Money is the payment room's: a Desk gives each attempt its name, remembers it with the
// shop's idempotency key, and asks there under the name "web:" and the shop's id. Run
// delivers the events that the payment room has written.
package webshop

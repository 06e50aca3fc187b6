// Package shop is a merchant's web shop: goods in categories, a basket, a page that shows
// the digital-yuan QR, refunds, and a receiver of webhooks. It knows the centre by its
// documented HTTP API alone (docs/PROTOCOL.md §10) and shares no code with it; every
// amount that it shows is of play money.
package shop

package webshop

import (
	"net/http"

	"dcpos/pos"
)

// Outbound is the client of webhooks.
func Outbound(env pos.Environment) *http.Client { return outbound(env) }

// Package localapi is the till's HTTP and JSON interface for the screens and for a
// vendor's cashier software: over a Unix socket for programs of this machine, and
// over loopback TCP with bearer tokens, or with the cookie of our own pages.
//
// Its description is /openapi.json (OpenAPI 3.1), made from the code. Every error is
// {"code","field","text":{zh,en},"hint":{zh,en}}; codes are pos.Code. Changes come as
// server-sent events from /v1/events.
//
// To add an operation: its function beside its noun, and its line in that file's
// register function with the scope that it takes.
package localapi

// Package api is the online channel over HTTP: /shop/v1, described by the OpenAPI file
// that it serves. Every request is signed (central/webshop/sign); what a signature covers
// is checked before the body is read as JSON.
package api

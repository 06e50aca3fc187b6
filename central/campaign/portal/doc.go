// Package portal is what citizens see of campaigns: a page to register, to look a
// result up and to check the draw, and the same as an HTTP API (/openapi.json).
//
// Pages are rendered here, in Chinese and English, and work on a phone without any
// framework; a script adds the position, which only a script can ask a phone for, and
// the verifier. Nothing that names a person stands in an address or in a log: what is
// secret is posted. A step may be repeated: a second click or a second tab makes no
// second entry.
//
// files/verify.js is a second verifier of "draw-v1", written from docs/PROTOCOL.md
// alone; e2e/campaign holds it against central/campaign/draw.
package portal

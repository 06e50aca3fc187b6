// Package httpapi is the centre's HTTP server: enrolment of devices, health, metrics,
// and the place where the console is mounted.
//
// JSON operations are huma operations, so that /openapi.json says what the code does.
// To add one: a file named after the noun with an interface of what it needs, a
// register function, and its call in New.
package httpapi

// Package institution speaks to the operating institutions of digital yuan.
//
// There is one contract, Adapter, and one description per institution as data:
// where it is, how long to wait, which payment codes are its own, when its day
// ends. The six of the pilot are embedded from descriptions/. To add a seventh,
// put a YAML file of the same shape into the directory that the centre's
// configuration names; no line of Go changes.
//
// The real interfaces of the institutions are not public. The HTTP client here
// speaks the interface of docs/PROTOCOL.md, "institution", which the laboratory
// simulates; an acquirer's module is another Adapter.
package institution

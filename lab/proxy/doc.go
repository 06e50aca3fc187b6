// Package proxy is a bad network on loopback: a TCP proxy that delays each
// direction without limiting its throughput, limits bandwidth if asked to, and can
// be cut (connections reset, new ones refused) or frozen (connections accepted,
// nothing delivered) and restored while it runs.
//
// Delay is one-way: 300 ms is a round trip of 600 ms. What is modelled is a long
// pipe, not a lossy one; TCP hides loss as delay, so there is no option for it.
package proxy

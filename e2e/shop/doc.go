// Package shop plays the online channel from outside: the whole programs, a sample web
// shop in a real browser, a customer's wallet, and a kill between the money and the
// webhook.
package shop

// Package damage breaks a till's journal and takes the way out that the till names:
// salvage, a code for the next epoch, and selling on.
package damage

// Package checkout takes one sale from top to bottom: it names a payment and
// journals it before anyone is asked for money, asks the centre or takes a wallet's
// evidence, keeps asking until the result is final, refunds, prints, and journals
// every step with its operator.
//
// A Till has one owner, Run, to which every goroutine belongs. All decisions about
// money are made inside Journal.Update, so that they cannot be made twice. What the
// package needs of the house it states as interfaces: Journal, Host, Printer, Drawer.
//
// To add a way to pay: a pos.Mode, a file here with its command, its row in resume
// and in Scan.
package checkout

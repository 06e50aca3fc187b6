package browser_test

import (
	"context"
	"testing"

	"dcpos/internal/testbrowser"
)

// journey is one walk through the pages, in the browser of all of them.
type journey struct {
	*testing.T
	ctx context.Context
}

func TestScreens(t *testing.T) {
	ctx := testbrowser.Start(t)
	for _, walk := range []struct {
		name string
		run  func(journey)
	}{
		{"a cashier's day", journey.aCashiersDay},
		{"unknown and declined", journey.unknownAndDeclined},
		{"what a cashier must know", journey.whatACashierMustKnow},
		{"a printer in trouble", journey.aPrinterInTrouble},
		{"offline on a handheld", journey.offlineOnAHandheld},
		{"stored and decided", journey.storedAndDecided},
		{"a customer at a kiosk", journey.aCustomerAtAKiosk},
		{"a kiosk in trouble", journey.aKioskInTrouble},
	} {
		t.Run(walk.name, func(t *testing.T) { walk.run(journey{t, ctx}) })
	}
}

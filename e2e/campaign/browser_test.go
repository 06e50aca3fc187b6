package campaign_test

import (
	"context"
	"testing"

	"dcpos/internal/testbrowser"
)

// patience is for what a loaded machine may need.
const patience = testbrowser.Patience

// page is one tab of a phone.
type page struct{ *testbrowser.Page }

func tab(ctx context.Context, t *testing.T) *page {
	t.Helper()
	return &page{testbrowser.Phone(ctx, t)}
}

// value evaluates an expression, a promise too.
func value[T any](p *page, expression string) T {
	p.Helper()
	return testbrowser.Value[T](p.Page, expression)
}

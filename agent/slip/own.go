package slip

import (
	"slices"

	"dcpos/drivers/receipt"
	"dcpos/pos"
)

// Own is a receipt that a vendor's program laid out, as this till prints it: in the lab
// the mark 测试 TEST stands above and below it, and a duplicate does not open the drawer again.
func Own(shop Shop, r receipt.Receipt, duplicate bool) receipt.Receipt {
	items := slices.Clone(r.Items)
	if duplicate {
		items = slices.DeleteFunc(items, func(i receipt.Item) bool { return i.Kind == receipt.KindDrawer })
	}
	test := shop.Env.Notice()
	if test.IsZero() {
		return receipt.New(items...)
	}
	out := receipt.New(testMark(test))
	foot := receipt.Centered(pos.Text{ZH: "测试小票,无任何价值", EN: "TEST, without any value"}.Both())
	if n := len(items); n > 0 && items[n-1].Kind == receipt.KindCut {
		out.Add(items[:n-1]...)
		out.Add(foot, items[n-1])
		return out
	}
	out.Add(items...)
	out.Add(foot)
	return out
}

// testMark is the mark at the head of every paper that is worth nothing.
func testMark(test pos.Text) receipt.Item {
	return receipt.Text(test.Both(), receipt.Style{Bold: true, Size: receipt.Double, Align: receipt.Center, Invert: true})
}

package drivers

import (
	"maps"
	"sync"
)

// StatisticName is a counter's name, exactly as UnifiedPOS spells it
// (JposStatisticsConst.java:39-113); telemetry uses these names unchanged.
type StatisticName string

// The counters that the drivers here keep.
const (
	HoursPoweredCount            StatisticName = "HoursPoweredCount"
	CommunicationErrorCount      StatisticName = "CommunicationErrorCount"
	GoodScanCount                StatisticName = "GoodScanCount"
	FailedReadCount              StatisticName = "FailedReadCount"
	ReceiptLinePrintedCount      StatisticName = "ReceiptLinePrintedCount"
	ReceiptCharacterPrintedCount StatisticName = "ReceiptCharacterPrintedCount"
	ReceiptCoverOpenCount        StatisticName = "ReceiptCoverOpenCount"
	BarcodePrintedCount          StatisticName = "BarcodePrintedCount"
	ReceiptLineFeedCount         StatisticName = "ReceiptLineFeedCount"
	PaperCutCount                StatisticName = "PaperCutCount"
	FailedPaperCutCount          StatisticName = "FailedPaperCutCount"
	MaximumTempReachedCount      StatisticName = "MaximumTempReachedCount"
	ToneSoundedCount             StatisticName = "ToneSoundedCount"
	PrinterFaultCount            StatisticName = "PrinterFaultCount"
	DrawerGoodOpenCount          StatisticName = "DrawerGoodOpenCount"
	DrawerFailedOpenCount        StatisticName = "DrawerFailedOpenCount"
	OnlineTransitionCount        StatisticName = "OnlineTransitionCount"
	TagReadCount                 StatisticName = "TagReadCount"
	UnreadableCardCount          StatisticName = "UnreadableCardCount"
)

// Counters counts. The zero value is ready; methods may be called from several goroutines.
type Counters struct {
	mu     sync.Mutex
	counts map[StatisticName]int64
}

// Add adds n to one counter.
func (c *Counters) Add(name StatisticName, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[StatisticName]int64{}
	}
	c.counts[name] += n
}

// All returns a copy; counters that never counted are absent.
func (c *Counters) All() map[StatisticName]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

package link_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dcpos/internal/testpg"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// BenchmarkTakeIn measures verified entries per second into each database, without and
// with the conveyor: 20 tills, batches of 64, three entries per payment.
func BenchmarkTakeIn(b *testing.B) {
	for _, suite := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		for _, engine := range []string{"sqlite", "postgres"} {
			b.Run(suite+"/"+engine, func(b *testing.B) { benchmarkTake(b, suite, engine, false) })
		}
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run("conveyor/"+engine, func(b *testing.B) { benchmarkTake(b, dcep.SM2SM3, engine, true) })
	}
}

func benchmarkTake(b *testing.B, suite, engine string, conveyor bool) {
	b.Helper()
	url := "sqlite:" + filepath.Join(b.TempDir(), "centre.db")
	if engine == "postgres" {
		url = testpg.Start(b)
	}
	const tills, payments = 20, 100
	for b.Loop() {
		b.StopTimer()
		c := newCentre(b, url)
		if conveyor {
			c.start(b)
		}
		messages, entries := load(b, c, suite, tills, payments)
		b.StartTimer()
		begin := time.Now()
		if conveyor {
			publishAll(b, c, messages)
		} else {
			for i := 0; i < len(messages); i += 64 {
				takeMany(b, c, messages[i:min(i+64, len(messages))])
			}
		}
		b.ReportMetric(float64(entries)/time.Since(begin).Seconds(), "entries/s")
	}
}

type loaded struct {
	till *till
	data []byte
}

// load writes journals and interleaves their batches.
func load(b *testing.B, c *centre, suite string, tills, payments int) (messages []loaded, entries int) {
	b.Helper()
	var queues [][]loaded
	for range tills {
		t := c.enrol(b, suite)
		t.open(b, pos.EpochEnrolled, nil)
		for range payments {
			t.payment(b, 1000, pos.Asking, pos.Paid)
		}
		entries += len(t.entries)
		var queue []loaded
		for _, data := range t.batches(b, 64) {
			queue = append(queue, loaded{t, data})
		}
		queues = append(queues, queue)
	}
	for i := range queues[0] {
		for _, queue := range queues {
			messages = append(messages, queue[i])
		}
	}
	return messages, entries
}

func takeMany(b *testing.B, c *centre, messages []loaded) {
	b.Helper()
	subjects, data := make([]string, len(messages)), make([][]byte, len(messages))
	for i, m := range messages {
		subjects[i], data[i] = wire.JournalSubject(m.till.id), m.data
	}
	if err := c.taker().Take(b.Context(), subjects, data); err != nil {
		b.Fatal(err)
	}
}

func publishAll(b *testing.B, c *centre, messages []loaded) {
	b.Helper()
	conns := make(map[string]*nats.Conn)
	for _, m := range messages {
		nc := conns[m.till.id]
		if nc == nil {
			nc = c.connect(b, m.till)
			conns[m.till.id] = nc
		}
		if err := nc.Publish(wire.JournalSubject(m.till.id), m.data); err != nil {
			b.Fatal(err)
		}
	}
	for _, m := range messages {
		for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
			if n := len(m.till.entries); int(c.headSeq(b, m.till.id)) == n {
				break
			}
			if time.Now().After(end) {
				b.Fatal("not taken in within a minute")
			}
		}
	}
}

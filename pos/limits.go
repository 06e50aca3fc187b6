package pos

import (
	"fmt"
	"time"
)

// Limits are the guards of offline acceptance: a policy of the centre with a
// monotonic version. The zero value accepts nothing.
type Limits struct {
	Version       uint64        `json:"version"`
	PerPayment    Money         `json:"per_payment"`
	StoredTotal   Money         `json:"stored_total"`
	StoredCount   int           `json:"stored_count"`
	OldestWarn    time.Duration `json:"oldest_warn"`
	OldestStop    time.Duration `json:"oldest_stop"`
	WalletTotal   Money         `json:"wallet_total"`
	WalletCount   int           `json:"wallet_count"`
	RevocationMax time.Duration `json:"revocation_max"`
	ClockMax      time.Duration `json:"clock_max"`
	NearPercent   int           `json:"near_percent"`
}

// DefaultLimits are the defaults of design §3.
func DefaultLimits() Limits {
	return Limits{
		Version: 1, PerPayment: 500_00, StoredTotal: 5000_00, StoredCount: 500,
		OldestWarn: 12 * time.Hour, OldestStop: 24 * time.Hour,
		WalletTotal: 2000_00, WalletCount: 10,
		RevocationMax: 72 * time.Hour, ClockMax: 120 * time.Second, NearPercent: 80,
	}
}

// StoredMoney is what a till holds that the centre has not receipted.
type StoredMoney struct {
	Total    Money `json:"total"`
	Count    int   `json:"count"`
	OldestMS int64 `json:"oldest_ms"` // wall clock of the oldest; 0 when Count is 0
}

// Check refuses an offline payment beyond a guard. wallet is what this till
// holds of the same wallet.
func (l Limits) Check(amount Money, stored, wallet StoredMoney, now time.Time) error {
	switch {
	case amount > l.PerPayment:
		return FieldError(ErrLimitPayment, "amount", fmt.Errorf("%s over %s", amount, l.PerPayment))
	case stored.Count+1 > l.StoredCount:
		return NewError(ErrLimitCount, fmt.Errorf("%d of %d", stored.Count, l.StoredCount))
	case amount > l.StoredTotal-stored.Total:
		return NewError(ErrLimitTotal, fmt.Errorf("%s + %s over %s", stored.Total, amount, l.StoredTotal))
	case stored.Count > 0 && now.Sub(time.UnixMilli(stored.OldestMS)) >= l.OldestStop:
		return NewError(ErrLimitAge, fmt.Errorf("oldest is %s old", now.Sub(time.UnixMilli(stored.OldestMS)).Round(time.Minute)))
	case wallet.Count+1 > l.WalletCount || amount > l.WalletTotal-wallet.Total:
		return NewError(ErrLimitWallet, fmt.Errorf("wallet has %d for %s here", wallet.Count, wallet.Total))
	}
	return nil
}

// Room tells how near the guards are, for the banner of the cashier.
type Room struct {
	Stored     StoredMoney `json:"stored"`
	TotalLeft  Money       `json:"total_left"`
	CountLeft  int         `json:"count_left"`
	PerPayment Money       `json:"per_payment"`
	Near       bool        `json:"near"` // NearPercent of total or count is reached, or OldestWarn
	Stop       bool        `json:"stop"` // nothing more is accepted offline
	AgeMS      int64       `json:"age_ms"`
}

// Room computes the banner.
func (l Limits) Room(stored StoredMoney, now time.Time) Room {
	r := Room{
		Stored: stored, PerPayment: l.PerPayment,
		TotalLeft: max(0, l.StoredTotal-stored.Total), CountLeft: max(0, l.StoredCount-stored.Count),
	}
	if stored.Count > 0 {
		r.AgeMS = now.UnixMilli() - stored.OldestMS
	}
	age := time.Duration(r.AgeMS) * time.Millisecond
	r.Near = int64(stored.Total)*100 >= int64(l.StoredTotal)*int64(l.NearPercent) ||
		stored.Count*100 >= l.StoredCount*l.NearPercent || (stored.Count > 0 && age >= l.OldestWarn)
	r.Stop = r.TotalLeft == 0 || r.CountLeft == 0 || (stored.Count > 0 && age >= l.OldestStop)
	return r
}

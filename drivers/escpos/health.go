package escpos

import (
	"context"
	"errors"
	"fmt"

	"dcpos/drivers"
	"dcpos/drivers/receipt"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

// CheckHealth implements drivers.Device. HealthInternal asks for the status,
// HealthExternal prints a short test slip, HealthInteractive prints one with a number and
// returns the question for a person whether it came out; buzzer and lamp call her, where
// there are any.
func (p *Printer) CheckHealth(ctx context.Context, level drivers.HealthLevel) (drivers.Health, error) {
	h := drivers.Health{Level: level}
	if e := p.life.NeedEnabled(); e != nil {
		return h, p.lifecycle("check health of", e)
	}
	var err error
	switch level {
	case drivers.HealthInternal:
		_, err = p.Status(ctx)
		if reason := trouble(p.Snapshot()); err == nil && reason != "" {
			err = reason.Code()
		}
	case drivers.HealthExternal:
		err = p.testSlip(ctx, "")
	case drivers.HealthInteractive:
		number := p.slipNumber()
		if err = p.testSlip(ctx, number); err == nil {
			h.Question = question(number, p.profile)
			if alarm(p.profile, drivers.ToneAttention) != nil {
				err = p.Sound(ctx, drivers.ToneAttention)
			}
		}
	default:
		return h, p.trouble("check health of", drivers.ErrIllegal, fmt.Errorf("level %d", level))
	}
	h.At, h.OK = p.now(), err == nil
	if code, ok := errors.AsType[drivers.ErrorCode](err); ok {
		h.Code, h.Text, h.Hint = code, code.Text(), code.Hint()
	}
	return h, nil
}

// question is what a person is asked after the slip with a number.
func question(number string, p profiles.Printer) pos.Text {
	t := pos.Text{
		ZH: "打印机是否打出了一张编号为 " + number + " 的完整小票?",
		EN: "Did a whole slip with the number " + number + " come out of the printer?",
	}
	switch lamp, buzzer := p.Lamp == "esc_c", p.Buzzer == "esc_b"; {
	case lamp && buzzer:
		t.ZH, t.EN = t.ZH+"是否随后蜂鸣并闪灯三次?", t.EN+" Did it then beep and flash three times?"
	case lamp:
		t.ZH, t.EN = t.ZH+"是否随后闪灯三次?", t.EN+" Did its lamp then flash three times?"
	case buzzer:
		t.ZH, t.EN = t.ZH+"是否随后蜂鸣三次?", t.EN+" Did it then beep three times?"
	}
	return t
}

// testSlip prints a slip and is content when the printer has not said otherwise.
func (p *Printer) testSlip(ctx context.Context, number string) error {
	r := receipt.New(receipt.Title("打印测试"), receipt.Centered("printer test"))
	if number != "" {
		r.Add(receipt.Title(number))
	}
	r.Add(receipt.Pair(p.name, p.now().Format("2006-01-02 15:04:05")), receipt.Cut())
	_, err := p.Print(ctx, drivers.PrintJob{ID: "health", Receipt: r})
	return err
}

// slipNumber is four digits that a person reads back; they differ from slip to slip, so
// that an old slip is not taken for the new one.
func (p *Printer) slipNumber() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slip = (p.slip + 1237) % 10_000
	return fmt.Sprintf("%04d", p.slip)
}

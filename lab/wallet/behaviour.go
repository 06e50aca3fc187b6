package wallet

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Behaviour is one way in which a wallet can misbehave, for people and for tests.
type Behaviour struct {
	Fault Fault
	Phone bool // also by QR; the others need commands
	Text  pos.Text
}

// Behaviours lists every fault in a fixed order.
func Behaviours() []Behaviour {
	return []Behaviour{
		{PaysLess, true, pos.Text{ZH: "少付一分", EN: "signs one fen less than is asked for"}},
		{PaysOther, true, pos.Text{ZH: "为另一笔支付签名", EN: "signs for another payment"}},
		{ForOther, true, pos.Text{ZH: "为另一台终端签名", EN: "signs for another terminal"}},
		{Undated, true, pos.Text{ZH: "擅自延长有效期", EN: "signs a later expiry than was asked for"}},
		{Replays, true, pos.Text{ZH: "重放第一笔支付的凭证", EN: "answers with the promise of its first payment"}},
		{Rewinds, true, pos.Text{ZH: "重复使用上一次的计数(双花)", EN: "uses its last counter once more: double spending, a complete clone"}},
		{Clones, true, pos.Text{ZH: "证书为真、密钥为假(克隆)", EN: "has the certificate and a key of its own: a clone"}},
		{Alters, true, pos.Text{ZH: "签名被改动一位", EN: "changes a bit of the signature"}},
		{Suites, true, pos.Text{ZH: "冒称另一签名算法", EN: "names the other signature suite"}},
		{Garbles, true, pos.Text{ZH: "答非所问", EN: "answers with what is no evidence"}},
		{Crosses, true, pos.Text{ZH: "测试钱包为生产终端签名", EN: "is of the lab and signs for a live till"}},
		{Refuses, true, pos.Text{ZH: "余额不足,拒绝支付", EN: "has too little money and refuses"}},
		{Repeats, false, pos.Text{ZH: "对同一挑战再次签名", EN: "signs a second promise for a challenge that it signed before"}},
		{Swells, false, pos.Text{ZH: "应答远超长度", EN: "answers with far more than a promise"}},
		{Unversioned, false, pos.Text{ZH: "不认识签名指令", EN: "does not know the command to sign"}},
		{OwnPapers, false, pos.Text{ZH: "凭证中重复携带证书", EN: "puts the certificate into the promise again"}},
		{Silent, false, pos.Text{ZH: "应答没有状态字", EN: "answers without a status"}},
		{Hides, false, pos.Text{ZH: "否认已作的承诺", EN: "denies that it has kept promises"}},
		{Postpones, false, pos.Text{ZH: "先签名,下次才给出", EN: "signs, and answers only when it is asked for what it kept"}},
		{Unreadable, false, pos.Text{ZH: "证书无法识别", EN: "its certificate is no certificate"}},
	}
}

// ParseFault finds a behaviour by its name; the empty name is an honest wallet.
func ParseFault(name string) (Fault, error) {
	known := slices.ContainsFunc(Behaviours(), func(b Behaviour) bool { return string(b.Fault) == name })
	if name == "" || known {
		return Fault(name), nil
	}
	return "", pos.FieldError(pos.ErrBadRequest, "behaviour", fmt.Errorf("no behaviour %q: poslab wallet behaviours lists them", name))
}

// AnswerAs is Answer of a phone that misbehaves; NoFault is an honest one. Behaviours that
// need a card's commands are pos.ErrBadRequest.
func (w *Wallet) AnswerAs(f Fault, challenge string, now time.Time) (string, error) {
	asked, err := dcep.DecodeChallenge(challenge)
	if err != nil {
		return "", pos.FieldError(pos.ErrBadCode, "challenge", err)
	}
	byQR := slices.ContainsFunc(Behaviours(), func(b Behaviour) bool { return b.Fault == f && b.Phone })
	switch {
	case f != NoFault && !byQR:
		return "", pos.FieldError(pos.ErrBadRequest, "behaviour", fmt.Errorf("%q needs a card: :wallet DIR %s at poslab till", f, f))
	case asked.Env != pos.Lab && f != Crosses:
		return "", pos.FieldError(pos.ErrEnvironment, "challenge", fmt.Errorf("this wallet is of the lab, the till says %q", asked.Env))
	case now.UnixMilli() > asked.ExpiresMS:
		return "", pos.FieldError(pos.ErrExpired, "challenge", errors.New("the till's challenge is over"))
	case f == Refuses:
		return "", pos.NewError(pos.ErrInsufficient, errors.New("the wallet refuses, as ordered"))
	case f == Garbles:
		return dcep.EvidencePrefix + "bm8gZXZpZGVuY2U", nil
	case (f == Replays || f == Rewinds) && w.Counter() == 0:
		return "", pos.NewError(pos.ErrIllegalMove, errors.New("nothing was signed yet that could be used twice"))
	}
	c := w.Card(func() time.Time { return now })
	c.Misbehave(f)
	bare, err := c.promise(asked)
	if err != nil {
		return "", err
	}
	e, err := dcep.ParseBare(bare, w.Certificate())
	if err != nil {
		return "", fmt.Errorf("answer as %s: %w", f, err)
	}
	return dcep.EncodeEvidence(e)
}

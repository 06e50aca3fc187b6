package register

import (
	"fmt"

	"dcpos/pos"
)

// Reason is why an entrant was refused; programs branch on it, people read its text.
type Reason string

// The reasons.
const (
	NotOpen     Reason = "not_open"
	Closed      Reason = "closed"
	BadIdentity Reason = "bad_identity"
	BadCountry  Reason = "bad_country"
	Mismatch    Reason = "name_mismatch"
	BadDocument Reason = "bad_document"
	TooYoung    Reason = "too_young"
	BadPhone    Reason = "bad_phone"
	BadName     Reason = "bad_name"
	BadChoice   Reason = "bad_institution"
	NoPlace     Reason = "no_place"
	OutsideArea Reason = "outside"
	NotEligible Reason = "not_eligible"
	Taken       Reason = "taken"
	WrongCode   Reason = "wrong_code"
	TooOften    Reason = "too_often"
	NotThere    Reason = "not_there"
	NoSMS       Reason = "sms_failed"
)

// sentences are text and hint, Chinese and English.
func sentences(r Reason) [4]string {
	return map[Reason][4]string{
		NotOpen:     {"报名尚未开始", "registration has not opened", "请在公布的报名时间内再来", "come back within the published window"},
		Closed:      {"报名已结束", "registration has closed", "请在公布时间查询结果", "look up the result at the published time"},
		BadIdentity: {"证件号码有误", "the document number is not right", "请核对证件号码后重新填写", "check the number on the document and type it again"},
		BadCountry:  {"护照签发国家或地区有误", "the country that issued the passport is not right", "请填写护照上的三位字母代码,如 FRA", "give the three letters that are on the passport, such as FRA"},
		Mismatch:    {"姓名与证件号码不一致", "the name does not belong to this document", "请核对姓名与证件号码后重新填写", "check name and number on the document and type them again"},
		BadDocument: {"本活动不接受此类证件", "this campaign does not take this kind of document", "请使用活动公告列明的证件", "use a document named in the notice"},
		TooYoung:    {"未达到活动年龄要求", "below the campaign's age", "请查看活动公告的年龄要求", "see the age in the notice"},
		BadPhone:    {"手机号码有误", "the phone number is not right", "请填写中国内地手机号码", "give a mobile number of mainland China"},
		BadName:     {"姓名有误", "the name is not right", "请填写证件上的姓名", "give the name that is on the document"},
		BadChoice:   {"请选择运营机构", "choose an operating institution", "请从列表中选择一家运营机构", "choose one of the list"},
		NoPlace:     {"无法确定位置", "the place is not known", "请允许定位,到开阔处后重试", "allow location, go where the sky is open and try again"},
		OutsideArea: {"当前位置不在活动区域内", "this place is outside of the campaign's area", "请在活动区域内报名", "register inside the area"},
		NotEligible: {"不符合活动参加条件", "not eligible for this campaign", "请查看活动公告的参加条件", "see who may take part in the notice"},
		Taken:       {"该证件或手机号码已报名", "this document or phone is registered already", "每人仅可报名一次;请用原手机号码和查询码查询", "one entry a person; use the phone and the query code of the first one"},
		WrongCode:   {"确认码错误或已失效", "the confirmation code is wrong or no longer good", "请核对短信;失效后请重新提交获取新码", "check the message; if it has expired, submit again for a new one"},
		TooOften:    {"操作过于频繁", "too often", "请稍后再试", "wait a while and try again"},
		NoSMS:       {"短信发送失败", "the message could not be sent", "请稍后重新提交", "submit again in a moment"},
		NotThere:    {"没有找到报名记录", "no such registration", "请核对查询码", "check the query code"},
	}[r]
}

// Refusal says no to an entrant, and why. It is a *pos.Error with the entrant's
// sentences instead of the cashier's.
type Refusal struct {
	Reason Reason
	err    *pos.Error
}

func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.err.Error() }

// Unwrap gives the *pos.Error to answer with.
func (r *Refusal) Unwrap() error { return r.err }

// Is compares reasons.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && t.Reason == r.Reason
}

// refuse makes a Refusal. The cause must not quote what names a person: it is logged.
func refuse(reason Reason, field string, cause error) error {
	code := pos.ErrBadRequest
	switch reason { //nolint:exhaustive // the others are bad requests
	case NotOpen, Closed, OutsideArea, NotEligible, TooYoung, BadDocument:
		code = pos.ErrForbidden
	case Taken:
		code = pos.ErrKeyConflict
	case NoSMS:
		code = pos.ErrInstitution
	case TooOften:
		code = pos.ErrTooMany
	case NotThere:
		code = pos.ErrNotFound
	}
	if cause == nil {
		cause = fmt.Errorf("refused: %s", reason)
	}
	e := pos.FieldError(code, field, cause)
	s := sentences(reason)
	e.Text, e.Hint = pos.Text{ZH: s[0], EN: s[1]}, pos.Text{ZH: s[2], EN: s[3]}
	return &Refusal{reason, e}
}

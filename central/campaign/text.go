package campaign

import "dcpos/pos"

// Text is what a person reads.
func (d Document) Text() pos.Text {
	switch d {
	case ResidentID:
		return pos.Text{ZH: "居民身份证", EN: "Resident identity card"}
	case PermanentResidence:
		return pos.Text{ZH: "外国人永久居留身份证", EN: "Foreign permanent resident card"}
	case Passport:
		return pos.Text{ZH: "护照", EN: "Passport"}
	case HKMacaoPermit:
		return pos.Text{ZH: "港澳居民来往内地通行证 / 居住证", EN: "Hong Kong / Macao travel or residence permit"}
	case TaiwanPermit:
		return pos.Text{ZH: "台湾居民来往大陆通行证 / 居住证", EN: "Taiwan travel or residence permit"}
	}
	return pos.Text{ZH: string(d), EN: string(d)}
}

// Text is what a person reads.
func (p Presence) Text() pos.Text {
	switch p {
	case Anywhere:
		return pos.Text{ZH: "不限地点", EN: "anywhere"}
	case AtRegistration:
		return pos.Text{ZH: "报名时须在区域内", EN: "in the area when registering"}
	case Resident:
		return pos.Text{ZH: "本地居民", EN: "residents"}
	}
	return pos.Text{ZH: string(p), EN: string(p)}
}

// Text is what a person reads.
func (c Channel) Text() pos.Text {
	switch c {
	case InStore:
		return pos.Text{ZH: "门店", EN: "in store"}
	case Online:
		return pos.Text{ZH: "线上", EN: "online"}
	}
	return pos.Text{ZH: string(c), EN: string(c)}
}

// Text is what a person reads.
func (w Who) Text() pos.Text {
	switch w {
	case Anyone:
		return pos.Text{ZH: "所有人", EN: "anyone"}
	case Residents:
		return pos.Text{ZH: "居民", EN: "residents"}
	case Visitors:
		return pos.Text{ZH: "游客", EN: "visitors"}
	case Foreigners:
		return pos.Text{ZH: "外籍人士", EN: "foreigners"}
	}
	return pos.Text{ZH: string(w), EN: string(w)}
}

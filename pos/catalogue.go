package pos

// catalogue holds, for each code, what happened and what to do: Chinese, English, Chinese, English.
func catalogue() map[Code][4]string {
	return map[Code][4]string{
		ErrBadRequest: {"请求内容有误", "the request is not right", "请核对后重新提交", "check the named field and send again"},
		ErrNotFound:   {"没有找到", "not found", "请核对编号", "check the id"},
		ErrKeyConflict: {
			"同一请求编号已用于另一笔内容", "this idempotency key was used with another body",
			"如为新交易,请使用新的请求编号", "use a new key for a new payment",
		},
		ErrOrderOpen: {
			"该订单有一笔支付正在进行", "this order has a payment in progress",
			"请等待其结果,或先取消", "wait for its result or cancel it first",
		},
		ErrOrderUnknown: {
			"该订单有一笔支付结果未知", "this order has a payment whose result is unknown",
			"请勿重复收款;确需再次收款须由收银员确认", "do not charge again; a new attempt needs the cashier's confirmation",
		},
		ErrOrderPaid: {
			"超出订单应付金额", "the paid sum would exceed the order",
			"该订单已付清或金额过大,请核对", "the order is paid already or the amount is too large; check it",
		},
		ErrIllegalMove:  {"当前状态不允许此操作", "not possible in this state", "请刷新后查看当前状态", "refresh and look at where it stands now"},
		ErrNoOperator:   {"收银员未登录", "no operator is signed in", "请先用工号和 PIN 登录", "sign in with operator number and PIN first"},
		ErrBadPIN:       {"工号或 PIN 不正确", "wrong operator number or PIN", "请重试;多次错误将暂时锁定", "try again; it locks for a while after several errors"},
		ErrForbidden:    {"没有权限", "not allowed", "请使用有权限的账号", "use an account that has the right"},
		ErrOffline:      {"当前无法连接中心", "the centre cannot be reached", "可使用离线收款,或稍后再试", "take the payment offline, or try again later"},
		ErrOfflineCode:  {"离线时不能使用付款码", "a payment code cannot be used offline", "请客户扫描本机的离线挑战码,或使用其他方式", "let the customer scan this till's offline challenge, or pay otherwise"},
		ErrExpired:      {"请求已过期", "the request has expired", "请重新发起收款", "start the payment again"},
		ErrCodeUsed:     {"付款码已使用", "this payment code was used already", "请客户刷新付款码", "ask the customer for a fresh code"},
		ErrBadCode:      {"无法识别的条码", "this code is not understood", "请客户打开数字人民币付款码后重新扫描", "ask for the digital-yuan payment code and scan again"},
		ErrLimitPayment: {"超过单笔离线限额", "over the offline limit per payment", "请恢复网络后收款,或降低金额", "wait for the network, or take a smaller amount"},
		ErrLimitTotal:   {"离线累计金额已达上限", "the stored offline total is at its limit", "请恢复网络上传后再离线收款", "reconnect and upload before taking more offline"},
		ErrLimitCount:   {"离线笔数已达上限", "the stored offline count is at its limit", "请恢复网络上传后再离线收款", "reconnect and upload before taking more offline"},
		ErrLimitAge:     {"最早一笔离线记录已超时", "the oldest offline record is too old", "请先恢复网络上传", "reconnect and upload first"},
		ErrLimitWallet:  {"该钱包离线额度已用完", "this wallet's offline allowance is used up", "请客户换用其他方式", "ask the customer to pay otherwise"},
		ErrClock:        {"本机时间不可信", "this till's clock cannot be trusted", "请联网校时后再离线收款", "connect so that the clock is checked, then go on"},
		ErrEnvironment:  {"测试与正式环境不能混用", "test and live must not be mixed", "请检查证书与配置", "check certificates and configuration"},
		ErrInsufficient: {"余额不足", "not enough balance", "请客户换用其他方式", "ask the customer to pay otherwise"},
		ErrInstitution:  {"运营机构暂不可用", "the operating institution is not available", "请稍后再试或换用其他方式", "try again later or pay otherwise"},
		ErrRefundTooMuch: {
			"退款金额超过可退金额", "the refund exceeds what can be refunded",
			"请核对原支付与已退金额", "check the payment and what was refunded before",
		},
		ErrNotRefundable: {"该支付当前不可退款", "this payment cannot be refunded now", "请等待入账后再退款", "wait until it is credited"},
		ErrChainBroken: {
			"本机账簿校验失败", "the journal of this till does not verify",
			"请勿删除文件;运行 posctl journal export --salvage,并由中心开启新纪元",
			"do not delete the file; run posctl journal export --salvage and let the centre open a new epoch",
		},
		ErrFork:        {"同一序号出现两份不同记录", "two different records have one sequence number", "本机已隔离,请联系中心", "this till is quarantined; call the centre"},
		ErrStorage:     {"本机存储不可用", "this till cannot store", "停止收款,请检查磁盘空间并联系技术人员", "stop taking payments; check the disk and call store IT"},
		ErrSchema:      {"数据文件版本不符", "the data file has another version", "请使用匹配的程序版本,勿降级", "use the program version that made it; do not downgrade"},
		ErrNotEnrolled: {"本机尚未注册", "this till is not enrolled", "请用一次性注册码运行 posctl enroll", "run posctl enroll with a one-time code"},
		ErrQuarantined: {"本机已被隔离", "this till is quarantined", "请联系中心处理", "call the centre"},
		ErrKeyDevice:   {"签名密钥不可用", "the signing key cannot be used", "请联系店内技术人员检查安全芯片", "let store IT look at the security chip"},
		ErrUnsentMoney: {"还有未上传的交易", "there is unsent money", "请先联网上传,或封存导出", "connect and upload first, or export it sealed"},
		ErrPrinter:     {"打印机未就绪", "the printer is not ready", "请检查纸张、上盖与连接", "check paper, cover and cable"},
		ErrTooLarge:    {"内容过大", "too large", "请缩短后重试", "make it shorter and try again"},
		ErrTooMany:     {"请求过于频繁", "too many requests", "请稍后再试", "wait a little and try again"},
		ErrConfig:      {"配置有误", "the configuration is not right", "请按提示修改配置文件", "mend the configuration file as the message says"},
		ErrInternal:    {"内部错误", "internal error", "请联系店内技术人员", "call store IT"},
		ErrDeclinedGeneral: {
			"运营机构未同意支付", "the operating institution declined",
			"请客户换用其他方式", "ask the customer to pay otherwise",
		},
		ErrNotSent: {"请求未发出,未扣款", "the question never left; nothing was charged", "可重新收款或转离线收款", "take the payment again, or offline"},
	}
}

// walletCatalogue is the catalogue's part about wallets that pay offline.
func walletCatalogue() map[Code][4]string {
	return map[Code][4]string{
		ErrEvidence:       {"离线凭证无效", "the offline evidence is not valid", "请客户重新扫描挑战码", "let the customer scan the challenge again"},
		ErrEvidenceSeen:   {"该离线凭证已使用", "this offline evidence was used already", "请勿重复受理", "do not accept it again"},
		ErrEvidenceAmount: {"钱包签署的金额与应付金额不符", "the wallet signed another amount than is due", "未收款;请客户重新支付应付金额", "nothing was taken; let the customer pay the amount due"},
		ErrEvidenceReplay: {"钱包给出的是旧的应答", "the wallet gave the answer to another challenge", "未收款;请让钱包应答当前这笔", "nothing was taken; let the wallet answer this payment"},
		ErrEvidenceLate:   {"挑战码已过期", "the challenge was answered too late", "未收款;请用新的挑战码再付一次", "nothing was taken; pay again with the new challenge"},
		ErrEvidenceOther:  {"该凭证是开给另一台终端的", "the evidence is made out to another terminal", "未收款;请让客户在本机重新支付", "nothing was taken; let the customer pay at this terminal"},
		ErrEvidenceForged: {"钱包签名不符,可能是复制的钱包", "the signature is not this wallet's; it may be a copy", "未收款;请换用其他方式并告知主管", "nothing was taken; pay otherwise and tell the supervisor"},
		ErrWalletExpired:  {"钱包证书已过期或尚未生效", "the wallet's certificate has expired or is not valid yet", "未收款;请客户联网更新钱包,或换用其他方式", "nothing was taken; the customer renews the wallet online, or pays otherwise"},
		ErrWalletRevoked:  {"该钱包已被吊销", "this wallet is revoked", "未收款;请换用其他方式", "nothing was taken; let the customer pay otherwise"},
		ErrWalletUnknown:  {"钱包不属于受信任的运营机构", "the wallet belongs to no institution that this till trusts", "未收款;请换用其他方式", "nothing was taken; let the customer pay otherwise"},
		ErrTapTorn:        {"卡片离开过早,尚未完成", "the card left too early; it is not finished", "请把同一张卡或手机再贴一次并保持不动,不会重复扣款", "hold the same card or phone again and keep it there; it is charged once only"},
		ErrTapMany:        {"感应区内有多张卡", "several cards lie on the reader", "请只留一张卡或手机", "hold one card or phone alone"},
		ErrTapNoWallet:    {"该卡上没有可离线支付的钱包", "this card has no wallet that can pay offline here", "请换用数字人民币硬钱包,或扫码支付", "use a digital-yuan wallet card, or scan the code"},
		ErrTapRefused:     {"钱包拒绝支付", "the wallet refused to pay", "可能余额不足或已锁定;请换用其他方式", "it may hold too little or be locked; let the customer pay otherwise"},
	}
}

// policyCatalogue is the catalogue's part about what the centre lets a till do offline.
func policyCatalogue() map[Code][4]string {
	return map[Code][4]string{
		ErrLimitSplit:      {"同一钱包短时间内多笔支付,合计超过单笔离线限额", "one wallet's payments in a short time exceed together the limit of one payment", "请勿拆分收款;请恢复网络后收款,或换用其他方式", "do not split a sale; wait for the network, or let the customer pay otherwise"},
		ErrLimitTier:       {"超过该类钱包的限额", "over the limit of this class of wallet", "请降低金额,或请客户换用其他钱包", "take a smaller amount, or let the customer use another wallet"},
		ErrPolicyNone:      {"本机尚无有效的离线收款规则", "this till holds no policy for offline payments that is in force", "请先联网获取规则,再离线收款", "connect once so that the policy comes, then go on"},
		ErrPolicyExpired:   {"离线收款规则已到期", "the policy for offline payments has expired", "请联网获取新规则后再离线收款", "connect so that a new policy comes, then go on"},
		ErrPolicyForged:    {"离线规则未经中心签名", "the policy is not signed by this till's centre", "已拒绝;请联系中心核查", "it is refused; call the centre"},
		ErrPolicyOld:       {"离线规则版本过旧,疑似回退", "the policy is older than one that this till has taken", "已拒绝;请联系中心核查", "it is refused; call the centre"},
		ErrPolicyScope:     {"离线规则不是发给本机的", "the policy is for another store or terminal", "已拒绝;请联系中心核查", "it is refused; call the centre"},
		ErrRevocationOld:   {"钱包吊销名单缺失或过旧", "the list of revoked wallets is missing or too old", "请先联网更新,再离线收款", "connect once so that it is renewed, then go on"},
		ErrEnvelopeUnknown: {"本机不认识该红包活动", "this till does not know the envelope's campaign", "未收款;请客户不用红包支付,或恢复网络后再试", "nothing was taken; pay without the envelope, or once the network is back"},
		ErrEnvelopeScope:   {"红包不能在本店或该类商品使用", "the envelope is not for this shop or these goods", "未收款;请客户不用红包支付", "nothing was taken; let the customer pay without the envelope"},
		ErrEnvelopeWindow:  {"不在红包使用期内", "this is not within the envelope's time", "未收款;请客户不用红包支付", "nothing was taken; let the customer pay without the envelope"},
		ErrEnvelopeSum:     {"红包金额有误", "the envelopes' amounts are not right", "未收款;请客户重新支付", "nothing was taken; let the customer pay again"},
		ErrCatalogueOld:    {"红包活动目录缺失或过旧", "the catalogue of campaigns is missing or too old", "未收款;请客户不用红包支付,或恢复网络后再试", "nothing was taken; pay without the envelope, or once the network is back"},
		ErrForwardOff:      {"本机不做先记后扣", "this till does not store codes to be charged later", "未收款;请恢复网络后再扫,或用离线挑战码、其他方式收款", "nothing was taken; wait for the network, or let the customer pay by this till's offline challenge or otherwise"},
		ErrForwardUnknown:  {"该机构未将此凭证列为可先记后扣,或目录过旧", "the institution does not mark this code as one that may be charged later, or the catalogue is too old", "未收款;请恢复网络后再扫,或用离线挑战码、其他方式收款", "nothing was taken; wait for the network, or let the customer pay by this till's offline challenge or otherwise"},
		ErrFareAgain:       {"刚刚已刷过", "this wallet has just paid", "请通行;如需再付一人,请稍后再刷", "go through; to pay for another person, wait a moment and tap again"},
	}
}

// shopCatalogue is the catalogue's part about merchants' web shops.
func shopCatalogue() map[Code][4]string {
	return map[Code][4]string{
		ErrSignature:     {"请求签名不正确", "the request's signature does not hold", "请按接口文档核对密钥编号、被签内容与正文摘要", "check the key, what is covered and the digest of the body, as the API's description says"},
		ErrSignatureTime: {"请求时间超出允许范围", "the request was not signed just now", "请校准服务器时钟后重新签名提交", "set the server's clock right, sign anew and send again"},
		ErrReplay:        {"该请求已收到过", "this very request was received before", "重试请使用新的随机数重新签名,请求编号保持不变", "to try again, sign anew with another nonce and keep the idempotency key"},
		ErrShopLimit:     {"超过该网店的限额", "over the limit of this web shop", "请降低金额,或联系收款中心调整限额", "take a smaller amount, or let the centre raise the limit"},
		ErrShopCategory:  {"该网店不能售卖此类商品", "this web shop may not sell goods of this category", "请使用已登记的商品类别,或联系收款中心登记", "use a registered category, or let the centre register it"},
	}
}

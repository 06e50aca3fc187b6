package screen

import "dcpos/pos"

// texts are the sentences of the pages. The words of states, errors and findings are
// not here: they come from pos and from the till. {name} stands for a value.
func texts() map[string]pos.Text {
	all := map[string]pos.Text{}
	for _, part := range []map[string]pos.Text{frameTexts(), saleTexts(), listTexts(), kioskTexts()} {
		for k, v := range part {
			all[k] = v
		}
	}
	return all
}

func frameTexts() map[string]pos.Text {
	return map[string]pos.Text{
		"cashier":           {ZH: "收银", EN: "Cashier"},
		"language":          {ZH: "切换为英文 Switch to English", EN: "切换为中文 Switch to Chinese"},
		"loading":           {ZH: "正在启动…", EN: "Starting…"},
		"link_on":           {ZH: "已连接中心", EN: "connected"},
		"link_off":          {ZH: "未连接中心", EN: "not connected"},
		"link_none":         {ZH: "收银程序无响应", EN: "till does not answer"},
		"unreachable":       {ZH: "收银程序无响应", EN: "The till program does not answer"},
		"unreachable_hint":  {ZH: "请稍候;再次按下不会重复收款。若持续,请联系店内技术人员", EN: "wait a moment; pressing again does not charge twice. If it stays so, call store IT"},
		"locked":            {ZH: "此页面已失效", EN: "This page is no longer valid"},
		"locked_hint":       {ZH: "请从桌面图标重新打开收银页面", EN: "open the cashier page again from its icon"},
		"offline_title":     {ZH: "离线", EN: "Offline"},
		"offline_text":      {ZH: "仅可离线收款,付款码与扫码须等网络恢复", EN: "only wallets that pay offline"},
		"stored_total":      {ZH: "离线已收", EN: "taken"},
		"stored_count":      {ZH: "笔数", EN: "count"},
		"stored_left":       {ZH: "剩余额度 / 笔数", EN: "room left"},
		"stored_age":        {ZH: "最早一笔", EN: "oldest"},
		"age_minutes":       {ZH: "{m} 分钟", EN: "{m} min"},
		"age_hours":         {ZH: "{h} 小时 {m} 分", EN: "{h} h {m} min"},
		"uploading":         {ZH: "正在上传离线收款:{n} 笔,{total}", EN: "Uploading offline payments: {n}, {total}"},
		"device":            {ZH: "{name}:{text}", EN: "{name}: {text}"},
		"device_scanner":    {ZH: "扫码枪", EN: "Scanner"},
		"device_posprinter": {ZH: "打印机", EN: "Printer"},
		"seen":              {ZH: "知道了", EN: "OK"},
		"operator":          {ZH: "工号", EN: "Operator number"},
		"pin":               {ZH: "PIN 密码", EN: "PIN"},
		"sign_in":           {ZH: "登录", EN: "Sign in"},
		"sign_in_title":     {ZH: "收银员登录", EN: "Sign in to sell"},
		"sign_out":          {ZH: "退出", EN: "Sign out"},
		"sign_out_title":    {ZH: "退出登录?", EN: "Sign out?"},
		"sign_out_text":     {ZH: "退出后须重新登录才能收款。", EN: "Nobody can take payments until somebody signs in."},
		"no":                {ZH: "返回", EN: "Back"},
	}
}

func saleTexts() map[string]pos.Text {
	return map[string]pos.Text{
		"sale":                {ZH: "收款", EN: "Sale"},
		"tab_pay":             {ZH: "收款", EN: "Sale"},
		"amount":              {ZH: "金额(元)", EN: "Amount in yuan"},
		"amount_missing":      {ZH: "请输入金额", EN: "Enter an amount"},
		"amount_missing_hint": {ZH: "例如 12.34", EN: "such as 12.34"},
		"order":               {ZH: "单号", EN: "Order"},
		"order_auto":          {ZH: "自动生成,可不填", EN: "made by itself"},
		"keypad":              {ZH: "数字键盘", EN: "Keypad"},
		"key_back":            {ZH: "退格", EN: "Delete one"},
		"key_clear":           {ZH: "清除", EN: "Clear"},
		"key_point":           {ZH: "小数点", EN: "Point"},
		"take":                {ZH: "收款", EN: "Take payment"},
		"take_qr":             {ZH: "客户扫码", EN: "Show QR"},
		"take_offline":        {ZH: "离线收款", EN: "Offline by wallet"},
		"keys":                {ZH: "回车键收款 · Esc 清除", EN: "Enter takes the payment · Esc clears"},
		"keys_next":           {ZH: "回车键开始下一笔", EN: "Enter starts the next sale"},
		"offline_ways":        {ZH: "网络恢复前仅支持双离线钱包", EN: "until the network is back, only wallets that can pay offline"},
		"limits_stop":         {ZH: "离线额度已用完", EN: "The offline limits are used up"},
		"limits_stop_hint":    {ZH: "请恢复网络后再收款", EN: "reconnect first"},
		"limit_payment":       {ZH: "超过单笔离线限额", EN: "Above the limit of one offline payment"},
		"limit_payment_hint":  {ZH: "请待网络恢复,或改用其他方式", EN: "wait for the network or use another way"},
		"limit_total":         {ZH: "超过剩余离线额度", EN: "Above what is left of the offline limit"},
		"limit_total_hint":    {ZH: "请恢复网络上传后再收款", EN: "reconnect so that payments are uploaded"},
		"scan_code":           {ZH: "请扫客户付款码", EN: "Scan the customer's code"},
		"scan_code_text":      {ZH: "客户打开数字人民币钱包,出示付款码", EN: "The customer shows the wallet's payment code"},
		"code_typed":          {ZH: "扫不出?输入付款码数字", EN: "Cannot scan? Type the code's digits"},
		"code_example":        {ZH: "付款码", EN: "payment code"},
		"submit":              {ZH: "提交", EN: "Submit"},
		"cancel":              {ZH: "取消", EN: "Cancel"},
		"swap_qr":             {ZH: "改为客户扫码", EN: "Show QR instead"},
		"asking_text":         {ZH: "客户可能需要在手机上确认", EN: "The customer may have to confirm on the phone"},
		"qr_coming":           {ZH: "正在获取二维码…", EN: "Fetching the QR…"},
		"qr_alt":              {ZH: "供客户扫描的二维码", EN: "QR for the customer to scan"},
		"show_qr":             {ZH: "请客户扫码支付", EN: "Let the customer scan"},
		"show_challenge":      {ZH: "请客户用钱包扫此码", EN: "Let the wallet scan this"},
		"show_or_tap":         {ZH: "请客户将卡或手机贴近感应区,或用钱包扫此码", EN: "Hold the card or phone to the reader, or let the wallet scan this"},
		"answer_typed":        {ZH: "再扫客户手机上的应答码", EN: "Then scan the phone's answer"},
		"answer_example":      {ZH: "钱包应答码", EN: "the wallet's answer"},
		"valid":               {ZH: "剩余", EN: "valid for"},
		"retry":               {ZH: "重试", EN: "Try again"},
		"unknown_text":        {ZH: "系统正在向机构查询,结果会自动显示。", EN: "The institution is being asked; the result appears by itself."},
		"accepted_text":       {ZH: "已离线受理,联网后入账。", EN: "Accepted offline; it is credited once connected."},
		"number":              {ZH: "编号", EN: "No."},
		"institution":         {ZH: "机构", EN: "Institution"},
		"txn":                 {ZH: "交易号", EN: "Transaction"},
		"next":                {ZH: "下一笔", EN: "Next sale"},
		"again":               {ZH: "再收一次", EN: "Take again"},
		"again_offline":       {ZH: "离线收款", EN: "Offline by wallet"},
		"refresh":             {ZH: "立即查询", EN: "Ask now"},
		"print":               {ZH: "打印小票", EN: "Print receipt"},
		"again_title":         {ZH: "上一笔结果未知,仍要再收一次?", EN: "The last result is unknown. Take the payment again?"},
		"again_text":          {ZH: "上一笔可能已经扣款。再收一次可能重复扣款;若两笔都成功,须为其中一笔退款。此确认会被记录。", EN: "The customer may have been charged already and could be charged twice; if both succeed, refund one. This confirmation is recorded."},
		"again_yes":           {ZH: "确认再收", EN: "Take again"},
		"giveup_title":        {ZH: "放弃这笔收款?", EN: "Give this payment up?"},
		"giveup_text":         {ZH: "客户可能已经付款。放弃后如已扣款,将自动退回。", EN: "The customer may have paid already. Money that still arrives is refunded by itself."},
		"giveup_yes":          {ZH: "放弃", EN: "Give up"},
	}
}

func listTexts() map[string]pos.Text {
	return map[string]pos.Text{
		"payments":      {ZH: "收款记录", EN: "Payments"},
		"today":         {ZH: "今日", EN: "Today"},
		"find":          {ZH: "扫小票或输入单号", EN: "Scan a receipt or type a number"},
		"show_all":      {ZH: "全部", EN: "All"},
		"none_yet":      {ZH: "还没有收款", EN: "No payments yet"},
		"none_found":    {ZH: "没有找到", EN: "Nothing found"},
		"refund":        {ZH: "退款", EN: "Refund"},
		"refund_title":  {ZH: "退款 · {order}", EN: "Refund · {order}"},
		"refund_most":   {ZH: "最多可退 {most}", EN: "At most {most}"},
		"refund_amount": {ZH: "退款金额(元)", EN: "Amount in yuan"},
		"refund_range":  {ZH: "请输入 0.01 至 {most} 之间的金额", EN: "Enter an amount from 0.01 to {most}"},
		"refund_yes":    {ZH: "确认退款", EN: "Refund"},
		"print_title":   {ZH: "补打小票?", EN: "Print the receipt again?"},
		"print_text":    {ZH: "单号 {order}。小票将标明“补打”。", EN: "Order {order}. The paper will say that it is a duplicate."},
		"print_yes":     {ZH: "打印", EN: "Print"},

		"prints_waiting": {ZH: "待打印 {n} 张", EN: "receipts waiting: {n}"},
		"paper_of":       {ZH: "单号 {order} · {amount} · 编号 {number}", EN: "Order {order} · {amount} · No. {number}"},
		"paper_test":     {ZH: "自检小票", EN: "Self-test ticket"},
		"came_out":       {ZH: "小票完整打出来了吗?", EN: "Did the whole receipt come out?"},
		"came_out_yes":   {ZH: "是,已打出", EN: "Yes, it is here"},
		"came_out_no":    {ZH: "没有,补打", EN: "No, print again"},
		"still_wanted":   {ZH: "还要打印这张小票吗?", EN: "Is this receipt still wanted?"},
		"print_still":    {ZH: "打印", EN: "Print"},
		"print_drop":     {ZH: "不打印", EN: "Do not print"},
		"more_asks":      {ZH: "还有 {n} 张待确认", EN: "{n} more to answer"},
	}
}

func kioskTexts() map[string]pos.Text {
	return map[string]pos.Text{
		"kiosk_welcome":      {ZH: "欢迎", EN: "Welcome"},
		"kiosk_ready":        {ZH: "可使用数字人民币付款", EN: "Pay with digital yuan here"},
		"kiosk_ready_text":   {ZH: "请先选好商品并结算", EN: "Choose your goods and check out first"},
		"kiosk_offline":      {ZH: "网络中断,目前仅支持双离线钱包", EN: "The network is down: only wallets that can pay offline"},
		"kiosk_offline_text": {ZH: "其他方式请到人工收银台", EN: "For other ways go to the staffed counter"},
		"kiosk_closed":       {ZH: "暂停服务", EN: "Out of service"},
		"kiosk_closed_text":  {ZH: "请到人工收银台", EN: "Please go to the staffed counter"},
		"to_pay":             {ZH: "应付", EN: "To pay"},
		"choose":             {ZH: "请选择付款方式", EN: "How would you like to pay?"},
		"way_code":           {ZH: "出示付款码", EN: "Show my code"},
		"way_qr":             {ZH: "扫描二维码", EN: "Scan a QR"},
		"way_offline":        {ZH: "离线付款", EN: "Pay offline"},
		"hold_code":          {ZH: "请将付款码对准扫码口", EN: "Hold your payment code to the scanner"},
		"hold_code_text":     {ZH: "打开数字人民币钱包,出示付款码", EN: "Open your digital-yuan wallet and show its payment code"},
		"paying":             {ZH: "正在付款,请稍候", EN: "Paying, one moment"},
		"paying_text":        {ZH: "如手机提示,请确认付款", EN: "Confirm on your phone if it asks"},
		"scan_qr":            {ZH: "请用手机扫码付款", EN: "Scan with your phone to pay"},
		"scan_qr_text":       {ZH: "打开数字人民币钱包,点“扫一扫”", EN: "Open your digital-yuan wallet and tap Scan"},
		"offline_scan":       {ZH: "第一步:用钱包扫描此码", EN: "First: scan this with your wallet"},
		"offline_tap":        {ZH: "请将卡或手机贴近感应区,或用钱包扫描此码", EN: "Hold your card or phone to the reader, or scan this with your wallet"},
		"offline_answer":     {ZH: "第二步:将手机上的应答码对准扫码口", EN: "Then: hold the answer on your phone to the scanner"},
		"thanks":             {ZH: "谢谢惠顾", EN: "Thank you"},
		"accepted_customer":  {ZH: "付款已受理,请保留小票", EN: "Your payment is accepted; please keep the receipt"},
		"do_not_pay":         {ZH: "请勿重复支付", EN: "Do not pay again"},
		"unknown_customer":   {ZH: "结果查询中。请记下编号并保留小票,或呼叫店员", EN: "The result is being asked. Note the number, keep the slip, or call staff"},
		"declined_customer":  {ZH: "未扣款。请重试或呼叫店员", EN: "Nothing was charged. Try again or call staff"},
		"call_staff":         {ZH: "呼叫店员", EN: "Call staff"},
		"staff_called":       {ZH: "需要店员协助", EN: "Staff needed"},
		"staff_text":         {ZH: "请稍候,店员马上就到", EN: "Please wait here, somebody is coming"},
		"staff_here":         {ZH: "店员已到", EN: "Staff is here"},
		"done":               {ZH: "完成", EN: "Done"},
		"receipt_printing":   {ZH: "正在打印小票…", EN: "Your receipt is being printed…"},
		"receipt_later":      {ZH: "小票暂时无法打印,请记下编号", EN: "The receipt cannot be printed right now; please note the number"},
	}
}

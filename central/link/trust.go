package link

// TrustChanged sends the present trust, and with it the wallets that are revoked, to every
// terminal that has spoken since the start. Whoever is not connected asks for it when it
// connects. It returns when all are sent; a till that misses it asks by itself.
func (l *Link) TrustChanged() {
	for _, terminal := range l.heard.terminals() {
		if l.ctx.Err() != nil {
			return
		}
		if err := l.nudge(terminal, 0); err != nil {
			l.log.WarnContext(l.ctx, "trust is not sent", "terminal", terminal, "err", err)
		}
	}
}

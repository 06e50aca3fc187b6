// Replaces the overview's figures with what the event stream says. Without a script
// the page shows them as they were when it was loaded.
import { listen, yuan } from '/assets/events.js';

const put = (selector, value) => document.querySelectorAll(selector).forEach((e) => { e.textContent = value; });

listen('/console/events', {
  totals: (t) => {
    for (const key of ['heard', 'tills', 'gaps', 'quarantined', 'unsent', 'today_count']) put(`[data-total=${key}]`, t[key]);
    put('[data-yuan=today_paid]', '¥' + yuan(t.today_paid));
    for (const key of ['payments', 'refunds']) put(`[data-open=${key}]`, t.open[key]);
  },
}, (up) => { document.getElementById('link').className = 'dot ' + (up ? 'ok' : 'bad'); });

// The latest payments: find one, give money back, print again.
import { h, fill, icon } from '/assets/dom.js';
import { call, clock, config, money, put, Refusal, say, speech, t, till } from './till.js';
import { sale, show, stateOf } from './sale.js';
import { refund, refundable, remaining, reprint } from './dialog.js';
import { tell } from './banner.js';

let found = null; // ids that a search gave; null: the latest

export async function find(text) {
  text = text.trim();
  if (!text) { found = null; draw(); return; }
  try {
    const id = /^dcpos:pay:([0-9a-f-]{36})/i.exec(text)?.[1];
    const list = id ? [await call('GET', `/v1/payments/${id}`)] : (await call('GET', `/v1/payments?limit=50&text=${encodeURIComponent(text)}`)).payments;
    found = list.map((p) => put(p).id);
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    found = [];
    tell(`${say(e.text)} · ${say(e.hint)}`, 'bad');
  }
  draw();
}

const refundBadge = (r) => h(`span.badge.${r.state === 'refunded' ? 'ok' : r.state === 'declined' ? 'bad' : 'warn'}`,
  { text: `${say(config.refunds[r.state])} ${money(r.amount)}` });

function row(p) {
  const may = till.status && (!till.status.sign_in || till.status.operator);
  return h('li', { 'data-id': p.id, 'data-state': p.state, 'aria-current': p.id === sale.id ? 'true' : undefined },
    h('button.open', { type: 'button', onclick: () => show(p), 'aria-label': `${clock(p.created_ms)} ${p.order_id} ${money(p.amount)} ${say(stateOf(p).text)}` },
      h('span.time', { text: clock(p.created_ms) }),
      h('span.what', {}, h('span.order', { text: p.order_id }),
        h('span.badges', {}, h('span.badge' + (stateOf(p).tone ? '.' + stateOf(p).tone : ''), { text: say(stateOf(p).text) }), ...(p.refunds ?? []).map(refundBadge))),
      h('b.num', { text: money(p.amount) })),
    h('span.tools', {},
      may && refundable(p) && remaining(p) > 0 && h('button.touch.tool', { type: 'button', 'data-do': 'refund', onclick: () => refund(p, tell) }, h('span', { text: t('refund') })),
      may && p.state !== 'created' && h('button.touch.tool', { type: 'button', 'data-do': 'print', 'aria-label': t('print'), title: t('print'), onclick: () => reprint(p, tell, true) }, icon('print'))));
}

const today = () => new Date(Date.now() + till.skew + 8 * 3600000).toISOString().slice(0, 10);

let drawn = '';
export function draw() {
  const list = [...till.payments.values()].filter((p) => !found || found.includes(p.id))
    .sort((a, b) => b.created_ms - a.created_ms).slice(0, 60);
  const key = JSON.stringify([speech.lang, sale.id, found, till.status?.operator?.number, till.status?.sign_in, today(), list.map((p) => [p.id, p.state, p.last_seq, p.late_paid])]);
  if (key === drawn) return;
  drawn = key;
  const items = [];
  let date = '';
  for (const p of list) {
    if (p.business_date !== date) {
      date = p.business_date;
      items.push(h('li.date', { text: date === today() ? `${t('today')} ${date}` : date }));
    }
    items.push(row(p));
  }
  const shell = document.getElementById('payments');
  const top = shell.scrollTop;
  fill(shell, ...(items.length ? items : [h('li.empty', { text: t(found ? 'none_found' : 'none_yet') })]));
  shell.scrollTop = top;
  document.getElementById('all').hidden = !found;
}

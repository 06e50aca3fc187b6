// Questions that stop everything else until they are answered.
import { h, fill } from '/assets/dom.js';
import { fen, yuan } from '/assets/events.js';
import { call, money, put, Refusal, say, t } from './till.js';

const box = () => document.getElementById('dialog');
export const asking = () => box().open;

// open shows a form and resolves with the button's value; "" when it was dismissed.
function open(...content) {
  const d = box();
  return new Promise((resolve) => {
    fill(d, h('form', { method: 'dialog' }, ...content));
    d.returnValue = '';
    d.onclose = () => resolve(d.returnValue);
    d.showModal();
  });
}

const buttons = (yes, danger) => h('div.answers', {},
  h('button.touch', { type: 'button', text: t('no'), id: 'no', onclick: () => box().close('') }),
  h(danger ? 'button.touch.danger' : 'button.touch.primary', { value: 'yes', type: 'submit', text: yes, id: 'yes' }));

export async function confirm({ title, text, yes, danger, values }) {
  return await open(h('h2', { text: t(title, values) }), h('p', { text: t(text, values) }), buttons(t(yes, values), danger)) === 'yes';
}

// refundable leaves out what was paid late: the centre refunds that by itself.
export const refundable = (p) => p.state === 'paid' || p.state === 'credited';
export const remaining = (p) => p.amount - (p.refunds ?? []).reduce((sum, r) => sum + (r.state === 'declined' ? 0 : r.amount), 0);

// refund asks how much, and sends the same key until there is an answer.
export async function refund(p, tell) {
  const most = remaining(p), keys = new Map();
  const problem = h('p.problem', { role: 'alert' });
  const field = h('input.touch.amount-field', { id: 'refund-amount', inputmode: 'decimal', autocomplete: 'off', value: yuan(most) });
  for (let first = true; ; first = false) {
    const answer = open(
      h('h2', { text: t('refund_title', { order: p.order_id }) }),
      h('p.muted', { text: t('refund_most', { most: money(most) }) }),
      h('div.field', {}, h('label', { for: 'refund-amount', text: t('refund_amount') }), field),
      problem, buttons(t('refund_yes'), true));
    if (first) field.select();
    if (await answer !== 'yes') return;
    const amount = fen(field.value);
    if (!amount || amount > most) { problem.textContent = t('refund_range', { most: money(most) }); continue; }
    if (!keys.has(amount)) keys.set(amount, crypto.randomUUID());
    try {
      const r = await call('POST', `/v1/payments/${p.id}/refunds`, { key: keys.get(amount), amount });
      put(r.payment);
      tell(`${say(r.state_text)} ${money(r.refund.amount)}`, r.refund.state === 'declined' ? 'bad' : 'ok');
      return;
    } catch (e) {
      if (!(e instanceof Refusal)) throw e;
      problem.textContent = `${say(e.text)}。${say(e.hint)}`;
      if (e.heard) { tell(`${say(e.text)} · ${say(e.hint)}`, 'bad'); return; }
    }
  }
}

// reprint prints, after a question where the paper would be a second one.
export async function reprint(p, tell, ask) {
  if (ask && !await confirm({ title: 'print_title', text: 'print_text', yes: 'print_yes', values: { order: p.order_id } })) return;
  try {
    const r = await call('POST', `/v1/payments/${p.id}/print`);
    tell(say(r.text), 'ok');
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    tell(`${say(e.text)} · ${say(e.hint)}`, 'bad');
  }
}

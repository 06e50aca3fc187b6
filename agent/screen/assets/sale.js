// The sale at hand: what the cashier does with it. Drawing is elsewhere.
import { fen } from '/assets/events.js';
import { call, changed, config, connected, put, Refusal, refusal, till, now } from './till.js';
import { confirm } from './dialog.js';

export const sale = { id: '', amount: '', order: '', busy: false, error: null, attempt: null, challenge: null, misfit: false };
const done = new Set();

export const payment = () => till.payments.get(sale.id);
export const waiting = (p) => p && (p.state === 'created' || p.state === 'asking');

// adopt shows a payment that is under way, such as one of a vendor's program.
export function adopt(p) {
  if (sale.id || !p || done.has(p.id) || !waiting(p)) return;
  sale.id = p.id;
  sale.error = null;
  if (p.mode === 'evidence') askChallenge();
  changed();
}

// show brings up a payment of the list.
export function show(p) {
  if (waiting(payment()) && sale.id !== p.id) return;
  sale.id = p.id;
  sale.error = sale.challenge = null;
  changed();
}

export function next() {
  if (waiting(payment())) return;
  done.add(sale.id);
  Object.assign(sale, { id: '', amount: '', order: '', error: null, attempt: null, challenge: null });
  changed();
}

// guarded runs one command at a time and keeps what it refused.
async function guarded(f) {
  if (sale.busy) return;
  sale.busy = true;
  sale.error = null;
  changed();
  try { await f(); } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    sale.error = e;
  } finally { sale.busy = false; changed(); }
}

// An order number of our own: the time, and two digits against a second in the same second.
function newOrder() {
  const d = new Date(now() + 8 * 3600000).toISOString().slice(11, 19).replaceAll(':', '');
  return `${d}-${String(crypto.getRandomValues(new Uint8Array(1))[0] % 100).padStart(2, '0')}`;
}

// take starts a payment. A press has one key: pressed again after no answer, the same
// request is sent again and cannot become a second payment.
export const take = (mode, from) => guarded(() => begin(mode, from));

async function begin(mode, from) {
  const amount = from?.amount ?? fen(sale.amount);
  // More was typed than an amount can hold, perhaps by a scanner: look at it once more.
  const misfit = sale.misfit && !from;
  sale.misfit = false;
  if (!amount || misfit) throw refusal('amount_missing');
  const want = [mode, amount, from?.order_id ?? sale.order].join('\n');
  if (sale.attempt?.want !== want) {
    const order_id = from?.order_id || sale.order.trim() || newOrder();
    sale.attempt = { want, body: { key: crypto.randomUUID(), order_id, order_amount: from?.order_amount ?? amount, amount, mode } };
  }
  const p = await start(sale.attempt.body);
  sale.attempt = null;
  if (!p) return;
  sale.id = p.id;
  if (mode === 'c_scan_b' && !p.qr && waiting(p)) put(await call('POST', `/v1/payments/${p.id}/present`));
  if (mode === 'evidence') await challenge();
}

async function start(body) {
  try { return put(await call('POST', '/v1/payments', body)); } catch (e) {
    if (e.code === 'order_unknown' && body.mode !== 'evidence' && !body.confirm_unknown) {
      if (!await confirm({ title: 'again_title', text: 'again_text', yes: 'again_yes', danger: true })) return null;
      return start({ ...body, confirm_unknown: true });
    }
    if (e.heard) sale.attempt = null;
    throw e;
  }
}

export const again = (mode = payment().mode) => take(mode, payment());

// swap gives the payment up before anyone was asked and takes the same order another way.
export const swap = (mode) => guarded(async () => {
  const p = payment();
  put(await call('POST', `/v1/payments/${p.id}/cancel`));
  await begin(mode, p);
});

export const present = () => guarded(async () => { put(await call('POST', `/v1/payments/${sale.id}/present`)); });
export const refresh = () => guarded(async () => { put(await call('POST', `/v1/payments/${sale.id}/refresh`)); });

async function challenge() {
  const id = sale.id;
  sale.challenge = { id, ...await call('POST', `/v1/payments/${id}/challenge`) };
}
export const askChallenge = () => guarded(challenge);

// submit hands a scanned or typed code to the payment that waits for one.
export const submit = (code) => guarded(async () => {
  const p = payment();
  const [step, body] = p.mode === 'evidence' ? ['evidence', { evidence: code }] : ['code', { code }];
  put(await call('POST', `/v1/payments/${p.id}/${step}`, body));
});

export async function cancel() {
  const p = payment();
  if (!waiting(p)) return;
  if (p.state === 'asking' && !await confirm({ title: 'giveup_title', text: 'giveup_text', yes: 'giveup_yes', danger: true })) return;
  await guarded(async () => {
    const q = put(await call('POST', `/v1/payments/${p.id}/cancel`));
    if (q.state === 'cancelled') leave(q);
  });
}

// leave goes back to the amount of a payment that came to nothing.
function leave(p) {
  done.add(p.id);
  Object.assign(sale, { id: '', challenge: null });
}

// offlineRefusal is why an offline payment of the amount could not be taken; null when it could.
export function offlineRefusal(amount) {
  const room = till.status?.room;
  if (connected() || !room) return null;
  const stop = room.edges.find((e) => e.stop);
  if (stop) return new Refusal(stop.code, stop.text, stop.hint, true);
  if (room.stop) return refusal('limits_stop');
  if (amount > room.per_payment) return refusal('limit_payment');
  if (amount > room.total_left) return refusal('limit_total');
  return null;
}

export const stateOf = (p) => config.states[p.state];

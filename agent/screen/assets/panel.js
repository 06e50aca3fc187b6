// The panel of the sale at hand: the amount, the wait for the customer, the result.
import { h, fill, icon } from '/assets/dom.js';
import { fen } from '/assets/events.js';
import { config, connected, left, money, now, say, speech, t, tapped, till } from './till.js';
import { again, askChallenge, cancel, next, offlineRefusal, payment, present, refresh, sale, stateOf, submit, swap, take, waiting } from './sale.js';
import { reprint } from './dialog.js';
import { tell } from './banner.js';
import { keypad, signIn } from './entry.js';

const problem = () => sale.error && h('div.problem', { role: 'alert' },
  h('b', { text: say(sale.error.text) }), h('span', { text: say(sale.error.hint) }));

const button = (kind, name, key, onclick, extra = {}) => h('button.touch' + kind, { onclick, type: 'button', disabled: sale.busy, ...extra },
  name && icon(name), h('span', { text: t(key) }));

// valid accepts what can become an amount: up to seven digits and two decimals.
export function typed(text) {
  const s = text.normalize('NFKC').replaceAll('。', '.').replace(/^0+(?=\d)/, '').replace(/^\./, '0.');
  return /^(\d{1,7}(\.\d{0,2})?)?$/.test(s) ? s : null;
}

function setAmount(text) {
  const s = typed(text), field = document.getElementById('amount');
  sale.misfit = s === null;
  if (s !== null) sale.amount = s;
  if (field && field.value !== sale.amount) field.value = sale.amount;
  if (sale.error) { sale.error = null; draw(); }
  guide();
}

export function type(key) {
  if (key === 'clear') setAmount('');
  else if (key === 'back') setAmount(sale.amount.slice(0, -1));
  else setAmount(sale.amount + key);
}

// guide says at once, under the amount, what could not be taken offline.
function guide() {
  const line = document.getElementById('guide'), r = offlineRefusal(fen(sale.amount) ?? 0);
  if (line) line.textContent = r ? `${say(r.text)} · ${say(r.hint)}` : '';
  const go = document.getElementById('take');
  if (go) go.disabled = sale.busy || r !== null;
}

function entry() {
  const offline = !connected();
  const amount = h('input', {
    id: 'amount', inputmode: 'none', autocomplete: 'off', placeholder: '0.00', value: sale.amount,
    'aria-label': t('amount'), oninput: (e) => setAmount(e.target.value),
  });
  const order = h('input', {
    id: 'order', autocomplete: 'off', maxlength: '64', placeholder: t('order_auto'), value: sale.order,
    'aria-label': t('order'), oninput: (e) => { sale.order = e.target.value; },
  });
  return [
    h('label.amount', { for: 'amount' }, h('span', { text: '¥' }), amount),
    h('label.order', { for: 'order' }, h('span', { text: t('order') }), order),
    keypad(type),
    problem() || h('p.guide', { id: 'guide', role: 'status' }),
    offline
      ? h('div.go', {}, button('.primary.big', 'off', 'take_offline', () => take('evidence'), { id: 'take' }),
        till.status?.room?.forward_most > 0 && !till.status.room.forward_stop && button('.big', 'scan', 'take_stored', () => take('b_scan_c'), { id: 'later' }))
      : h('div.go', {}, button('.primary.big', 'scan', 'take', () => take('b_scan_c'), { id: 'take' }),
        button('.big', 'qr', 'take_qr', () => take('c_scan_b'), { id: 'qr' })),
    h('p.keys.muted', { text: t(offline ? 'offline_ways' : 'keys') }),
  ];
}

const head = (p) => h('div.sum', {}, h('b', { text: money(p.amount) }), h('span.muted', { text: `${t('order')} ${p.order_id}` }));

const codeField = (key, label) => h('form.code', {
  onsubmit: (e) => { e.preventDefault(); const f = e.target.elements.code, v = f.value.trim(); f.value = ''; if (v) submit(v); },
}, h('label', { for: 'code', text: t(label) }),
h('div.row', {}, h('input.touch.grow', { id: 'code', name: 'code', 'data-code': true, autocomplete: 'off', spellcheck: 'false', disabled: sale.busy, placeholder: t(key) }),
  button('', null, 'submit', undefined, { type: 'submit', id: 'submit' })));

const picture = (p, version = '') => h('img.qr', { src: `/v1/payments/${p.id}/qr.png?size=640&v=${version}`, alt: t('qr_alt'), width: 320, height: 320 });
const countdown = (until) => h('p.countdown', {}, h('span', { text: t('valid') + ' ' }), h('b', { 'data-until': String(until), text: left(until) }));
const giveUp = () => button('', null, 'cancel', cancel, { id: 'cancel' });

function waitingForCode(p) {
  if (p.state === 'asking') {
    return [head(p), h('div.call', {}, h('div.sign.pulse', {}, icon('wait')), h('h2', { text: say(stateOf(p).text) }), h('p', { text: t('asking_text') })),
      problem(), h('div.actions', {}, giveUp())];
  }
  return [head(p), h('div.call', {}, h('div.sign.pulse', {}, icon('scan')), h('h2', { text: t('scan_code') }), h('p.muted', { text: t('scan_code_text') })),
    problem(), codeField('code_example', 'code_typed'),
    h('div.actions', {}, giveUp(), connected() && button('', 'qr', 'swap_qr', () => swap('c_scan_b'), { id: 'swap' }))];
}

function waitingForQR(p) {
  if (!p.qr) {
    return [head(p), h('div.call', {}, h('div.sign.pulse', {}, icon('qr')), h('h2', { text: t('qr_coming') })), problem(),
      h('div.actions', {}, giveUp(), button('.primary', null, 'retry', present, { id: 'retry' }))];
  }
  return [head(p), h('div.show', {}, picture(p), h('h2', { text: t('show_qr') }), countdown(p.expires_ms)), problem(), h('div.actions', {}, giveUp())];
}

// tapState is what the last card at the reader came to.
function tapState(p, c) {
  const tap = c?.tap && tapped(p.id);
  return tap && h(tap.code ? 'p.tap.warn' : 'p.tap', { id: 'tap', role: 'status', text: [say(tap.text), say(tap.hint)].filter(Boolean).join(' · ') });
}

function waitingForWallet(p) {
  const c = sale.challenge?.id === p.id ? sale.challenge : null;
  return [head(p),
    c ? h('div.show', {}, picture(p, String(c.expires_ms)), h('h2', { text: t(c.tap ? 'show_or_tap' : 'show_challenge') }), countdown(c.expires_ms))
      : h('div.call', {}, h('div.sign', {}, icon('off')), h('h2', { text: t('take_offline') })),
    tapState(p, c), problem(), c && codeField('answer_example', 'answer_typed'),
    h('div.actions', {}, giveUp(), !c && button('.primary', null, 'retry', askChallenge, { id: 'retry' }))];
}

const signs = { ok: 'ok', warn: 'wait', bad: 'warn', info: 'wait', '': 'no' };

function result(p) {
  const tone = stateOf(p).tone, accepted = p.state === 'accepted_evidence', declined = p.state === 'declined', unknown = p.state === 'unknown';
  const look = unknown ? 'warn' : accepted ? 'accepted' : declined || tone === 'bad' ? 'bad' : tone || 'plain';
  const ended = declined || p.state === 'refused' || p.state === 'conflict';
  const retry = declined || p.state === 'abandoned' || p.state === 'cancelled' || unknown;
  return [h(`div.result.${look}`, {},
    h('div.sign', {}, icon(accepted ? 'ok' : signs[tone])), h('b.amount', { text: money(p.amount) }),
    h('h2', { id: 'state', text: say(stateOf(p).text) }),
    p.reason_text && ended && h('p', {}, h('b', { text: say(p.reason_text) })),
    p.reason_hint && declined && h('p', { text: say(p.reason_hint) }),
    unknown && h('p', { text: t('unknown_text') }), accepted && h('p', { text: t('accepted_text') }),
    p.state === 'stored' && h('p', { text: t('stored_text') })),
  h('dl.facts', {}, ...facts(p)), problem(),
  h('div.actions', {},
    unknown ? button('', null, 'refresh', refresh, { id: 'refresh' }) : !retry && button('', 'print', 'print', () => reprint(p, tell, false), { id: 'print' }),
    retry && connected() && p.mode !== 'evidence' && button('', null, 'again', () => again(), { id: 'again' }),
    declined && (p.reason === 'not_sent' || !connected()) && button('', 'off', 'again_offline', () => again('evidence'), { id: 'offline' })),
  h('div.go', {}, button('.primary.big', null, 'next', next, { id: 'next' })),
  h('p.keys.muted', { text: t('keys_next') })];
}

// split tells where a refund went of a payment that envelopes have borne a part of.
function split(p, r) {
  if (!p.envelope || r.state !== 'refunded') return [];
  const whole = r.envelope ?? 0, over = r.recalled ?? 0;
  return [['refund_own', r.amount - whole], whole > over && ['refund_envelope', whole - over], over > 0 && ['refund_recalled', over]]
    .filter(Boolean).map(([k, v]) => [t(k), money(v)]);
}

function facts(p) {
  const list = [['order', p.order_id], ['number', p.short], p.institution && ['institution', p.institution], p.institution_txn && ['txn', p.institution_txn]];
  const refunds = (p.refunds ?? []).flatMap((r) => [[say(config.refunds[r.state]), money(r.amount)], ...split(p, r)]);
  return [...list.filter(Boolean).map(([k, v]) => [t(k), v]), ...refunds].flatMap(([k, v]) => [h('dt', { text: k }), h('dd.mono', { text: v })]);
}

function view() {
  const s = till.status, p = payment();
  if (!s) return ['wait', () => [h('p.empty', { text: t('loading') })]];
  if (s.sign_in && !s.operator) return ['sign', signIn];
  if (!p) return ['entry', entry];
  if (!waiting(p)) return ['result', () => result(p)];
  return ['waiting', () => ({ b_scan_c: waitingForCode, c_scan_b: waitingForQR, evidence: waitingForWallet })[p.mode](p)];
}

// draw replaces the panel only when something in it has changed, so that a field keeps
// what is being typed.
let drawn = '', pressed = false, late = false;
// A button that is replaced between press and release would swallow the press.
addEventListener('pointerdown', () => { pressed = true; }, true);
for (const end of ['pointerup', 'pointercancel']) {
  addEventListener(end, () => setTimeout(() => { pressed = false; if (late) { late = false; draw(); } }), true);
}

export function draw() {
  const [name, content] = view(), p = payment(), panel = document.getElementById('panel');
  const key = JSON.stringify([name, speech.lang, p?.id, p?.state, p?.mode, p?.refunds, Boolean(p?.qr), sale.error?.code, sale.busy, sale.challenge?.expires_ms, tapped(p?.id),
    connected(), till.status?.room?.stop]);
  if (key === drawn) return;
  if (pressed) { late = true; return; }
  const [before, , id] = JSON.parse(drawn || '[]'), fresh = before !== name || (id ?? '') !== (p?.id ?? '');
  drawn = key;
  panel.dataset.view = name;
  const had = panel.contains(document.activeElement) ? document.activeElement.id : '';
  const values = fresh ? [] : [...panel.querySelectorAll('input')].map((f) => [f.id, f.value]);
  fill(panel, ...content());
  for (const [name, value] of values) { const f = document.getElementById(name); if (f) f.value = value; }
  const want = document.getElementById('code') ?? (fresh ? document.getElementById(focusOf[name]) : document.getElementById(had));
  if (want && !document.getElementById('dialog').open) {
    want.focus({ preventScroll: true });
    if (want.matches('input')) want.setSelectionRange(want.value.length, want.value.length);
  }
  if (name === 'entry') guide();
  speakState(name, p);
}
const focusOf = { sign: 'number', entry: 'amount', result: 'next', waiting: 'cancel' };

let spoken = '';
function speakState(name, p) {
  const what = p ? `${say(stateOf(p).text)} ${money(p.amount)} ${say(p.reason_text)} ${say(p.reason_hint)}` : '';
  const code = sale.error ? `${say(sale.error.text)} ${say(sale.error.hint)}` : '';
  if (what === spoken || code) return;
  spoken = what;
  document.getElementById('live').textContent = what;
}

// tick moves the countdowns, and asks for a new challenge when the old one is over.
export function tick() {
  for (const e of document.querySelectorAll('[data-until]')) e.textContent = left(Number(e.dataset.until));
  const p = payment(), c = sale.challenge;
  if (p?.mode === 'evidence' && p.state === 'created' && c?.id === p.id && now() > c.expires_ms && !sale.busy && !sale.error) askChallenge();
}

// enter and escape are the two keys that do most of a cashier's work.
export function enter() {
  const p = payment();
  if (till.status?.sign_in && !till.status.operator) return;
  if (!p) document.getElementById('take')?.click();
  else if (!waiting(p)) next();
}
export function escape() {
  const p = payment();
  if (!p) type('clear');
  else if (waiting(p)) cancel();
  else next();
}

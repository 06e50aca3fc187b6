// The customer's page: waits, shows what to do, shows the result, and waits again.
// A scanned payment code goes straight to the till; this page never shows it.
import { h, fill, icon } from '/assets/dom.js';
import { fen } from '/assets/events.js';
import { begin, call, config, connected, lastTap, left, missed, money, now, put, Refusal, say, speak, speech, t, tapped, till, watch } from './till.js';
import { free, wedge } from './scan.js';

const at = { id: '', choose: 0, staff: false, told: null, busy: false, challenge: null, until: 0, printed: '' };
const done = new Set();
const payment = () => till.payments.get(at.id);
const waiting = (p) => p && (p.state === 'created' || p.state === 'asking');

// adopt shows the payment that is under way: the vendor's program or a cashier began it.
function adopt(p) {
  if (!waiting(p) || done.has(p.id) || p.id === at.id || (waiting(payment()) && p.created_ms < payment().created_ms)) return;
  Object.assign(at, { id: p.id, choose: 0, staff: false, told: null, challenge: null, until: 0, printed: '' });
  if (p.mode === 'evidence') challenge();
}

async function guarded(f) {
  if (at.busy) return;
  at.busy = true;
  at.told = null;
  draw();
  try { await f(); } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    at.told = e;
  } finally { at.busy = false; draw(); }
}

const challenge = () => guarded(async () => { at.challenge = { id: at.id, ...await call('POST', `/v1/payments/${at.id}/challenge`) }; });
const cancel = () => guarded(async () => { put(await call('POST', `/v1/payments/${at.id}/cancel`)); });
const print = () => guarded(async () => {
  try { at.printed = say((await call('POST', `/v1/payments/${at.id}/print`)).text); } catch (e) {
    if (!(e instanceof Refusal) || e.code !== 'printer') throw e;
    at.printed = t('receipt_later'); // paper is nothing that a customer can put in
  }
});

// receipt is one honest line about the customer's paper; "" when there is nothing to say.
function receipt(p) {
  const job = till.status?.prints.find((j) => j.payment === p.id);
  if (!job) return at.printed;
  return t(job.state === 'PAUSED' || job.ask ? 'receipt_later' : 'receipt_printing');
}
const present = () => guarded(async () => { put(await call('POST', `/v1/payments/${at.id}/present`)); });

function welcome() {
  if (at.id) done.add(at.id);
  Object.assign(at, { id: '', choose: 0, staff: false, told: null, challenge: null, until: 0, printed: '' });
  if (speech.lang !== config.first) speak(config.first, false);
  draw();
}

// demo starts a payment in the lab for the amount that the address names; one request,
// one key.
const keys = new Map();
const demo = (mode) => guarded(async () => {
  const amount = at.choose;
  if (!keys.has(mode)) keys.set(mode, { key: crypto.randomUUID(), order_id: `demo-${crypto.randomUUID().slice(0, 8)}` });
  const p = put(await call('POST', '/v1/payments', { ...keys.get(mode), amount, mode }));
  keys.clear();
  adopt(p);
  if (mode === 'c_scan_b') put(await call('POST', `/v1/payments/${p.id}/present`));
  if (mode === 'evidence') at.challenge = { id: p.id, ...await call('POST', `/v1/payments/${p.id}/challenge`) };
});

// touch is a customer's button; the id is what tests and remote helpers find it by.
const touch = (kind, id, key, onclick, sign) => h('button' + kind, { type: 'button', id, onclick, disabled: at.busy }, sign && icon(sign), h('span', { text: t(key) }));
const sum = (p) => h('p.sum', {}, h('small', { text: t('to_pay') }), h('b', { text: money(p.amount) }));
const problem = () => at.told && h('div.problem', {}, h('b', { text: say(at.told.text) }), h('span', { text: say(at.told.hint) }));
const both = (key) => h('h1', {}, h('span', { lang: 'zh-CN', text: config.texts[key].zh }), h('span', { lang: 'en', text: config.texts[key].en }));

// gate is the whole page where every tap pays the same: what it costs, and what the last tap came to.
function gate(fare) {
  const tap = lastTap(), gone = tap?.signal === 'done', told = tap?.code && tap.signal !== 'off';
  if (!fare.open) {
    return h('div.welcome.closed', { id: 'gate' }, h('div.sign', {}, icon('no')), both('gate_closed'), fare.why && h('p', { text: `${say(fare.why.text)} · ${say(fare.why.hint)}` }));
  }
  return h(gone ? 'div.result.ok' : told ? 'div.result.bad' : 'div.welcome', { id: 'gate' },
    h('div.sign', {}, icon(gone ? 'ok' : told ? 'no' : 'phone')), both(gone ? 'gate_go' : 'gate_tap'), h('p.amount', { text: money(fare.amount) }),
    told && h('p.lead', { role: 'status', text: `${say(tap.text)} · ${say(tap.hint)}` }));
}

function idle() {
  const s = till.status, stop = s && !s.connected && s.room.stop, locked = till.locked || !till.reachable;
  if (locked || stop) {
    return h('div.welcome.closed', {}, h('div.sign', {}, icon('no')), both('kiosk_closed'), h('p', { text: t('kiosk_closed_text') }));
  }
  if (s && !s.connected) {
    return h('div.welcome', {}, h('div.sign.warn', {}, icon('off')), both('kiosk_welcome'), h('p.lead', { text: t('kiosk_offline') }), h('p', { text: t('kiosk_offline_text') }));
  }
  return h('div.welcome', {}, h('div.sign', {}, icon('phone')), both('kiosk_welcome'), h('p.lead', { text: t('kiosk_ready') }), h('p', { text: t('kiosk_ready_text') }));
}

function choice() {
  return h('div.step', {}, sum({ amount: at.choose }), h('h1', { text: t('choose') }), problem(),
    connected()
      ? h('div.ways', {}, touch('.way', 'way-code', 'way_code', () => demo('b_scan_c'), 'scan'), touch('.way', 'way-qr', 'way_qr', () => demo('c_scan_b'), 'qr'))
      : h('div.ways', {}, touch('.way', 'way-offline', 'way_offline', () => demo('evidence'), 'off')),
    touch('.quiet', 'cancel', 'cancel', welcome));
}

const picture = (p, v) => h('img.qr', { src: `/v1/payments/${p.id}/qr.png?size=720&v=${v}`, alt: t('qr_alt'), width: 480, height: 480 });
const countdown = (until) => h('p.countdown', { 'aria-live': 'off' }, h('span', { text: t('valid') + ' ' }), h('b', { 'data-until': String(until), text: left(until) }));

// tapState is what the last card at the reader came to.
function tapState(p, c) {
  const tap = c?.tap && tapped(p.id);
  return tap && h(tap.code ? 'p.tap.warn' : 'p.tap', { id: 'tap', role: 'status', text: [say(tap.text), say(tap.hint)].filter(Boolean).join(' · ') });
}

function step(p) {
  const away = touch('.quiet', 'cancel', 'cancel', cancel);
  if (p.mode === 'b_scan_c' && p.state === 'asking') {
    return h('div.step', {}, sum(p), h('div.sign.pulse', {}, icon('wait')), h('h1', { text: t('paying') }), h('p.lead', { text: t('paying_text') }), problem());
  }
  if (p.mode === 'b_scan_c') {
    return h('div.step', {}, sum(p), h('div.sign.pulse', {}, icon('scan')), h('h1', { text: t('hold_code') }), h('p.lead', { text: t('hold_code_text') }), problem(), away);
  }
  const c = at.challenge?.id === p.id ? at.challenge : null;
  if (p.mode === 'evidence') {
    return h('div.step.pictured', {}, sum(p), c ? h('div.picture', {}, picture(p, c.expires_ms), countdown(c.expires_ms)) : h('div.sign.pulse', {}, icon('wait')),
      h('div.words', {}, h('h1', { text: t(c?.tap ? 'offline_tap' : 'offline_scan') }), h('p.lead', { text: t('offline_answer') }), tapState(p, c), problem(), away));
  }
  if (!p.qr) {
    return h('div.step', {}, sum(p), h('div.sign.pulse', {}, icon('qr')), h('h1', { text: t('qr_coming') }), problem(),
      p.state === 'asking' && touch('', 'retry', 'retry', present), away);
  }
  return h('div.step.pictured', {}, sum(p), h('div.picture', {}, picture(p, 1), countdown(p.expires_ms)),
    h('div.words', {}, h('h1', { text: t('scan_qr') }), h('p.lead', { text: t('scan_qr_text') }), problem(), away));
}

function result(p) {
  const good = ['paid', 'credited', 'accepted_evidence'].includes(p.state), unknown = p.state === 'unknown', gone = p.state === 'cancelled' || p.state === 'abandoned';
  const look = p.state === 'accepted_evidence' ? 'accepted' : good ? 'ok' : unknown ? 'warn' : gone ? 'plain' : 'bad';
  return h(`div.result.${look}`, {},
    h('div.sign', {}, icon(good ? 'ok' : unknown ? 'warn' : 'no')),
    h('h1', { id: 'state', text: unknown ? t('do_not_pay') : say(config.states[p.state].text) }), h('p.amount', { text: money(p.amount) }),
    good && h('p.lead', { text: t(p.state === 'accepted_evidence' ? 'accepted_customer' : 'thanks') }),
    p.state === 'declined' && p.reason_text && h('p.lead', { text: say(p.reason_text) }),
    p.state === 'declined' && h('p', { text: say(p.reason_hint) || t('declined_customer') }),
    unknown && h('p.lead', { text: t('unknown_customer') }),
    (unknown || good) && h('p.number', { id: 'short', text: `${t('number')} ${p.short}` }),
    receipt(p) && h('p', { id: 'receipt', text: receipt(p) }), problem(),
    h('div.ways', {},
      (unknown || (!good && !gone)) && touch('', 'call-staff', 'call_staff', () => { at.staff = true; draw(); }, 'bell'),
      (good || unknown) && !receipt(p) && touch('', 'print', 'print', print, 'print'),
      touch('.primary', 'done', 'done', welcome)));
}

const staff = (p) => h('div.result.warn.staff', {},
  h('div.sign.pulse', {}, icon('bell')), both('staff_called'), h('p.lead', { text: t('staff_text') }),
  p && h('p.number', { text: `${t('number')} ${p.short} · ${money(p.amount)}` }), p && h('p.lead', { id: 'state', text: say(config.states[p.state].text) }),
  h('div.ways', {}, touch('', 'staff-here', 'staff_here', () => { at.staff = false; draw(); })));

// resting tells that a result is shown, which goes away by itself.
const resting = () => at.id && payment() && !waiting(payment()) && !at.staff;

let drawn = '';
function draw() {
  for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t(e.dataset.label));
  const s = till.status, p = payment(), b = document.getElementById('language');
  b.textContent = speech.lang === 'zh' ? 'English' : '中文';
  b.lang = speech.lang === 'zh' ? 'en' : 'zh-CN';
  if (s) {
    document.getElementById('store').textContent = say(s.store_name) || s.store;
    document.getElementById('terminal').textContent = s.terminal;
    document.getElementById('dot').className = `dot ${till.reachable && s.connected ? 'ok' : 'bad'}`;
  }
  const key = JSON.stringify([speech.lang, p?.id, p?.state, Boolean(p?.qr), p && receipt(p), tapped(p?.id), at, till.reachable, till.locked, s?.connected, s?.room?.stop, s?.fare && [s.fare, lastTap()]]);
  if (key === drawn) return;
  drawn = key;
  if (resting() && !at.until) at.until = Date.now() + config.idle_s * 1000;
  fill(document.getElementById('stage'), at.staff ? staff(p) : s?.fare && till.reachable && !till.locked ? gate(s.fare) : p ? (waiting(p) ? step(p) : result(p)) : at.choose ? choice() : idle());
}

// scanned hands a code to the till, which knows what waits for it.
async function scanned(code) {
  await free(() => at.busy);
  await guarded(async () => {
    const s = await call('POST', '/v1/scan', { code });
    if (missed(s)) throw new Refusal('scan', s.text, null, true);
  });
}

function tick() {
  for (const e of document.querySelectorAll('[data-until]')) e.textContent = left(Number(e.dataset.until));
  const p = payment(), c = at.challenge;
  if (p?.mode === 'evidence' && p.state === 'created' && c?.id === p.id && now() > c.expires_ms && !at.told) challenge();
  if (resting() && at.until && Date.now() > at.until) welcome();
}

document.getElementById('language').onclick = () => speak(speech.lang === 'zh' ? 'en' : 'zh', false);
for (const name of ['pointerdown', 'keydown']) document.addEventListener(name, () => { if (at.until) at.until = Date.now() + config.idle_s * 1000; }, true);
document.addEventListener('keydown', (e) => { if (e.key === 'Escape' && resting()) welcome(); });
wedge(scanned, 1000); // nobody types here
watch(draw);
draw();
await begin({
  payment: adopt,
  scan: (s) => {
    if (!missed(s) || !waiting(payment()) || at.busy || at.told?.hint) return; // the answer to our own scan says more
    at.told = new Refusal('scan', s.text, null, true);
    draw();
  },
}, false);
if (till.status?.current) adopt(till.status.current);
const wanted = new URLSearchParams(location.search).get('amount');
if (!at.id && config.env === 'lab' && wanted && fen(wanted)) at.choose = fen(wanted);
history.replaceState(null, '', location.pathname);
draw();
setInterval(tick, 500);

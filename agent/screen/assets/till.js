// What both pages know: the words, the till's API, and how the till stands.
import { listen, yuan } from '/assets/events.js';

export const config = JSON.parse(document.getElementById('config').textContent);
export const speech = { lang: config.lang };

// t is one of our sentences, say one that the till sent; {name} stands for a value.
export const t = (key, values = {}) => config.texts[key][speech.lang].replace(/\{(\w+)\}/g, (_, k) => values[k] ?? '');
export const say = (text) => text?.[speech.lang] ?? '';
export const money = (fen) => '¥' + yuan(fen);

export function speak(lang, remember) {
  speech.lang = lang;
  document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en';
  if (remember) document.cookie = `dcpos_lang=${lang};path=/;max-age=31536000;samesite=strict`;
  changed();
}

// Refusal is an answer that is not a success: the till's code and words, or ours when
// there was no answer. Only the former tells what became of the request.
export class Refusal extends Error {
  constructor(code, text, hint, heard) { super(code); Object.assign(this, { code, text, hint, heard }); }
}
export const refusal = (key, code = key) => new Refusal(code, config.texts[key], config.texts[key + '_hint'], true);

const cookie = (name) => document.cookie.split('; ').find((c) => c.startsWith(name + '='))?.slice(name.length + 1) ?? '';

export async function call(method, path, body) {
  let response, answer;
  try {
    response = await fetch(path, {
      method, credentials: 'same-origin', cache: 'no-store', signal: AbortSignal.timeout(75000),
      headers: { 'X-Dcpos-Csrf': cookie('dcpos_csrf'), ...(body ? { 'Content-Type': 'application/json' } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
    answer = response.status === 204 ? {} : await response.json();
  } catch {
    throw new Refusal('unreachable', config.texts.unreachable, config.texts.unreachable_hint, false);
  }
  if (response.status === 401) renew();
  if (!response.ok) throw new Refusal(answer.code ?? 'internal', answer.text, answer.hint, response.status < 500);
  return answer;
}

// A till that was started again does not know old sessions: opening the page gives a new one.
function renew() {
  const last = Number(sessionStorage.getItem('renewed') ?? 0);
  if (Date.now() - last < 20000) { till.locked = true; changed(); return; }
  sessionStorage.setItem('renewed', String(Date.now()));
  location.reload();
}

export const till = { status: null, payments: new Map(), tap: null, tapAt: 0, reachable: true, locked: false, skew: 0 };
const watchers = new Set();
let due = false;
export const watch = (f) => watchers.add(f);
export function changed() {
  if (due) return;
  due = true;
  queueMicrotask(() => { due = false; for (const f of watchers) f(); });
}

export const now = () => Date.now() + till.skew;
export const connected = () => till.status?.connected ?? false;

// put keeps a payment unless a later one of the same is here already. A page that is
// open for weeks forgets the oldest.
const kept = 400;
export function put(p) {
  const old = till.payments.get(p.id);
  if (!old || p.last_seq >= old.last_seq) till.payments.set(p.id, p);
  if (till.payments.size > kept) till.payments.delete(till.payments.keys().next().value);
  changed();
  return till.payments.get(p.id);
}

export async function readStatus() {
  const s = await call('GET', '/v1/status');
  till.status = s;
  till.skew = s.time_ms - Date.now();
  if (s.current) put(s.current);
  changed();
}

export async function readPayments() {
  const { payments } = await call('GET', '/v1/payments?limit=100');
  for (const p of payments) put(p);
}

const quietly = (f) => f().catch(() => {}); // the stream tells whether the till answers

// begin reads everything, follows the events, and looks at the status every 5 s for
// what comes without one: limits, devices, the clock.
export async function begin(on = {}, list = true) {
  const all = async () => { await readStatus(); if (list) await readPayments(); };
  const look = () => quietly(readStatus);
  listen('/v1/events', {
    payment: (e) => { const p = put(e.payment); on.payment?.(p); look(); },
    link: (e) => { if (till.status) till.status.connected = e.connected; changed(); look(); },
    operator: (e) => { if (till.status) till.status.operator = e.operator; changed(); look(); },
    scan: (e) => on.scan?.(e.scan),
    notice: (e) => { till.status?.notices.push(e.notice); changed(); },
    print: look, // what is owed on paper comes with the status
    tap: (e) => { Object.assign(till, { tap: e.tap, tapAt: Date.now() }); changed(); setTimeout(changed, passing + 100); },
    device: (e) => { on.device?.(e.device); look(); },
    reset: () => quietly(all),
  }, (ok) => {
    if (ok && !till.reachable) quietly(all);
    till.reachable = ok;
    changed();
  });
  setInterval(look, 5000);
  await quietly(all);
}

// passing is how long a gate shows what a tap came to.
const passing = 3000;

// lastTap is what the last card at a gate came to, whatever it paid, while its holder passes.
export const lastTap = () => (till.tap && Date.now() - till.tapAt < passing ? till.tap : null);

// tapped is how the tap of a payment goes, where there is more to say than "hold it here".
export const tapped = (id) => (till.tap && till.tap.payment === id && ['ready', 'working', 'refused'].includes(till.tap.signal) ? till.tap : null);

// missed tells that a scan came to nothing: no payment took the code.
export const missed = (s) => !s.payment || (s.kind !== 'payment_reference' && s.payment.state === 'created');

// clock is the time of day in the shop, age a span in words.
const hm = new Intl.DateTimeFormat('en-GB', { timeZone: 'Asia/Shanghai', hour: '2-digit', minute: '2-digit' });
export const clock = (ms) => hm.format(new Date(ms));
export function age(ms) {
  const m = Math.max(0, Math.floor(ms / 60000));
  return m < 60 ? t('age_minutes', { m }) : t('age_hours', { h: Math.floor(m / 60), m: m % 60 });
}

// left is the time until a moment as m:ss, never negative.
export function left(until) {
  const s = Math.max(0, Math.floor((until - now()) / 1000));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
}

// What a cashier must know besides the sale: no network, what is wrong, what happened.
import { h, fill, icon } from '/assets/dom.js';
import { age, call, clock, config, money, readStatus, Refusal, say, speech, t, till } from './till.js';

const banner = (tone, sign, title, ...rest) => h(`div.banner.${tone}`, {}, icon(sign), h('div.grow', {}, h('b', { text: title }), ...rest));
const line = (text) => h('span', { text });

function offline() {
  const room = till.status.room, stored = room.stored;
  const head = room.stop ? t('limits_stop') : t('room_left', { n: room.count_left, total: money(room.total_left), most: money(room.per_payment) });
  const edges = room.edges.map((e) => h(e.stop ? 'b.edge' : 'span.edge', { text: `${say(e.text)} · ${say(e.hint)}` }));
  const b = banner(room.stop ? 'bad' : 'warn', 'off', t('offline_title'), line(head), line(t('offline_text')), ...edges);
  b.id = 'offline-banner';
  const fact = (key, value) => h('div', {}, h('small', { text: t(key) }), h('b', { text: value }));
  b.append(h('div.store', {},
    fact('stored_total', money(stored.total)), fact('stored_count', String(stored.count)),
    fact('stored_left', `${money(room.total_left)} / ${room.count_left}`), fact('stored_age', stored.count ? age(room.age_ms) : '—')));
  if (room.forward_most > 0) b.append(...forward(room));
  return b;
}

// forward tells what is stored at the merchant's risk, with totals and edges of its own.
function forward(room) {
  const fact = (key, value) => h('div', {}, h('small', { text: t(key) }), h('b', { text: value }));
  const edges = room.forward_edges.map((e) => h(e.stop ? 'b.edge' : 'span.edge', { text: `${say(e.text)} · ${say(e.hint)}` }));
  return [h('div.store', { id: 'forward' }, fact('forward_total', money(room.forward.total)), fact('forward_count', String(room.forward.count)),
    fact('forward_left', `${money(room.forward_left)} / ${room.forward_count_left}`)), ...edges];
}

// charging tells, when the link is back, what is stored and not charged yet.
function charging() {
  const stored = till.status.room.forward;
  return banner('warn', 'wait', t('charging', { total: money(stored.total), n: stored.count }), ...till.status.room.forward_edges.map((e) => line(say(e.text))));
}

// uploading tells, when the link is back, how much the centre has not confirmed yet.
function uploading() {
  const stored = till.status.outbox.money;
  return banner('info', 'wait', t('uploading', { total: money(stored.total), n: stored.count }));
}

const tones = { stop: 'bad', warning: 'warn', info: 'info' };

const nameOfDevice = (d) => say(config.texts['device_' + d.category.toLowerCase()]) || d.name;

function findings() {
  const told = new Set(till.status.connected ? ['offline'] : ['offline', 'limits_near', 'limits_reached', 'policy_none', 'clock']); // the banner above tells them
  const shown = till.status.findings.filter((f) => !told.has(f.code))
    .map((f) => banner(tones[f.severity] ?? 'warn', 'warn', say(f.text), line(say(f.hint))));
  const stuck = held(); // then the printer's own banner would say it twice
  for (const d of till.status.devices) {
    if (d.text && !(stuck && d.category === 'POSPrinter')) shown.push(banner('warn', 'print', t('device', { name: nameOfDevice(d), text: say(d.text) }), line(say(d.hint))));
  }
  return shown;
}

// held is the receipt that does not print and holds up those behind it.
const held = () => till.status.prints.find((j) => j.state === 'PAUSED' && !j.ask);
const paperOf = (j) => {
  const p = till.payments.get(j.payment);
  return p ? t('paper_of', { order: p.order_id, amount: money(p.amount), number: p.short }) : j.payment ? `${t('number')} ${j.payment.slice(-8)}` : t('paper_test');
};

// act sends a person's word about a receipt, once.
let acting = false;
async function act(j, path, body) {
  if (acting) return;
  acting = true;
  try { await call('POST', `/v1/prints/${j.id}/${path}`, body); } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    tell(`${say(e.text)} · ${say(e.hint)}`, 'bad');
  } finally { acting = false; }
  await readStatus().catch(() => {}); // the stream tells whether the till answers
}

const word = (id, key, tone, f) => h(`button.touch${tone}`, { type: 'button', id, text: t(key), onclick: f });

// prints are the receipts that need a person: one question at a time, and why the
// printer stands still with how many wait behind.
function prints() {
  const shown = [], asks = till.status.prints.filter((j) => j.ask), j = asks[0], stuck = held();
  const waiting = till.status.prints.length - asks.length;
  if (stuck) {
    const b = banner('warn', 'print', say(stuck.text), line(say(stuck.hint)), line(t('prints_waiting', { n: waiting })));
    b.id = 'print-held';
    b.append(word('print-drop', 'print_drop', '', () => act(stuck, 'cancel')));
    shown.push(b);
  }
  if (j) {
    const b = banner('warn', 'print', t(j.on_paper ? 'came_out' : 'still_wanted'), line(paperOf(j)), h('span.more', { text: say(j.hint) }));
    b.id = 'print-ask';
    if (asks.length > 1) b.lastChild.append(line(t('more_asks', { n: asks.length - 1 })));
    b.append(h('div.answers', {}, ...(j.on_paper
      ? [word('came-out', 'came_out_yes', '', () => act(j, 'answer', { came_out: true })), word('came-not', 'came_out_no', '', () => act(j, 'answer', { came_out: false }))]
      : [word('print-drop-old', 'print_drop', '', () => act(j, 'cancel')), word('print-still', 'print_still', '', () => act(j, 'answer', { came_out: false }))])));
    shown.push(b);
  }
  return shown;
}

const nameOf = (n) => `${n.at_ms} ${n.payment}`;
const read = new Set(JSON.parse(sessionStorage.getItem('read') ?? '[]'));

function notices() {
  return till.status.notices.filter((n) => !read.has(nameOf(n))).slice(-3).map((n) => {
    const b = banner('info', 'bell', say(n.text), line(clock(n.at_ms)));
    b.append(h('button.touch', {
      type: 'button', text: t('seen'), onclick: () => {
        read.add(nameOf(n));
        sessionStorage.setItem('read', JSON.stringify([...read].slice(-50)));
        draw();
      },
    }));
    return b;
  });
}

let drawn = '';
export function draw() {
  const s = till.status, list = [];
  if (till.locked) list.push(banner('bad', 'warn', t('locked'), line(t('locked_hint'))));
  else if (!till.reachable) list.push(banner('bad', 'warn', t('unreachable'), line(t('unreachable_hint'))));
  if (s) {
    if (!s.connected) list.push(offline());
    else if (s.outbox.money.count) list.push(uploading());
    if (s.connected && s.room.forward.count) list.push(charging());
    list.push(...prints(), ...findings(), ...notices());
  }
  const key = speech.lang + list.map((b) => b.outerHTML).join('');
  if (key === drawn) return;
  drawn = key;
  fill(document.getElementById('banners'), ...list);
}

let hide;
export function hush() { document.getElementById('toast').hidden = true; }

// tell shows one sentence for a while; screen readers read it.
export function tell(text, tone = 'ok') {
  const e = document.getElementById('toast');
  e.textContent = text;
  e.className = `toast ${tone}`;
  e.hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => { e.hidden = true; }, tone === 'bad' ? 9000 : 4500);
}
